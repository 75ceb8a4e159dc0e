"""Made-up verifications and states in the form of the report files, consistent in themselves."""

import hashlib
import json
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from shared.loaded import LoadedDay, LoadedRecord, LoadedVerdict
from shared.migration import Location, Migration
from shared.record import state_from_head
from shared.state import State
from shared.verification import Verification, read_verification

SOURCE = "gs://data-bucket-dev/QPI_exports/"
DESTINATION = "gs://de-bigquery-data-export-dev/qpi_exports/"

HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "user_\u202e7_di_resu.jsonl",
    "line\nbreak\r\n\ttab.jsonl",
    "</script><!--<script>",
    "{{ 7 * 7 }} {% raw %}",
    "back\\slash  two spaces ",
    "שלום-עולם.jsonl",
    "soft\u00adhyphen\u200bzero\ufe0fwidth.jsonl",
    "nul\x00-lone\ud800surrogate",
    "'\"&amp;&lt;`=/",
    "x" * 1000,
)

VERDICTS = ("equal", "missing", "content_differs", "metadata_differs", "extra", "in_flight", "excluded")


def digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def side(objects: int = 0, size: int | None = None, salt: str = "") -> dict[str, Any]:
    size = objects * 612 if size is None else size
    return {
        "objects": objects,
        "bytes": size,
        "jsonl": objects,
        "empty_jsonl": 0,
        "digest": digest((objects, size, salt)),
    }


def day(when: date, objects: int, state: str = "equal") -> dict[str, Any]:
    """One day: of its objects, one or a few are not as they should be, according to its state."""
    wrong = 0 if state in {"equal", "absent"} else max(1, objects // 90)
    verdict = {"differing": "content_differs", "missing": "missing", "in_flight": "in_flight"}.get(state)
    verdicts = {"equal": objects - wrong} if objects > wrong else {}
    if verdict:
        verdicts[verdict] = wrong
    there = objects - wrong if state == "missing" else objects
    return {
        "day": when.isoformat(),
        "source": side(objects, salt=str(when)),
        "destination": side(there, salt=str(when)),
        "verdicts": verdicts,
        "verdict": state,
    }


def days(
    first: date, number: int, states: dict[date, str] | None = None, *, seed: int = 1
) -> list[dict[str, Any]]:
    """Consecutive days that grow over the years and are quieter at weekends."""
    chance = random.Random(seed)
    made = []
    for offset in range(number):
        when = first + timedelta(days=offset)
        state = (states or {}).get(when, "equal")
        size = int((400 + offset * 0.9) * (0.45 if when.weekday() >= 5 else 1.0) * chance.uniform(0.75, 1.25))
        made.append(day(when, 0 if state == "absent" else size, state))
    return made


def facts(salt: object, size: int = 612, **changes: Any) -> dict[str, Any]:
    number = int(digest(salt)[:10], 16)
    return {
        "generation": str(1_700_000_000_000_000 + number),
        "size": size,
        "crc32c": digest(salt)[:6] + "==",
        "md5": digest(salt)[:22] + "==",
        "created": "2024-03-05T09:12:44.713Z",
        "updated": "2024-03-05T09:12:44.713Z",
        **changes,
    }


def difference(name: str, verdict: str, salt: object = "") -> dict[str, Any]:
    one, other = facts((name, salt)), facts((name, salt), created="2024-03-05T09:12:45.101Z")
    match verdict:
        case "missing":
            return {"name": name, "verdict": verdict, "differences": [], "source": one, "destination": None}
        case "extra":
            return {"name": name, "verdict": verdict, "differences": [], "source": None, "destination": one}
        case "metadata_differs":
            differing = ["content type", "custom metadata"]
        case _:
            differing = ["size", "crc32c", "md5"]
            other = facts((name, salt, "other"), size=598, created="2024-03-05T09:12:45.101Z")
    return {"name": name, "verdict": verdict, "differences": differing, "source": one, "destination": other}


def total(made: list[dict[str, Any]], which: str) -> dict[str, Any]:
    sums = Counter(dict.fromkeys(("objects", "bytes", "jsonl", "empty_jsonl"), 0))
    for one in made:
        sums.update({key: one[which][key] for key in sums})
    return {**sums, "digest": digest([one[which]["digest"] for one in made])}


def verification(
    made_days: list[dict[str, Any]],
    *,
    extra: int = 0,
    metadata: int = 0,
    excluded: int = 0,
    **changes: Any,
) -> dict[str, Any]:
    """A verification of these days; names that belong to no day are added for what days cannot show."""
    undated = {
        **day(date(2020, 1, 1), 3),
        "verdicts": {"equal": 3, "extra": extra, "metadata_differs": metadata},
        "verdict": "differing" if extra or metadata else "equal",
    }
    del undated["day"]
    undated["verdicts"] = {key: number for key, number in undated["verdicts"].items() if number}
    counts = Counter(dict.fromkeys(VERDICTS, 0))
    for one in (*made_days, undated):
        counts.update(one["verdicts"])
    counts["excluded"] = excluded
    wrong = sum(number for verdict, number in counts.items() if verdict not in {"equal", "excluded"})
    everything = [*made_days, undated]
    return {
        "format": "qpi-exports-migration/verification/1",
        "run": "dev-20261123T051500Z",
        "env": "dev",
        "source": SOURCE,
        "destination": DESTINATION,
        "excludes": [".DS_Store"],
        "started": "2026-11-23T05:15:00.000+00:00",
        "tasks": 1,
        "finished": "2026-11-23T05:16:42.500Z",
        "grace_s": 60.0,
        "exit_code": 1 if wrong else 0,
        "clean": not wrong,
        "summary": f"{wrong} of {counts.total():,} names are not equal"
        if wrong
        else f"all {counts['equal']:,} names are equal on both sides",
        "narrowed": None,
        "counts": dict(counts),
        "totals": {"source": total(everything, "source"), "destination": total(everything, "destination")},
        "days": made_days,
        "undated": undated,
        "remarks": [],
        "not_kept": [
            {
                "what": "creation time",
                "text": "A copy has its own; the original's is not kept anywhere else.",
            },
            {"what": "generation", "text": "A copy has its own. Nothing of the consumer's refers to it."},
        ],
        "metadata_differences": {"content type": metadata} if metadata else {},
        "lag": lag(),
        "contents": None,
        "differences": [],
        "differences_total": wrong,
        "certificate": {"sha256": digest("run"), "data_sha256": digest("data")},
        **changes,
    }


def lag(**changes: Any) -> dict[str, Any]:
    bounds = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, None)
    objects = (212, 1803, 6120, 4418, 1290, 310, 96, 41, 12, 3, 0, 1)
    return {
        "since": "2026-11-01T08:00:00.000Z",
        "objects": sum(objects),
        "buckets": [
            {"up_to_s": bound, "objects": number} for bound, number in zip(bounds, objects, strict=True)
        ],
        "p50_s": 0.41,
        "p90_s": 1.34,
        "p99_s": 6.8,
        "max_s": 4210.0,
        "negative": 2,
        **changes,
    }


def contents(**changes: Any) -> dict[str, Any]:
    return {
        "mode": "sample:1",
        "clean": False,
        "objects": 9_120,
        "rows": 9_164,
        "bytes": 5_581_440,
        "changed": 3,
        "seconds": 4.947,
        "objects_per_s": 1843.6,
        "source_problems": {
            "unknown_field": {"objects": 4, "lines": 4, "severity": "error"},
            "odd_timestamp": {"objects": 2, "lines": 3, "severity": "not_judged"},
            "blank_line": {"objects": 2, "lines": 5, "severity": "warning"},
        },
        "migration_problems": {},
        "examples": [
            {
                "name": "qpi_answers_20220817/user_id_4711.jsonl",
                "side": "source",
                "line": 1,
                "kind": "unknown_field",
                "detail": "field 'locale' is not in the schema",
            }
        ],
        **changes,
    }


def clean(number: int = 400) -> dict[str, Any]:
    """Everything equal."""
    made = verification(days(date(2023, 1, 1), number), excluded=2)
    made["totals"]["destination"] = made["totals"]["source"]
    return made


def large() -> dict[str, Any]:
    """More than fits a phone, if it is not written small: 99 million objects of some hundred terabytes."""
    made = day(date(2024, 3, 5), 99_876_543)
    made["source"] = made["destination"] = side(99_876_543, 123_456_789_012_345)
    return verification([made, day(date(2024, 3, 6), 1)])


def troubled() -> dict[str, Any]:
    """Three and a half years, and a bit of everything in them."""
    return _troubled(date(2021, 6, 14), 1258, 10)


def compact() -> dict[str, Any]:
    """The same in four weeks, for what takes long with every cell."""
    made = _troubled(
        date(2024, 2, 20),
        28,
        2,
        {date(2024, 3, 7): "missing", date(2024, 3, 9): "in_flight", date(2024, 3, 10): "absent"},
    )
    made["remarks"] = [{**remark, "day": remark["day"] and "2024-03-07"} for remark in made["remarks"]]
    return made


def _troubled(first: date, number: int, most: int, more: dict[date, str] | None = None) -> dict[str, Any]:
    states = {
        date(2024, 3, 5): "differing",
        date(2024, 3, 6): "differing",
        date(2023, 8, 14): "missing",
        date(2023, 8, 15): "missing",
        date(2024, 11, 22): "in_flight",
        **{date(2022, 12, 24) + timedelta(days=offset): "absent" for offset in range(9)},
        date(2023, 5, 1): "absent",
        **(more or {}),
    }
    made_days = days(first, number, states)
    differences = [
        difference(f"qpi_answers_{when.replace('-', '')}/user_id_{number}.jsonl", verdict)
        for when, verdict, count in (
            ("2023-08-14", "missing", 6),
            ("2023-08-15", "missing", 7),
            ("2024-03-05", "content_differs", 7),
            ("2024-03-06", "content_differs", 8),
            ("2024-11-22", "in_flight", 6),
        )
        for number in range(1_000, 1_000 + min(count, most))
    ]
    differences += [
        difference("qpi_answers_20220301.jsonl", "metadata_differs"),
        difference("scratch/tmp_export.csv", "extra"),
    ]
    return verification(
        made_days,
        extra=1,
        metadata=1,
        excluded=14,
        contents=contents(),
        differences=differences,
        remarks=[
            {
                "level": "critical",
                "kind": "jsonl_missing",
                "day": "2023-08-14",
                "text": "JSONL files with submissions are missing at the destination.",
            },
            {
                "level": "critical",
                "kind": "jsonl_missing",
                "day": "2023-08-15",
                "text": "JSONL files with submissions are missing at the destination.",
            },
            {
                "level": "warning",
                "kind": "missing_day",
                "day": "2022-12-24",
                "text": "No object for 9 days, 2022-12-24 to 2023-01-01, on either side.",
            },
            {
                "level": "warning",
                "kind": "outlier",
                "day": "2024-02-09",
                "text": "Far fewer objects than on the days around it.",
            },
            {
                "level": "note",
                "kind": "empty_jsonl",
                "day": None,
                "text": "2 JSONL files are empty on both sides.",
            },
        ],
    )


def hostile() -> dict[str, Any]:
    """Every text from outside is as bad as it can be."""
    made = compact()
    made["differences"] = [difference(name, "content_differs") for name in HOSTILE_NAMES]
    made["differences_total"] = max(made["differences_total"], len(HOSTILE_NAMES))
    bad = HOSTILE_NAMES[0] + HOSTILE_NAMES[1] + HOSTILE_NAMES[2] + HOSTILE_NAMES[3]
    made.update(run=bad, env=bad, summary=bad, excludes=[bad, "-x"])
    made["remarks"][0].update(kind=bad, text=bad)
    made["not_kept"][0] = {"what": bad, "text": bad}
    made["metadata_differences"] = {bad: 1}
    made["contents"]["mode"] = bad
    made["contents"]["source_problems"][bad] = {"objects": 1, "lines": 1, "severity": "error"}
    made["contents"]["examples"] = [{"name": bad, "side": bad, "line": 0, "kind": bad, "detail": bad}]
    made["differences"][0]["source"].update(crc32c=bad, md5=bad, created=bad)
    return made


_WAYS = {
    "dual_write": (),
    "cut_over": ("cut_over",),
    "rolled_back": ("cut_over", "rolled_back"),
    "deleting": ("cut_over", "deleting"),
    "deleted": ("cut_over", "deleting", "deleted"),
}


def state(*, manifest: str = "", **changes: Any) -> dict[str, Any]:
    """A head of version 1; its history leads to its phase; `manifest` is what a deletion began with, as its sentence says."""
    signoffs = [
        {"name": "qpi-team", "by": "I. Okafor", "at": "2026-11-20T10:02:11Z", "note": "writer unchanged"},
        {"name": "data", "by": "M. Lindqvist", "at": "2026-11-22T16:40:00Z", "note": ""},
    ]
    signoffs = changes.get("signoffs", signoffs)
    history = [
        {
            "at": each["at"],
            "by": each["by"],
            "what": f"sign-off {each['name']}" + (f": {each['note']}" if each["note"] else ""),
            "change": f"sign-off {number}",
        }
        for number, each in enumerate(signoffs)
    ]
    phase = changes.get("phase", "dual_write")
    for was, then in pairwise(("dual_write", *_WAYS.get(phase, ()))):
        at = changes["since"] if then == phase else "2026-11-22T18:00:00Z"
        history.append(
            {
                "at": at,
                "by": "G. Hopper",
                "what": f"phase {was} to {then}" + (manifest if then == "deleting" else ""),
                "change": then,
            }
        )
    return {
        "version": 1,
        "source": SOURCE,
        "destination": DESTINATION,
        "phase": "dual_write",
        "since": None,
        "signoffs": [] if phase == "rolled_back" else signoffs,
        "runs": [
            {
                "run": "dev-20261122T050000Z",
                "command": "migrate",
                "finished": "2026-11-22T05:41:10Z",
                "exit_code": 0,
                "summary": "912,004 objects copied; both sides verified equal",
                "report": "gs://de-bigquery-data-export-dev/_migration/qpi_exports/runs/dev-20261122T050000Z/",
                "certificate_sha256": None,
            },
            {
                "run": "dev-20261123T051500Z",
                "command": "verify",
                "finished": "2026-11-23T05:16:42Z",
                "exit_code": 0,
                "summary": "all names are equal on both sides",
                "report": None,
                "certificate_sha256": digest("run"),
            },
        ],
        "history": history,
        **{key: value for key, value in changes.items() if key != "signoffs" or phase != "rolled_back"},
    }


def loaded(*verdicts: LoadedVerdict) -> LoadedRecord:
    """What `loaded` found on the days up to 22 November, each with twelve rows on the path."""
    rows = {
        LoadedVerdict.ONCE: (12, 0),
        LoadedVerdict.NEVER: (0, 0),
        LoadedVerdict.PARTLY: (5, 0),
        LoadedVerdict.TWICE: (12, 12),
    }
    found = tuple(
        LoadedDay(
            date(2026, 11, 22) - timedelta(days=ago),
            verdict,
            12,
            0,
            12,
            rows[verdict][0],
            rows[verdict][1],
            0,
            0,
        )
        for ago, verdict in reversed([*enumerate(reversed(verdicts))])
    )
    ended = datetime(2026, 11, 23, 5, 20, tzinfo=UTC)
    return LoadedRecord(
        *(
            "dev-20261123T051900Z-abcdef",
            "bigquery",
            "qpi",
            SOURCE,
            DESTINATION,
            SOURCE,
            "p.warehouse.qpi_answers_v4",
        ),
        *(ended - timedelta(seconds=40), ended, found),
        passed=all(day.verdict.right for day in found),
        fingerprint_definition="rows-1",
    )


def read(file: Any) -> Verification:
    """A verification's file, as its reader takes it."""
    return read_verification(json.dumps(file).encode(), "verification.json")


def read_state(content: Any) -> State:
    """A state's file, as its reader takes it."""
    migration = Migration(Location.parse(SOURCE), Location.parse(DESTINATION))
    return state_from_head(json.dumps(content).encode(), migration)
