"""What ingest reads from the environment beyond what every service does.

``HEADROOM_INGEST__HUBSPOT`` is a JSON object of connections by name, which is the last part of
the webhook's address.
"""

from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator

from services.ingest.domain.rates import Rates
from services.ingest.normalise import hubspot
from shared.settings import Settings

ConnectionName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class HubspotProperty(BaseModel):
    """A property of the portal and the field of a deal it is."""

    model_config = ConfigDict(extra="forbid")

    field: str
    values: dict[str, str] = {}
    zone: Literal["portal", "utc"] = Field("portal", description="whose midnight a date of this property is")

    @field_validator("field")
    @classmethod
    def _is_a_field(cls, value: str) -> str:
        if value not in hubspot.FIELDS:
            raise ValueError(f"{value!r} is none of {', '.join(sorted(hubspot.FIELDS))}")
        return value


class HubspotConnection(BaseModel):
    """One HubSpot app's webhooks: how they are signed and what they mean."""

    model_config = ConfigDict(extra="forbid")

    secrets: list[SecretStr] = Field(min_length=1, description="the app's client secret; two while it is being changed")
    uri: HttpUrl = Field(description="the public address HubSpot posts to, as it is written there")
    signatures: set[Literal["v1", "v2", "v3"]] = Field({"v3"}, description="v1 and v2 can be replayed for ever")
    portals: set[int] = Field(set(), description="the accounts it serves; empty for every account of the app")
    timezone: ZoneInfo = ZoneInfo("UTC")
    stages: dict[str, str] = Field({}, description="internal id of a deal stage: stage of the plan")
    properties: dict[str, HubspotProperty] = {}
    defaults: dict[str, str] = Field({}, description="fields assumed of every deal, such as the product")
    mapping_version: int = Field(1, ge=1, description="raise it with every change of the mapping")

    @field_validator("defaults")
    @classmethod
    def _are_fields(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            hubspot.check_default(name, text)
        return value

    def connection(self, name: str) -> hubspot.Connection:
        """What the normaliser needs of it, which does not include the secrets."""
        return hubspot.Connection(
            name=name,
            zone=self.timezone,
            stages=self.stages,
            properties={key: hubspot.Property(p.field, p.values, p.zone) for key, p in self.properties.items()},
            defaults=self.defaults,
            portals=frozenset(self.portals),
            mapping=self.mapping_version,
        )


class Door(BaseModel):
    """Limits of the door and what it knows of senders."""

    body_limit: int = Field(1024 * 1024, ge=1024, description="bytes of a request's body as sent")
    expanded_limit: int = Field(8 * 1024 * 1024, ge=1024, description="bytes of a gzipped body once expanded")
    body_timeout: float = Field(15.0, gt=0, description="seconds a sender has to send its body")
    append_timeout: float = Field(4.0, gt=0, description="seconds until the answer is 503; senders wait five or more")
    waiting_limit: int = Field(64 * 1024 * 1024, ge=1024 * 1024, description="bytes on their way to Kafka at once")
    hubspot: dict[ConnectionName, HubspotConnection] = Field({}, description="connections by name, see crm.md")
    rates: dict[str, float] = Field({}, description="of currencies to the plan's, where a source brings none")
    rates_date: date | None = Field(None, description="the day of these rates")

    def rates_to(self, currency: str | None) -> Rates:
        """The table beside the plan's currency, None while there is no plan."""
        return Rates(currency, self.rates, self.rates_date)


class IngestSettings(Settings):
    """The settings of both processes."""

    ingest: Door = Door()
