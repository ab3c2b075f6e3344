"""How every Kafka client of this process connects."""

from typing import Any

from aiokafka.helpers import create_ssl_context

from shared.settings import KafkaSettings


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Arguments common to aiokafka's consumers, producers and admin clients."""
    options: dict[str, Any] = {"bootstrap_servers": kafka.bootstrap, "security_protocol": kafka.security_protocol}
    if kafka.security_protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=kafka.ssl_cafile and str(kafka.ssl_cafile),
            certfile=kafka.ssl_certfile and str(kafka.ssl_certfile),
            keyfile=kafka.ssl_keyfile and str(kafka.ssl_keyfile),
        )
    if kafka.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password and kafka.sasl_password.get_secret_value()
    return options
