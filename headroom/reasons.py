"""Why something does not answer, in words."""

import errno
import os

import aiohttp
from aiokafka.errors import KafkaConnectionError

from shared.db import of_driver


def reason(error: BaseException) -> str:
    """What clients and drivers say of it, without how they name things inside, and without any address or statement.

    For errors of aiohttp, aiokafka, PostgreSQL's driver and the system. An address may hold a password.
    """
    within = of_driver(error)
    if isinstance(within, aiohttp.ClientConnectorCertificateError):
        within = within.certificate_error
    elif isinstance(within, aiohttp.ClientConnectorError):
        within = within.os_error
    if isinstance(within, KafkaConnectionError):
        return "no broker can be reached there"
    if isinstance(within, TimeoutError):
        return "no answer in time"
    if isinstance(within, OSError) and within.errno is not None and within.errno in errno.errorcode:
        return os.strerror(within.errno).lower()
    return getattr(within, "strerror", None) or str(within) or type(within).__name__
