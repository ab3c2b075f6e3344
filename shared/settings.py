"""Settings as every service reads them from the environment; only ``app`` and ``__main__`` modules do that.

Names are ``HEADROOM_`` plus the field, nested fields joined by two underscores: ``HEADROOM_KAFKA__BOOTSTRAP``.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from shared.clock import Clock, HeldClock, VirtualClock, WallClock
from shared.errors import ConfigurationError


class KafkaSettings(BaseModel):
    """How to reach Kafka and how to behave in its groups."""

    bootstrap: str = Field("127.0.0.1:9092", description="brokers to begin with: host:port, more after commas")
    topic_prefix: str = Field(
        "", description="put before every topic, group and transactional id: several systems on one broker"
    )
    partitions: int = Field(8, ge=1, description="partitions of the sharded topics; fixed for a topic's life")
    replication_factor: int = Field(1, ge=1, description="of topics that are created")
    session_timeout: float = Field(
        8.0, gt=0, description="seconds without a heartbeat after which a worker counts as dead"
    )
    instance_id: str | None = Field(
        None, description="static membership: a restart within the session timeout moves nothing"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to reach the brokers"
    )
    ssl_cafile: Path | None = Field(None, description="certificates that sign the brokers' own; none: the system's")
    ssl_certfile: Path | None = Field(None, description="our certificate, where brokers ask for one")
    ssl_keyfile: Path | None = Field(None, description="its key")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field("PLAIN", description="how to log in")
    sasl_username: str | None = Field(None, description="who logs in")
    sasl_password: SecretStr | None = Field(None, description="never shown")


class HttpSettings(BaseModel):
    """Where a process serves its API, ``/healthz``, ``/readyz`` and ``/metrics``."""

    host: str = Field("127.0.0.1", description="address to listen on; the image sets 0.0.0.0")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")


class ClockSettings(BaseModel):
    """Wall time, or with ``as_of`` a virtual time that runs ``speed`` times as fast from wall time ``started`` on."""

    as_of: datetime | None = Field(None, description="a virtual clock that began at this moment; none: wall time")
    speed: float = Field(1.0, ge=0, description="how many times as fast as wall time it runs")
    started: datetime | None = Field(None, description="wall time at which it began; give all processes the same")
    pace: list[tuple[datetime, float]] = Field([], description="other speeds from given moments of that time on")
    start_file: Path | None = Field(None, description="instead of started: the clock stands until this file names it")

    @field_validator("as_of", "started")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    def clock(self) -> Clock:
        """The clock these settings describe; without ``started`` a virtual clock starts now."""
        if self.as_of is None:
            return WallClock()
        if self.start_file is not None:
            return HeldClock(self.as_of, self.speed, self.start_file, tuple(self.pace))
        return VirtualClock(self.as_of, self.speed, self.started or datetime.now(UTC), tuple(self.pace))


class TracingSettings(BaseModel):
    """Where spans go. The trace of a request is carried on to the webhook in any case."""

    exporter: Literal["none", "otlp", "console"] = Field(
        "none",
        description="none makes no spans; otlp needs the package's extra of that name; console is for trying out",
    )
    endpoint: str = Field("http://127.0.0.1:4318/v1/traces", description="of the collector: OTLP over HTTP")
    sample_ratio: float = Field(
        1.0, ge=0, le=1, description="part of the traces begun here that is recorded; others do as their caller does"
    )


class Settings(BaseSettings):
    """What every service needs; each service's ``settings`` module adds its own."""

    # An error names the variable and what is wrong with it, never the value: it may be a secret.
    model_config = SettingsConfigDict(
        env_prefix="HEADROOM_", env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    http: HttpSettings = HttpSettings()
    clock: ClockSettings = ClockSettings()
    tracing: TracingSettings = TracingSettings()
    database_url: str = Field("", description="SQLAlchemy URL with asyncpg, e.g. postgresql+asyncpg://user@host/db")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what is not below it is logged"
    )
    log_format: Literal["json", "console"] = Field("json", description="console is coloured text for a person")
    bootstrap_key_hash: str = Field(
        "", description="SHA-256 (hex) of the first API key, which has every scope; empty: none"
    )


Some = TypeVar("Some", bound=Settings)


def read_settings(kind: type[Some]) -> Some:
    """The settings of the environment. Raises ConfigurationError, which names what is wrong by its variables."""
    try:
        return kind()
    except ValidationError as error:
        wrong = [f"HEADROOM_{'__'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        raise ConfigurationError("; ".join(wrong), do=_DO) from None
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = f"HEADROOM_{field[1].upper()}" if field else "a setting"
        raise ConfigurationError(f"{name}, or what begins with it, should be JSON and is not", do=_DO) from None


_DO = "Correct what is named; docs/guide/operations.md lists every setting."
