"""What a shard told of itself is taken back when its process no longer has it and lives on."""

from types import SimpleNamespace
from typing import Any

from faust.types import TP

from shared.clock import WallClock
from shared.settings import KafkaSettings
from shared.streams.health import Health
from shared.streams.restore import Barrier
from shared.streams.shard_runtime import ShardRuntime, Slot
from shared.streams.shards import Role
from shared.topics import Topic

STATE = Topic("state", "anything", "what is restored", "compact")


async def test_the_role_hears_of_the_shards_that_went_and_of_no_others() -> None:
    ended: list[int] = []
    shard: Any = object()
    role = Role("ending", (STATE,), (), lambda _: shard, ended=ended.append)
    runtime = ShardRuntime(role, KafkaSettings(), WallClock(), Health(), lambda _: None)
    log: Any = SimpleNamespace(epoch=1, pause_partitions=lambda _: None, highwaters=ends)
    runtime.log = log
    for number in (0, 1):
        writer: Any = SimpleNamespace(stop=done)
        barrier = Barrier({"state": 0}, {"state": 100})
        runtime._slots[number] = Slot(number, shard, writer, [], {TP("state", number): 0}, barrier)
    await runtime._take(frozenset({TP("state", 1)}), True)
    assert ended == [0]
    await runtime._take(frozenset(), True)
    assert ended == [0, 1]


async def done() -> None: ...


async def ends(*tps: TP) -> dict[TP, int]:
    return dict.fromkeys(tps, 100)
