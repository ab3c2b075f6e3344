"""aiokafka clients from settings: the same connection options and delivery promises everywhere."""

import ssl
from typing import Any

from aiokafka import AIOKafkaProducer

from shared.settings import KafkaSettings
from shared.topics import LARGEST_REQUEST


def connection_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client needs to reach the brokers of ``kafka``."""
    options: dict[str, Any] = {"bootstrap_servers": kafka.bootstrap, "security_protocol": kafka.security_protocol}
    if kafka.security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(kafka.ssl_cafile) if kafka.ssl_cafile else None)
        if kafka.ssl_certfile:
            context.load_cert_chain(str(kafka.ssl_certfile), str(kafka.ssl_keyfile) if kafka.ssl_keyfile else None)
        options["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
    return options


def create_producer(
    kafka: KafkaSettings, *, transactional_id: str | None = None, linger_ms: int = 5
) -> AIOKafkaProducer:
    """A producer that is idempotent and waits for all replicas; call ``start`` before use, ``stop`` after.

    Must be created inside a running event loop. ``transactional_id`` is given whole, prefix included.
    """
    return AIOKafkaProducer(
        **connection_options(kafka),
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        transactional_id=transactional_id,
        max_request_size=LARGEST_REQUEST,
        max_batch_size=256 * 1024,
    )
