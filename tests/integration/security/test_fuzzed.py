"""Whatever the APIs' own descriptions allow, and what they do not: no answer says that something went wrong here.

The three applications run as processes on a real broker and database with a plan, deals and frames to answer from.
Schemathesis derives requests from each process's OpenAPI document. The stream is left out: it does not end.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.core.result import Ok

from shared.access import hash_key, new_key
from tests.integration.capacity.system import Topics
from tests.integration.operator.conftest import log, migrated_url  # noqa: F401 — fixtures
from tests.integration.operator.processes import environment, running
from tests.integration.operator.test_rebuild_models import fill, tables
from tests.waiting import eventually

KEY = new_key()
EXAMPLES = 12
"""Requests made for each operation in each way, so that all of it ends within a minute."""
ENDLESS = {"/v1/stream"}
PROCESSES = ("door", "views", "notifier")

FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
async def urls(
    log: Topics,  # noqa: F811
    migrated_url: str,  # noqa: F811
    tmp_path: Path,
) -> AsyncIterator[dict[str, str]]:
    """The addresses of running processes that have something to tell."""
    await fill(log)
    variables = environment(log.kafka, migrated_url, HEADROOM_BOOTSTRAP_KEY_HASH=hash_key(KEY))
    async with running(*PROCESSES, logs=tmp_path, **variables) as processes:

        async def told() -> bool:
            return len((await tables(migrated_url))["projection"]) == 1

        await eventually(told, within=60)
        yield {one.name: one.url for one in processes.status()}
        assert [one.restarts for one in processes.status()] == [0, 0, 0], "a request ended a process"


async def test_no_request_is_answered_with_a_fault_of_ours(urls: dict[str, str]) -> None:
    statuses: Counter[int] = Counter()
    operations = sum([await asyncio.to_thread(fuzz, urls[name], statuses) for name in PROCESSES])
    assert operations >= 20
    assert statuses.total() > 10 * operations, "they were asked"
    assert statuses[401] == 0, "the key was taken"
    assert statuses[200], "some of it was answered"


def fuzz(url: str, statuses: Counter[int]) -> int:
    """Send requests to every operation at ``url``; how many operations there are."""
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    for operation in operations:
        if operation.path not in ENDLESS:
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

                @seed(20260330)
                @FEW
                @given(case=operation.as_strategy(generation_mode=mode))
                def ask(case: Case) -> None:
                    answer = case.call(headers={"X-API-Key": KEY}, timeout=20)
                    statuses[answer.status_code] += 1
                    assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.text}"
                    if answer.status_code >= 400:
                        assert answer.headers["content-type"] == ["application/problem+json"], answer.text

                # Some operations take nothing that could be wrong.
                with suppress(Unsatisfiable):
                    ask()
    return len(operations)
