"""The processes, asked at their own addresses: ready or why not, which version, how far behind, what time they have."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from headroom.checks.finding import Finding
from headroom.checks.machine import clock
from headroom.reasons import reason
from shared.errors import ConfigurationError

ANSWER_WITHIN = 5.0
LAG = "headroom_consumer_lag_records"
DATE_ACCURACY = 1.0
"""The ``Date`` of an answer has whole seconds."""


@dataclass(slots=True)
class Answered:
    """What one process said; ``lag`` by (topic, partition), ``ahead`` is its clock against ours in seconds."""

    name: str
    url: str
    trouble: str = ""
    reasons: list[str] = field(default_factory=list)
    version: str = ""
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    ahead: float | None = None


def named_urls(given: Sequence[str]) -> dict[str, str]:
    """Addresses by name from ``name=http://…`` or plain ones, which are called by their address."""
    urls = {}
    for text in given:
        match = re.fullmatch(r"(?:([a-z-]+)=)?(https?://.+?)/?", text)
        if match is None:
            raise ConfigurationError(
                f"{text!r} is no address", do="Give --url http://127.0.0.1:8080 or --url door=http://…"
            )
        urls[match.group(1) or match.group(2)] = match.group(2)
    return urls


async def look(urls: Mapping[str, str]) -> tuple[list[Answered], list[Finding]]:
    """What the processes at ``urls`` say of themselves."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        answers = list(await asyncio.gather(*(_ask(session, name, url) for name, url in urls.items())))
    return answers, [finding for answer in answers for finding in findings_on(answer)]


def findings_on(answer: Answered) -> list[Finding]:
    """What one answer comes to."""
    check = f"process {answer.name}"
    if answer.trouble:
        do = f"Look into its log and whether {answer.url} is its address; a supervisor starts it again"
        return [Finding(check, "problem", answer.trouble, "it does not do its part", do)]
    found = []
    if answer.reasons:
        means = "it waits for what it names; it gets no traffic meanwhile"
        do = "Look at what it names first; if a restore does not move, look into its log"
        found.append(Finding(check, "problem", f"not ready: {'; '.join(answer.reasons)}", means, do))
    elif answer.version not in ("", version("headroom")):
        what = f"ready, version {answer.version}; this command is {version('headroom')}"
        found.append(Finding(check, "note", what, "an upgrade is under way, or one was left half done"))
    else:
        found.append(Finding(check, "ok", "ready"))
    if answer.ahead is not None:
        told = clock(answer.name, answer.ahead, DATE_ACCURACY)
        found += [told] if told.state != "ok" else []
    return found


async def _ask(session: aiohttp.ClientSession, name: str, url: str) -> Answered:
    answer = Answered(name, url)
    try:
        before = time.time()
        async with session.get(f"{url}/readyz") as response:
            body: Any = await response.json(content_type=None)
            answer.reasons = (
                [] if response.status == 200 else [str(one) for one in body["reasons"]] or ["no reason given"]
            )
            answer.ahead = _ahead(response.headers.get("Date"), (before + time.time()) / 2)
        async with session.get(f"{url}/metrics") as response:
            _read_metrics(answer, await response.text())
    except TimeoutError:
        answer.trouble = f"takes connections but does not answer within {ANSWER_WITHIN:.0f} s"
    except aiohttp.ClientConnectorError as error:
        answer.trouble = f"cannot be reached: {reason(error)}"
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
        answer.trouble = f"does not answer as a process of headroom does: {error}"
    return answer


def _ahead(date: str | None, now: float) -> float | None:
    try:
        # The second that has begun is on average half over.
        return parsedate_to_datetime(date).timestamp() + 0.5 - now if date else None
    except ValueError:
        return None


def _read_metrics(answer: Answered, text: str) -> None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == LAG:
                place = sample.labels["topic"], int(sample.labels["partition"])
                answer.lag[place] = int(sample.value)
            elif sample.name == "headroom_build_info":
                answer.version = sample.labels["version"]
                if answer.name == answer.url:
                    answer.name = sample.labels["process"]
