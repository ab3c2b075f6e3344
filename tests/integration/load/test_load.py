"""Loads over real HTTP: in order, all of it, whatever the door answers and wherever the load is cut off."""

import asyncio
import csv
import json
from collections import defaultdict
from typing import Any

import pytest
from aiohttp import web

from headroom.load_send import BATCH, LANES
from tests.integration.load.conftest import Folder, RecordingDoor
from tests.unit.load.files import MAPPING, ROWS, load
from tests.waiting import eventually

Event = dict[str, Any]


def by_id(events: list[Event]) -> dict[str, Event]:
    return {event["id"]: event for event in events}


def expected(rows: list[str]) -> dict[str, Event]:
    return by_id([event.body for event in load(rows).events])


async def test_everything_arrives_in_batches_with_each_deals_events_in_order(
    door: RecordingDoor, folder: Folder, many: list[str]
) -> None:
    folder.write(many)
    ended = await folder.load(door.url, "--key", "hr_secret", "--json")
    assert ended.code == 0, ended.err
    assert ended.err == ""
    summary = json.loads(ended.out)
    assert (summary["rows"], summary["sent"], summary["not_yet"], summary["rejected"]) == (1000, 1000, 0, [])
    assert (summary["events"], summary["events_total"]) == ({"engaged": 1000, "closed": 500, "prospected": 0}, 1500)
    assert len(door.taken) == 1500
    assert by_id(door.taken) == expected(many)
    assert max(map(len, door.batches)) == BATCH
    assert {request.headers["Authorization"] for request in door.requests} == {"Bearer hr_secret"}
    times = defaultdict(list)
    for event in door.taken:
        times[event["subject"]].append(event["time"])
    assert all(seen == sorted(seen) for seen in times.values())


async def test_a_second_load_sends_the_same_again(door: RecordingDoor, folder: Folder) -> None:
    folder.write(ROWS.splitlines())
    for _ in range(2):
        assert (await folder.load(door.url)).code == 0
    assert len(door.taken) == 16
    assert by_id(door.taken[:8]) == by_id(door.taken[8:])


async def test_a_busy_door_is_asked_again(door: RecordingDoor, folder: Folder, many: list[str]) -> None:
    async def busy(batch: list[Event]) -> web.Response | None:
        if len(door.requests) % 3 == 0:
            return web.Response(status=429 if len(door.requests) % 2 else 503, headers={"Retry-After": "0"})
        return None

    door.answer = busy
    folder.write(many)
    ended = await folder.load(door.url)
    assert ended.code == 0, ended.err
    assert len(door.taken) == 1500
    assert by_id(door.taken) == expected(many)


async def test_a_door_that_stays_busy_ends_the_load_with_not_ready(folder: Folder) -> None:
    folder.write(ROWS.splitlines())

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await folder.load(f"http://127.0.0.1:{port}")
    assert ended.code == 5
    assert "the door does not take anything now" in ended.err
    assert "0 of 8 events are in; the same command goes on." in ended.err


async def test_a_load_killed_in_the_middle_goes_on_where_it_was(
    door: RecordingDoor, folder: Folder, many: list[str]
) -> None:
    async def stuck_after_six(batch: list[Event]) -> web.Response | None:
        if len(door.batches) >= 6:
            await asyncio.Event().wait()
        return None

    door.answer = stuck_after_six
    folder.write(many)
    process = await folder.start(door.url)
    await eventually(lambda: len(door.requests) >= 6 + LANES - 1, within=60, what="the door is stuck")
    process.kill()
    await process.wait()
    before = list(door.batches)
    door.answer = None
    ended = await folder.load(door.url, "--json")
    assert ended.code == 0, ended.err
    again = [event for batch in door.batches[len(before) :] for event in batch]
    assert by_id(door.taken) == expected(many)
    # What was acknowledged but not noted when it was killed comes twice: at most a batch of each lane.
    assert len(door.taken) - 1500 <= LANES * BATCH
    assert len(again) < 1500
    assert json.loads(ended.out)["events_sent_before"] == 1500 - len(again) > 0


@pytest.mark.parametrize("change", ["--fresh", "as-of", "rows", "mapping"])
async def test_another_load_does_not_take_over_what_an_interrupted_one_noted(
    door: RecordingDoor, folder: Folder, many: list[str], change: str
) -> None:
    async def refuses_from_the_third(batch: list[Event]) -> web.Response | None:
        return web.json_response({"title": "no"}, status=403) if len(door.batches) >= 2 else None

    door.answer = refuses_from_the_third
    folder.write(many)
    assert (await folder.load(door.url)).code == 4
    door.answer = None
    door.batches.clear()
    more = {"--fresh": ["--fresh"], "as-of": ["--as-of", "2026-01-01"]}.get(change, [])
    rows = [*many, "x,Widget,,Open,2025-01-01,,"] if change == "rows" else many
    folder.write(rows, MAPPING.replace("at_least: 2", "at_least: 3") if change == "mapping" else MAPPING)
    assert (await folder.load(door.url, *more)).code == 0
    # The two batches that the interrupted load had noted are sent again; a request it left behind may come late.
    assert len(by_id(door.taken)) == (1501 if change == "rows" else 1500)


async def test_an_event_the_door_refuses_is_a_rejected_row_and_the_others_get_through(
    door: RecordingDoor, folder: Folder, many: list[str]
) -> None:
    async def picky(batch: list[Event]) -> web.Response | None:
        if any(event["subject"] in {"w7", "o9"} for event in batch):
            return web.json_response({"title": "cannot be used", "detail": "too odd"}, status=400)
        return None

    door.answer = picky
    folder.write([*many, "bad,Widget,,Open,yesterday,,"])
    ended = await folder.load(door.url, "--rejected", "rejected.csv")
    assert ended.code == 3, ended.err
    assert len({event["id"] for event in door.taken}) == 1500 - 3
    with (folder.path / "rejected.csv").open(newline="") as opened:
        rejected = list(csv.DictReader(opened))
    assert [(row["line"], row["id"]) for row in rejected] == [("9", "w7"), ("511", "o9"), ("1002", "bad")]
    assert rejected[1]["reason"] == "the door refused o9/engaged: cannot be used too odd"
    assert rejected[2]["reason"] == "began is 'yesterday', not a day like %Y-%m-%d"
    assert [line.split() for line in ended.out.splitlines() if "│" in line][0::2] == [
        ["│", "sent", "│", "998", "│"],
        ["│", "rejected", "│", "3", "│"],
    ]


async def test_a_key_without_the_scope_ends_with_not_allowed(door: RecordingDoor, folder: Folder) -> None:
    async def forbid(batch: list[Event]) -> web.Response | None:
        return web.json_response({"title": "this key may not do that", "detail": "It has read."}, status=403)

    door.answer = forbid
    folder.write(ROWS.splitlines())
    ended = await folder.load(door.url)
    assert ended.code == 4
    assert "this key may not do that (It has read.)" in ended.err


async def test_a_dry_run_sends_nothing(door: RecordingDoor, folder: Folder) -> None:
    folder.write(ROWS.splitlines())
    ended = await folder.load(door.url, "--dry-run", "--as-of", "2025-01-21")
    assert (ended.code, door.requests) == (0, [])
    assert "would be sent (as of 2025-01-21) │ 4" in ended.out
    assert "5 events: 3 engaged, 1 closed, 1 prospected; 3 lie after the day" in ended.out


async def test_a_missing_column_is_named_with_the_mappings_line(door: RecordingDoor, folder: Folder) -> None:
    folder.write([])
    (folder.path / "rows.csv").write_text("id,product,account,stage,began,ended\n")
    ended = await folder.load(door.url)
    assert (ended.code, door.requests) == (1, [])
    assert "map.yaml:28:24: rows.csv has no column 'value'; its columns are id, product, account" in ended.err


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("ftp://127.0.0.1/", 2, "is not an http address"),
        ("{door}/elsewhere", 1, "there is no door here"),
    ],
)
async def test_a_wrong_address_is_said_at_once(
    door: RecordingDoor, folder: Folder, url: str, code: int, said: str
) -> None:
    folder.write(ROWS.splitlines())
    ended = await folder.load(url.format(door=door.url))
    assert (ended.code, said in ended.err) == (code, True), ended.err


async def test_a_file_that_is_not_there_is_named(door: RecordingDoor, folder: Folder) -> None:
    folder.write([])
    (folder.path / "rows.csv").unlink()
    ended = await folder.load(door.url)
    assert (ended.code, "rows.csv: the file cannot be read" in ended.err) == (1, True)
