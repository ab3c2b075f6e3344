"""A broker with closed listeners, and who may come in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from headroom.local.kafka import EmbeddedKafka
from headroom.local.ports import free_ports

USER, PASSWORD = "headroom", "canary-of-kafka-7f31"


LISTENERS = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")

Closed = dict[str, dict[str, Any]]
"""Values of ``KafkaSettings`` by listener, with which a client comes in."""


@pytest.fixture(scope="session")
def closed_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """A broker that takes TLS with a client's certificate, TLS with SCRAM, and PLAIN; its authority is made here."""
    folder = tmp_path_factory.mktemp("authority")
    authority, server, client = trustme.CA(), folder / "server.pem", folder / "client.pem"
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("127.0.0.1")
    # Kafka reads a key in PKCS 8 and no other form.
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    server.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with server.open("ab") as file:
        for certificate in issued.cert_chain_pems:
            file.write(certificate.bytes())
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(client)
    ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
    with EmbeddedKafka(**options(ports, server, ca)):
        yield {name: values | {"bootstrap": f"127.0.0.1:{ports[name]}"} for name, values in clients(ca, client).items()}


def options(ports: dict[str, int], server: Path, ca: Path) -> dict[str, Any]:
    """How the broker is started."""
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    login = "org.apache.kafka.common.security"
    return {
        "properties": {
            "listeners": listeners,
            "advertised.listeners": listeners,
            "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in ports),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(server),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(ca),
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.sasl_ssl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                f'{login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            ),
        },
        "format_options": ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"],
    }


def clients(ca: Path, client: Path) -> dict[str, dict[str, Any]]:
    """What a client of each listener needs."""
    login = {"sasl_username": USER, "sasl_password": PASSWORD}
    return {
        "SSL": {"ssl_cafile": ca, "ssl_certfile": client},
        "SASL_SSL": {"ssl_cafile": ca, "sasl_mechanism": "SCRAM-SHA-512", **login},
        "SASL_PLAINTEXT": {"sasl_mechanism": "PLAIN", **login},
    }
