"""Has the broker compact the tables, and waits until it has."""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.topics import CELLS, DEALS, EPISODES, FORECASTS, POSITIONS, REPORTS, Topic
from tests.faults.harness.log import Log
from tests.faults.harness.system import System
from tests.waiting import eventually

COMPACTED = (DEALS, REPORTS, CELLS, POSITIONS, FORECASTS, EPISODES)
COMPACTS_WITHIN = 90.0


async def compact(system: System) -> None:
    """Let the broker compact the tables from now on; returns when all that they hold now is compacted."""
    await _compact_from_now_on(system)
    async with Log(system.settings, topics=COMPACTED) as log:
        await log.catch_up()
        upto = log.ends
    await eventually(lambda: _compacted(system, upto), within=COMPACTS_WITHIN, every=1, what="compaction")


async def _compact_from_now_on(system: System) -> None:
    often = {
        "segment.ms": "2000",
        "min.cleanable.dirty.ratio": "0.001",
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": "0",
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=system.settings.bootstrap)
    await admin.start()
    try:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name, often) for topic in COMPACTED]
        await admin.alter_configs(resources)
    finally:
        await admin.close()


async def _compacted(system: System, upto: Mapping[tuple[Topic, int], int]) -> bool:
    """Whether each key has one record below these offsets, in every partition of all tables."""
    async with Log(system.settings, topics=COMPACTED) as fresh:
        await fresh.catch_up()
        return all(fresh.repeated.get(place, end) >= end for place, end in upto.items())
