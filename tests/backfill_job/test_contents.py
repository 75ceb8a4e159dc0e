"""Reading objects back: against a real server."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from testing_paths import Paths

from backfill_job import contents
from backfill_job.async_api import AsyncApi, RetryPolicy
from backfill_job.contents import ContentsCheck, Sampling, check_contents
from backfill_job.verdict import Finding, judged
from shared.errors import PermissionDenied
from shared.gateway import Gateway

DAY = "qpi_answers_20240101/"
GOOD = b'{"user_id":"7"}\n'
BAD = b'{"user_id":7}\n'
HASTY = RetryPolicy(deadline=2.0, initial=0.01)


def read(
    paths: Paths, gateway: Gateway, asked: str = "all", *, then: Callable[[], object] = lambda: None
) -> ContentsCheck:
    findings = [*judged(paths.diff(gateway), paths.migration)]
    then()

    async def batches() -> AsyncIterator[Sequence[Finding]]:
        for place in range(0, len(findings), 3):
            yield findings[place : place + 3]

    async def run() -> ContentsCheck:
        async with AsyncApi(endpoint=paths.server.url, connections=8, retry=HASTY) as api:
            return await check_contents(batches(), api, paths.migration, Sampling.parse(asked))

    return asyncio.run(run())


def both(paths: Paths, name: str, data: bytes, **more: Any) -> None:
    for side in ("source", "destination"):
        paths.put(name, data, side=side, **more)


def test_only_jsonl_objects_are_read_and_one_side_of_equal_ones(paths: Paths, gateway: Gateway) -> None:
    """The bytes are the same, so what is wrong in them was wrong before."""
    both(paths, DAY + "user_id_1.jsonl", GOOD)
    both(paths, DAY + "user_id_2.jsonl", BAD + GOOD)
    both(paths, "qpi_questions_20240101.csv", b"not,json\n")
    paths.server.reset_stats()
    found = read(paths, gateway)
    assert (found.objects, found.rows, found.migration, found.migration_errors) == (2, 2, {}, 0)
    content = found.to_json()
    assert content["source_problems"] == {"wrong_type": {"objects": 1, "lines": 1, "severity": "error"}}
    assert [(each["name"], each["side"], each["line"]) for each in content["examples"]] == [
        (DAY + "user_id_2.jsonl", "source", 1)
    ]
    assert paths.requests("storage.objects.download") + paths.requests("storage.objects.get") == 2


def test_what_only_the_destination_has_is_the_migration_s(paths: Paths, gateway: Gateway) -> None:
    """What both have is the source's."""
    paths.put(DAY + "user_id_1.jsonl", BAD)
    paths.put(DAY + "user_id_1.jsonl", BAD + b"{", side="destination")
    paths.put(DAY + "user_id_2.jsonl", b"{\n", side="destination")
    paths.put(DAY + "user_id_3.jsonl", b"{\n")
    content = read(paths, gateway).to_json()
    assert {kind: each["objects"] for kind, each in content["source_problems"].items()} == {
        "wrong_type": 1,
        "not_json": 1,
    }
    assert {kind: each["objects"] for kind, each in content["migration_problems"].items()} == {
        "truncated_last_line": 1,
        "not_json": 1,
    }


def test_a_version_that_is_gone_is_not_judged(paths: Paths, gateway: Gateway) -> None:
    """Overwritten between the listing and the reading: never another version's contents."""
    both(paths, DAY + "user_id_1.jsonl", GOOD)
    found = read(paths, gateway, then=lambda: paths.put(DAY + "user_id_1.jsonl", BAD, side="destination"))
    assert (found.objects, found.changed, found.source) == (0, 1, {})


def test_a_read_that_fails_gives_no_verdict(paths: Paths, gateway: Gateway) -> None:
    """Neither "fine" nor "broken"."""
    for number in range(9):
        both(paths, f"{DAY}user_id_{number}.jsonl", GOOD)
    denied = {"name_prefix": f"qpi_exports/{DAY}user_id_5", "count": None, "status": 403}
    with pytest.raises(PermissionDenied):
        read(paths, gateway, then=lambda: paths.server.set_faults(rules=[denied]))


def test_transient_faults_are_ridden_out(paths: Paths, gateway: Gateway) -> None:
    """Resets, truncated answers and 503s."""
    for number in range(40):
        both(paths, f"{DAY}user_id_{number}.jsonl", GOOD)
    rates = {"503": 0.1, "reset_after": 0.1, "truncate": 0.1}
    found = read(paths, gateway, then=lambda: paths.server.set_faults(rates=rates))
    assert (found.objects, found.rows, found.source) == (40, 40, {})


def test_large_objects_are_read_in_pieces(
    paths: Paths, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece of the same version; size and checksum are those of the whole."""
    monkeypatch.setattr(contents, "PIECE", 1_000)
    rows = b"".join(json.dumps({"user_id": str(number)}).encode() + b"\n" for number in range(700))
    both(paths, DAY + "user_id_1.jsonl", rows)
    paths.server.reset_stats()
    found = read(paths, gateway)
    assert (found.objects, found.rows, found.bytes, found.source) == (1, 700, len(rows), {})
    asked = paths.requests("storage.objects.download") + paths.requests("storage.objects.get")
    assert asked == -(-len(rows) // 1_000)


def test_packed_contents_are_checked_as_stored_and_read_unpacked(paths: Paths, gateway: Gateway) -> None:
    """The checksum is of the stored bytes, the rows are what the consumer sees."""
    both(paths, DAY + "user_id_1.jsonl", gzip.compress(GOOD + BAD), content_encoding="gzip")
    both(paths, DAY + "user_id_2.jsonl", GOOD, content_encoding="gzip")
    both(paths, DAY + "user_id_3.jsonl", gzip.compress(GOOD)[:-4], content_encoding="gzip")
    found = read(paths, gateway).to_json()
    kinds = {kind: each["objects"] for kind, each in found["source_problems"].items()}
    assert kinds == {"wrong_type": 1, "not_gzip": 2, "empty": 1}


def test_a_sample_is_the_same_for_everybody(paths: Paths, gateway: Gateway) -> None:
    """Drawn by the name; a larger sample holds the smaller one."""
    names = [f"{DAY}user_id_{number}.jsonl" for number in range(2_000)]
    small, large = Sampling.parse("sample:5"), Sampling.parse("sample:20")
    drawn = {name for name in names if small.takes(name)}
    assert 50 < len(drawn) < 160
    assert drawn < {name for name in names if large.takes(name)}
    assert all(Sampling.parse("all").takes(name) for name in names)
    assert not any(Sampling.parse("none").takes(name) for name in names)


@pytest.mark.parametrize(
    "text", ["", "some", "sample", "sample:", "sample:0", "sample:101", "sample:x", "sample:nan", "all:5"]
)
def test_what_is_no_sampling_is_refused(text: str) -> None:
    """In one line that says what is."""
    with pytest.raises(ValueError, match="neither none, all, nor sample:P"):
        Sampling.parse(text)


def test_parts_add_up(paths: Paths, gateway: Gateway) -> None:
    """Through JSON, as tasks' reports are."""
    both(paths, DAY + "user_id_1.jsonl", BAD)
    one = read(paths, gateway)
    both(paths, DAY + "user_id_2.jsonl", b"{\n")
    other = read(paths, gateway)
    whole = ContentsCheck.merged(
        [ContentsCheck.from_json(json.loads(json.dumps(part.to_json()))) for part in (one, other)]
    )
    assert (whole.objects, whole.source["wrong_type"].objects, whole.source["not_json"].lines) == (3, 2, 1)
    assert len(whole.examples) == 3
