"""What the notifier can be told: ``HEADROOM_NOTIFIER__…``."""

from pydantic import BaseModel, Field, IPvAnyNetwork

from shared.settings import Settings


class DeliverySettings(BaseModel):
    """How messages are sent."""

    allow_networks: list[IPvAnyNetwork] = Field(
        [], description="CIDRs that may be dialled although they are private: receivers of one's own"
    )
    concurrency: int = Field(512, ge=1, description="attempts under way in one process")
    per_endpoint: int = Field(4, ge=1, description="attempts under way to one subscription in one process")
    timeout: float = Field(15.0, gt=0, description="seconds for one attempt, name, connection and answer included")
    lease: float = Field(
        10.0, gt=0, le=15, description="seconds after which a silent worker's deliveries are taken over"
    )
    poll: float = Field(1.0, gt=0, description="seconds between looks for deliveries that others planned")
    group_window: float = Field(
        300.0, ge=0, description="seconds over which what is beyond an alert budget is gathered into one message"
    )
    keep_days: int = Field(90, ge=30, description="days that ended deliveries and the stream's past are kept")
    heartbeat: float = Field(15.0, gt=0, description="seconds between comments on a stream on which nothing happens")


class NotifierSettings(Settings):
    """Everything the process needs."""

    notifier: DeliverySettings = DeliverySettings()
