"""What the processes of capacity can be told beyond what every service can."""

from pydantic import BaseModel, Field

from shared.settings import Settings


class CapacityPart(BaseModel):
    """``HEADROOM_CAPACITY__…``."""

    fold_every: float = Field(0.03, gt=0, description="seconds between two flushes of cells")
    project_every: float = Field(0.03, gt=0, description="seconds between two looks for a frame to publish")


class CapacitySettings(Settings):
    """Everything a process of capacity needs."""

    capacity: CapacityPart = CapacityPart()
