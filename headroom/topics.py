"""``headroom topics``: bring a broker's topics to what ``shared/topics.py`` declares, or say how they differ.

What is missing is created and settings are put right. The number of partitions is never changed: a key's records would
move to another partition, and with them the state that is folded from it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from rich.console import Console
from rich.table import Table

from headroom.reasons import reason
from shared.errors import ConfigurationError, NotReady
from shared.kafka import connection_options
from shared.settings import KafkaSettings, Settings, read_settings
from shared.topics import ALL, DEALS, Topic

app = typer.Typer(help="Topics on the broker: create what is missing, or show how they differ.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@dataclass(frozen=True, slots=True)
class Difference:
    """How one topic on the broker is not as declared; ``setting`` is empty for a topic that is missing."""

    topic: str
    kind: Literal["missing", "setting", "partitions"]
    setting: str = ""
    found: str = ""
    declared: str = ""


@app.command("apply")
def apply_command(as_json: Json = False) -> None:
    """Create missing topics and put settings right; says what it did."""
    done = asyncio.run(apply(read_settings(Settings).kafka))
    if as_json:
        print(json.dumps({"applied": [asdict(difference) for difference in done]}))
    elif done:
        _show(done, "Brought to what is declared")
    else:
        print("All topics are as declared.")


@app.command("diff")
def diff_command(as_json: Json = False) -> None:
    """Show how the broker's topics differ from what is declared; ends with 3 when they do."""
    found = asyncio.run(diff(read_settings(Settings).kafka))
    if as_json:
        print(json.dumps({"differences": [asdict(difference) for difference in found]}))
    elif found:
        _show(found, "Not as declared")
    else:
        print("All topics are as declared.")
    if found:
        raise typer.Exit(3)


async def diff(kafka: KafkaSettings, topics: Sequence[Topic] = ALL) -> list[Difference]:
    """Every difference between the broker and the declaration; raises ``NotReady`` when the broker does not answer."""
    async with _admin(kafka) as admin:
        return await _diff(admin, kafka, topics)


async def apply(kafka: KafkaSettings, topics: Sequence[Topic] = ALL) -> list[Difference]:
    """Bring the broker to the declaration and return what differed; may be repeated.

    Raises ``ConfigurationError``, with nothing changed, when a topic has another number of partitions than declared.
    """
    async with _admin(kafka) as admin:
        found = await _diff(admin, kafka, topics)
        _refuse_repartitioning(found)
        by_name = {kafka.topic_prefix + topic.name: topic for topic in topics}
        if missing := [by_name[difference.topic] for difference in found if difference.kind == "missing"]:
            await _create(admin, kafka, missing)
        for name in dict.fromkeys(difference.topic for difference in found if difference.kind == "setting"):
            answers = await admin.alter_configs([_resource(name, by_name[name].config())])
            _raise_errors((code, message, name) for answer in answers for code, message, *_ in answer.resources)
        await _until_known(admin, set(by_name))
        return found


async def shards(kafka: KafkaSettings) -> int | None:
    """How many partitions the broker's sharded topics have; None when there are none yet."""
    async with _admin(kafka) as admin:
        name = kafka.topic_prefix + DEALS.name
        if name not in await admin.list_topics():
            return None
        (found,) = await admin.describe_topics([name])
        return len(found["partitions"])


async def delete(kafka: KafkaSettings, topics: Sequence[Topic] = ALL) -> None:
    """Delete the topics under the settings' prefix; for systems that were temporary."""
    async with _admin(kafka) as admin:
        known = set(await admin.list_topics())
        await admin.delete_topics(sorted(known & {kafka.topic_prefix + topic.name for topic in topics}))


async def _diff(admin: AIOKafkaAdminClient, kafka: KafkaSettings, topics: Sequence[Topic]) -> list[Difference]:
    declared = {kafka.topic_prefix + topic.name: topic for topic in topics}
    known = sorted(set(await admin.list_topics()) & set(declared))
    partitions = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics(known)} if known else {}
    settings = await _settings(admin, known)
    differences = []
    for name, topic in declared.items():
        if name not in partitions:
            differences.append(Difference(name, "missing"))
            continue
        wanted = topic.partitions(kafka.partitions)
        if partitions[name] != wanted:
            differences.append(Difference(name, "partitions", "partitions", str(partitions[name]), str(wanted)))
        differences += [
            Difference(name, "setting", setting, settings[name].get(setting, ""), value)
            for setting, value in topic.config().items()
            if settings[name].get(setting) != value
        ]
    return differences


def _refuse_repartitioning(found: Sequence[Difference]) -> None:
    refused = [difference for difference in found if difference.kind == "partitions"]
    if not refused:
        return
    names = ", ".join(f"{d.topic} has {d.found} and {d.declared} are declared" for d in refused)
    raise ConfigurationError(
        "the number of partitions of a topic is fixed for its life; nothing was changed",
        where=names,
        why="its keys would move to other partitions, away from the state that is folded from them",
        do="Set HEADROOM_KAFKA__PARTITIONS back to what the broker has, or grow: declare the next version of the "
        "topic (`.v2`) and copy the records over",
    )


async def _create(admin: AIOKafkaAdminClient, kafka: KafkaSettings, topics: Sequence[Topic]) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(
                name=kafka.topic_prefix + topic.name,
                num_partitions=topic.partitions(kafka.partitions),
                replication_factor=kafka.replication_factor,
                topic_configs=topic.config(),
            )
            for topic in topics
        ]
    )
    # 36: another start was quicker and has created it as declared
    _raise_errors((code, message, name) for name, code, message in answer.topic_errors if code != 36)


async def _until_known(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Wait until the brokers tell clients of every topic; creation is acknowledged a moment before that."""
    for _ in range(100):
        if names <= set(await admin.list_topics()):
            return
        await asyncio.sleep(0.1)
    raise NotReady("the broker accepted the topics but does not list them", do="Look into the broker's log")


async def _settings(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs([_resource(name, None) for name in names])
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for _code, _message, _kind, name, entries in answer.resources
    }


def _resource(name: str, config: dict[str, str] | None) -> ConfigResource:
    return ConfigResource(ConfigResourceType.TOPIC, name, config)


def _raise_errors(results: Any) -> None:
    for code, message, name in results:
        if code != 0:
            raise ConfigurationError(
                f"the broker refused the topic {name}",
                why=message or for_code(code).__name__,
                do="HEADROOM_KAFKA__REPLICATION_FACTOR may exceed the number of brokers, or the user may lack rights",
            )


@asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection_options(kafka))
    try:
        await admin.start()
        yield admin
    except KafkaError as failure:
        raise NotReady(
            "the broker does not answer",
            where=kafka.bootstrap,
            why=reason(failure),
            do="Start it, or set HEADROOM_KAFKA__BOOTSTRAP to the one to use",
        ) from failure
    finally:
        await admin.close()


def _show(differences: Sequence[Difference], title: str) -> None:
    table = Table("topic", "what", "found", "declared", title=title, title_justify="left")
    for difference in differences:
        table.add_row(difference.topic, difference.setting or difference.kind, difference.found, difference.declared)
    Console().print(table)
