"""What the gate makes of its evidence, as pure functions: missing, old, damaged or foreign evidence is never a pass."""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.access import needs_of
from backfill_job.checks import Check, Standing, references_check
from backfill_job.consumer import PRESET, read_consumer
from backfill_job.copying.compare import Compared
from backfill_job.copying.diff import DiffLine
from backfill_job.gate.checks import (
    DayFolder,
    LagLimits,
    access_check,
    alive_check,
    dead_letters_check,
    gate_phase_check,
    gate_signoffs_check,
    import_test_check,
    lag_check,
    latest_verification_check,
    loaded_check,
    no_late_writes_check,
    presence_check,
)
from backfill_job.gate.dead_letters import COUNT, DeadLetters, read_dead_letters
from backfill_job.gate.evidence import read_verification_record
from backfill_job.gate.import_record import read_import_record
from backfill_job.gate.verdict import GATE_CHECKS, GateCheck, GateResult
from backfill_job.import_test.compare import DEFINITION
from backfill_job.references.scan import Checkouts
from backfill_job.rights import RIGHTS, Part
from backfill_job.verify.day_counts import DayCounts, LagCounts
from backfill_job.verify.result import VerifyResult, verification
from shared.errors import PermissionDenied, UsageError
from shared.loaded import LoadedDay, LoadedRecord, LoadedVerdict
from shared.migration import Environment, Location, Migration, qpi_exports
from shared.objects import Metadata, ObjectState
from shared.operations import Operations
from shared.phase import Phase
from shared.report.next_steps import CommandTarget
from shared.state import Overridden, Signatory, SignOff, State
from shared.state_changes import Stamp, with_phase
from shared.verification import (
    FORMAT,
    CertificateSums,
    DayState,
    DayTotals,
    Lag,
    Level,
    Remark,
    Sides,
    SideTotals,
    Verdict,
    Verification,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MIGRATION = Migration(Location("legacy", "QPI_exports/"), Location("new", "qpi_exports/"))
TARGET = CommandTarget("custom", MIGRATION.source.uri, MIGRATION.destination.uri, MIGRATION.excludes)
LIMITS = LagLimits()
LAG = Lag(NOW - HOUR, 10, (), 0.2, 0.3, 0.4, 0.5, 0)
STATE = State(TARGET.source, TARGET.destination)
CUT_OVER = replace(STATE, phase=Phase.CUT_OVER, since=NOW - 2 * HOUR)

SIDE = SideTotals(7, 7, 7, 0, "0" * 64)
VERIFICATION = Verification(
    format=FORMAT,
    run="r",
    env="custom",
    source=TARGET.source,
    destination=TARGET.destination,
    excludes=TARGET.excludes,
    started=NOW - HOUR,
    finished=NOW - HOUR,
    grace_s=60.0,
    tasks=1,
    exit_code=0,
    clean=True,
    summary="7 names compared: both sides are equal",
    narrowed=None,
    counts={**dict.fromkeys(Verdict, 0), Verdict.EQUAL: 7},
    totals=Sides(SIDE, SIDE),
    days=(),
    undated=DayTotals(source=SIDE, destination=SIDE, verdicts={Verdict.EQUAL: 7}, verdict=DayState.EQUAL),
    remarks=(),
    not_kept=(),
    metadata_differences={},
    lag=LAG,
    contents=None,
    differences=(),
    differences_total=0,
    certificate=CertificateSums("a" * 64, "b" * 64),
)


# --- the verification -----------------------------------------------------------------------------------------


def verified(target: CommandTarget = TARGET, **changes: Any) -> Standing:
    check = latest_verification_check(
        replace(VERIFICATION, **changes), target, NOW, LIMITS, phase=Phase.DUAL_WRITE
    )
    assert (check.standing is Standing.PASS) is (not check.next_step)
    return check.standing


def test_a_whole_clean_fresh_verification_of_this_phase_passes() -> None:
    """Up to its greatest age, to the second; warnings do not stand in its way."""
    assert verified() is Standing.PASS
    assert verified(finished=NOW - LIMITS.max_age) is Standing.PASS
    assert verified(finished=NOW) is Standing.PASS
    assert verified(remarks=(Remark(Level.WARNING, "missing_day", None, "here"),)) is Standing.PASS


@pytest.mark.parametrize(
    "changes",
    [
        {"finished": NOW - LIMITS.max_age - SECOND},
        {"finished": NOW + SECOND},
        {"certificate": None},
        {"clean": False},
        {"exit_code": 1},
        {"counts": dict.fromkeys(Verdict, 0)},
        {"counts": {**dict.fromkeys(Verdict, 0), Verdict.EXCLUDED: 7}},
        {"remarks": (Remark(Level.CRITICAL, "mixed_prefix", None, "here"),)},
        {"remarks": (Remark(Level.WARNING, "late_writes", None, "somebody"),)},
        {"counts": {**VERIFICATION.counts, Verdict.EQUAL: 8}},
        {"totals": Sides(SIDE, replace(SIDE, digest="1" * 64))},
        {"excludes": ()},
        {"excludes": (*TARGET.excludes, "*.jsonl")},
        {"target": replace(TARGET, excludes=())},
    ],
    ids=str,
)
def test_a_verification_that_is_less_than_that_fails(changes: dict[str, Any]) -> None:
    """Old, from the future, of a part, not clean, of nothing, with something critical, with books
    that do not add up; or other patterns were left out."""
    assert verified(**changes) is Standing.FAIL


def test_no_verification_is_not_run() -> None:
    """And says what to type."""
    check = latest_verification_check(None, TARGET, NOW, LIMITS, phase=Phase.DUAL_WRITE)
    assert (check.standing, "backfill_job verify" in check.next_step) == (Standing.NOT_RUN, True)


def test_what_is_critical_or_differs_is_named() -> None:
    """The evidence says which."""
    critical = Remark(Level.CRITICAL, "mixed_prefix", None, "gs://new/QPI_exports/ holds objects")
    check = latest_verification_check(
        replace(VERIFICATION, remarks=(critical,)), TARGET, NOW, LIMITS, phase=Phase.DUAL_WRITE
    )
    assert critical.text in check.evidence
    counts = {**VERIFICATION.counts, Verdict.MISSING: 3, Verdict.IN_FLIGHT: 1}
    check = latest_verification_check(
        replace(VERIFICATION, clean=False, counts=counts), TARGET, NOW, LIMITS, phase=Phase.DUAL_WRITE
    )
    assert "3 missing, 1 in flight" in check.evidence


@pytest.fixture(scope="module")
def verification_json() -> dict[str, Any]:
    """A report as the command writes it, of one day and something without a day."""
    both = ObjectState("a", 1, 1, 1, "crc", None, "2026-11-20T11:00:00.000Z", "", Metadata())
    counted = DayCounts(LagCounts("2026-11-20T10:00:00.000Z"))
    names = ("qpi_answers_20261119/user_id_1.jsonl", "README")
    counted.add([DiffLine(name, Verdict.EQUAL, both, both, ()) for name in names])
    counts = {**dict.fromkeys(Verdict, 0), Verdict.EQUAL: len(names)}
    result = VerifyResult(Compared(counts, (), NOW - HOUR), counted, None, Operations())
    identity = {
        "run": "r",
        "env": "custom",
        "source": TARGET.source,
        "destination": TARGET.destination,
        "excludes": list(TARGET.excludes),
        "started": (NOW - HOUR).isoformat(),
        "tasks": 1,
    }
    remark = Remark(Level.WARNING, "outlier", date(2026, 11, 19), "odd")
    found = verification(identity, result, [remark], finished=NOW - HOUR, grace=60 * SECOND)
    found = replace(found, certificate=CertificateSums("a" * 64, "b" * 64))
    return json.loads(json.dumps(found.to_json()))  # type: ignore[no-any-return]


def verdict_on(content: Any, target: CommandTarget = TARGET) -> Standing:
    contents = content if isinstance(content, bytes) else json.dumps(content).encode()
    found = read_verification_record(contents, "it", target)
    return latest_verification_check(found, target, NOW, LIMITS, phase=Phase.DUAL_WRITE).standing


def test_a_report_as_it_is_written_passes(verification_json: dict[str, Any]) -> None:
    """The reader reads what the command writes."""
    assert verdict_on(verification_json) is Standing.PASS


def test_a_verification_that_lacks_anything_is_none(verification_json: dict[str, Any]) -> None:
    """Any field of it, and anything else where a field of another kind should stand. One remark fewer cannot be known.

    A file of before there was the verdict "erased" has no count of it, and is read.
    """
    lists = {("not_kept",), ("remarks",), ("lag", "buckets")}

    def drop(inner: Any, key: Any) -> None:
        del inner[key]

    def spoil(inner: Any, key: Any) -> None:
        inner[key] = [[]] if not isinstance(inner[key], list) else {}

    paths = _paths(verification_json)
    for path in paths:
        for change in (drop, spoil):
            try:
                standing = verdict_on(_changed(verification_json, path, change))
            except UsageError as error:
                assert "\n" not in str(error)  # noqa: PT017 -- one line, whatever the damage
                continue
            assert standing is not Standing.PASS or path[:-1] in lists or path == ("counts", "erased"), path
    assert len(paths) > 100


@given(st.data())
def test_half_a_verification_is_none(verification_json: dict[str, Any], data: st.DataObject) -> None:
    """A file that breaks off anywhere."""
    contents = json.dumps(verification_json).encode()
    with pytest.raises(UsageError):
        verdict_on(contents[: data.draw(st.integers(min_value=0, max_value=len(contents) - 1))])


@pytest.mark.parametrize(
    "changes",
    [
        {"narrowed": "since 2026-11-01 00:00 UTC only"},
        {"source": "gs://other/QPI_exports/"},
        {"destination": "gs://new/QPI_exports/"},
        {"format": "qpi-exports-migration/verification/2"},
    ],
    ids=str,
)
def test_a_verification_of_a_part_or_of_another_migration_is_none(
    verification_json: dict[str, Any], changes: dict[str, Any]
) -> None:
    """It proves something, but not this."""
    with pytest.raises(UsageError):
        verdict_on({**verification_json, **changes})


DAY = "qpi_answers_20261119/user_id_1.jsonl"
MISSING = {"name": DAY, "verdict": "missing", "differences": [], "source": None, "destination": None}

TAMPERED: dict[str, tuple[tuple[Any, ...], Any]] = {
    "the exit code alone": (("exit_code",), 1),
    "an exit code that no command has": (("exit_code",), 3),
    "clean alone": (("clean",), False),
    "a missing name, and clean all the same": (("counts", "missing"), 1),
    "a name that is still in flight": (("counts", "in_flight"), 1),
    "an extra name": (("counts", "extra"), 1),
    "more equal names than the days have": (("counts", "equal"), 3),
    "fewer equal names than the days have": (("counts", "equal"), 1),
    "nothing compared": (("counts", "equal"), 0),
    "a count below nothing": (("counts", "missing"), -1),
    "a verdict that this program does not know": (("counts", "lost"), 1),
    "a day whose names are missing, called equal": (("days", 0, "verdicts"), {"missing": 1}),
    "a day that is called missing": (("days", 0, "verdicts", "missing"), 1),
    "a day without its names": (("days", 0, "verdicts"), {}),
    "a day that has objects, called absent": (("days", 0, "verdict"), "absent"),
    "what has no day, missing": (("undated", "verdicts"), {"missing": 1}),
    "another digest at the destination": (("totals", "destination", "digest"), "1" * 64),
    "a digest that is none": (("totals", "destination", "digest"), "1" * 63),
    "a difference in the list, and none in the count": (("differences",), [MISSING]),
    "something critical": (("remarks", 0, "level"), "critical"),
    "late writes": (("remarks", 0, "kind"), "late_writes"),
    "no certificate": (("certificate",), None),
    "a certificate without the data": (("certificate",), {"sha256": "a" * 64}),
    "a part only": (("narrowed",), "since 2026-11-01 00:00 UTC only"),
    "a part, though it says not which": (("narrowed",), ""),
    "another pattern left out": (("excludes",), ["*.jsonl"]),
    "too old": (("finished",), "2026-11-20T05:59:59.000Z"),
    "of the future": (("finished",), "2026-11-20T12:00:01.000Z"),
    "a time without a zone": (("finished",), "2026-11-20T11:00:00.000"),
    "true for a count": (("counts", "equal"), True),
    "a text for a count": (("counts", "equal"), "2"),
    "a fraction for a count": (("counts", "equal"), 2.5),
    "a huge count": (("counts", "equal"), 10**400),
    "1 for true": (("clean",), 1),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_verification_is_never_a_pass(verification_json: dict[str, Any], case: str) -> None:
    """Whatever one field of the file says else, the gate refuses the file or the check."""
    path, value = TAMPERED[case]

    def put(inner: Any, key: Any) -> None:
        inner[key] = value

    try:
        standing = verdict_on(_changed(verification_json, path, put))
    except UsageError as error:
        assert str(error).startswith("it: ")  # noqa: PT017 -- another refusal is as good
        assert "\n" not in str(error)  # noqa: PT017 -- one line, whatever the damage
        return
    assert standing is Standing.FAIL


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"clean": true', b'"clean": false, "clean": true'),
        (b'"missing": 0', b'"missing": 7, "missing": 0'),
        (b'"grace_s": 60.0', b'"grace_s": NaN'),
        (b'"max_s": 0.0', b'"max_s": Infinity'),
        (b'{"format"', b'\xef\xbb\xbf{"format"'),
        (b'"summary": "', b'"summary": "\xff'),
        (b'"not_kept": [', b'"not_kept": [' + b"[" * 100_000),
        (b'"certificate": {', b'"certificate": {]'),
    ],
    ids=[
        "a name twice",
        "a count twice",
        "NaN",
        "Infinity",
        "a mark in front",
        "no UTF-8",
        "nested too deeply",
        "a stray bracket",
    ],
)
def test_what_is_no_unambiguous_json_is_no_verification(
    verification_json: dict[str, Any], old: bytes, new: bytes
) -> None:
    """Readers of JSON differ on which of two values counts."""
    contents = json.dumps(verification_json).encode()
    assert contents.count(old) == 1 or old == b'"missing": 0'
    with pytest.raises(UsageError, match=r"^it: "):
        verdict_on(contents.replace(old, new, 1))


# --- the mirror -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "limit"), [("p50", 5.0), ("p99", 60.0), ("max", 300.0)])
def test_each_lag_has_its_limit(which: str, limit: float) -> None:
    """At the limit it passes, above it fails, and the evidence says which."""
    assert lag_check(replace(LAG, **{f"{which}_s": limit}), None, LIMITS).standing is Standing.PASS
    check = lag_check(replace(LAG, **{f"{which}_s": limit + 0.1}), 0.1, LIMITS)
    assert (check.standing, f"{which} over" in check.evidence) == (Standing.FAIL, True)


def test_where_nobody_wrote_the_canary_s_lag_is_the_lag() -> None:
    """Without a canary there is nothing to judge; without a verification either, as nobody knows who wrote."""
    empty = replace(LAG, objects=0, p50_s=None, p90_s=None, p99_s=None, max_s=None)
    assert lag_check(empty, 0.4, LIMITS).standing is Standing.PASS
    assert lag_check(empty, LIMITS.lag_p50 + 0.1, LIMITS).standing is Standing.FAIL
    assert lag_check(empty, None, LIMITS).standing is Standing.NOT_RUN
    assert lag_check(None, 0.4, LIMITS).standing is Standing.NOT_RUN


def test_a_mirror_is_alive_by_its_canary_or_by_what_arrived_lately() -> None:
    """A canary that did not arrive outweighs what arrived before; one that could not be flown does not."""
    lost = Check("canary", Standing.FAIL, "", "look")
    stuck = Check("canary", Standing.FAIL, "it arrived, and could not be removed", "remove it")
    grounded = Check("canary", Standing.NOT_RUN, "", "mend")
    old = replace(LAG, since=NOW - LIMITS.max_age - SECOND)

    def alive(lag: Lag | None, canary: Check | None, arrived: float | None = None) -> Standing:
        return alive_check(lag, canary, arrived, NOW, LIMITS).standing

    assert alive(None, stuck, 0.3) is Standing.PASS
    assert alive(LAG, lost) is Standing.FAIL
    assert alive(LAG, grounded) is Standing.PASS
    assert alive(LAG, None) is Standing.PASS
    assert alive(old, None) is Standing.NOT_RUN
    assert alive(None, grounded) is Standing.NOT_RUN
    assert alive(replace(LAG, objects=0), None) is Standing.NOT_RUN


# --- the consumer's table -------------------------------------------------------------------------------------

QPI = read_consumer(PRESET)
TABLE = "p.warehouse.qpi"
DUE = [NOW.date() - timedelta(days=number) for number in range(1, 8)]


def compared(**changes: Any) -> LoadedRecord:
    days = changes.pop("days", tuple(once(day) for day in DUE))
    found = LoadedRecord(
        "run",
        "bigquery",
        QPI.identity,
        TARGET.source,
        TARGET.destination,
        TARGET.source,
        TABLE,
        NOW - HOUR,
        NOW - HOUR,
        days,
        passed=False,
        fingerprint_definition=DEFINITION,
    )
    return replace(found, passed=found.right, **changes)


def once(day: date, loaded: int = 2) -> LoadedDay:
    verdict = LoadedVerdict.ONCE if loaded == 2 else LoadedVerdict.NEVER
    return LoadedDay(day, verdict, 2, 0, 2, loaded, 0, 0, 0)


def in_table(found: LoadedRecord | None, table: str = TABLE, phase: Phase = Phase.DUAL_WRITE) -> Check:
    return loaded_check(found, TARGET, NOW, LIMITS, consumer=QPI, table=table, phase=phase)


def test_the_last_days_must_be_in_the_consumer_s_table() -> None:
    """With a table named there must be a comparison; without one it is not applicable, and says so."""
    assert in_table(compared()).standing is Standing.PASS
    missing = in_table(None)
    assert (missing.standing, "loaded" in missing.next_step) == (Standing.NOT_RUN, True)
    assert missing.next_step.endswith(f"--last 7 --table {TABLE}")
    assert in_table(None, table="").standing is Standing.NOT_APPLICABLE
    assert in_table(compared(path=TARGET.destination), phase=Phase.CUT_OVER).standing is Standing.PASS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"days": (*map(once, DUE[1:]), once(DUE[0], 0))}, "not loaded as they should be: 2026-11-19 never"),
        ({"days": tuple(map(once, DUE[1:]))}, "not compared: 2026-11-19"),
        ({"days": ()}, "nothing was compared"),
        ({"path": TARGET.destination}, "not the source of truth"),
        ({"table": "p.warehouse.other"}, "the consumer's table is p.warehouse.qpi"),
        ({"consumer": "qpi 000000000000"}, "it is of qpi 000000000000"),
        ({"legacy": "gs://other/x/"}, "gs://other/x/"),
        ({"finished": NOW - LIMITS.max_age - SECOND}, "not of the last 6 hours"),
        ({"finished": NOW + SECOND}, "in the future"),
    ],
)
def test_any_other_comparison_with_the_table_fails(changes: dict[str, Any], says: str) -> None:
    check = in_table(compared(**changes))
    assert (check.standing, says in check.evidence) == (Standing.FAIL, True), check.evidence


# --- the import test ------------------------------------------------------------------------------------------

LAST_DAYS = [NOW.date() - timedelta(days=number) for number in range(7, 0, -1)]


def imported_day(
    day: Any, verdict: str = "equal", *, present: bool = True, ok: bool = True
) -> dict[str, Any]:
    return {
        "day": day.isoformat(),
        "verdict": verdict,
        "passed": ok,
        "tested": (NOW - HOUR).isoformat(),
        "legacy": {"present": present},
        "new": {"present": present},
    }


def record(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": "import-test",
        "legacy": TARGET.source,
        "new": TARGET.destination,
        "asked": [day.isoformat() for day in LAST_DAYS],
        "allow_empty": False,
        "finished": (NOW - HOUR).isoformat(),
        "complete": True,
        "passed": True,
        "error": None,
        "days": [imported_day(day) for day in LAST_DAYS],
        **changes,
    }


def imported(content: Any, target: CommandTarget = TARGET) -> Check:
    return import_test_check(read_import_record(json.dumps(content).encode(), "it"), target, NOW, LIMITS)


def test_an_import_test_that_is_equal_for_the_last_days_passes() -> None:
    """Days before them do not harm."""
    assert imported(record()).standing is Standing.PASS
    days = [LAST_DAYS[0] - timedelta(days=1), *LAST_DAYS]
    more = record(asked=[day.isoformat() for day in days], days=[*map(imported_day, days)])
    assert imported(more).standing is Standing.PASS
    assert import_test_check(None, TARGET, NOW, LIMITS).standing is Standing.NOT_RUN


def test_the_command_that_is_named_knows_no_excludes() -> None:
    """The consumer leaves nothing out, and `import-test` has no such argument."""
    check = import_test_check(None, replace(TARGET, excludes=("*.tmp",)), NOW, LIMITS)
    assert check.next_step.endswith("--destination gs://new/qpi_exports/ --last 7")


def test_days_without_objects_pass_where_that_was_allowed_and_is_not_all() -> None:
    """Nothing equals nothing, and proves nothing."""
    some = [imported_day(day, "absent", present=False) for day in LAST_DAYS[:2]]
    some += [imported_day(day) for day in LAST_DAYS[2:]]
    check = imported(record(allow_empty=True, days=some))
    assert (check.standing, "2 of them without an object" in check.evidence) == (Standing.PASS, True)
    none = [imported_day(day, "absent", present=False) for day in LAST_DAYS]
    assert imported(record(allow_empty=True, days=none)).standing is Standing.FAIL


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"legacy": "gs://other/QPI_exports/"}, "another migration"),
        ({"new": "gs://new/QPI_exports/"}, "another migration"),
        ({"finished": (NOW - LIMITS.max_age - SECOND).isoformat()}, "not of the last 6 hours"),
        ({"finished": (NOW + SECOND).isoformat()}, "in the future"),
        ({"asked": record()["asked"][1:], "days": record()["days"][1:]}, "not tested: 2026-11-13"),
        ({"asked": record()["asked"][:-1], "days": record()["days"][:-1]}, "not tested: 2026-11-19"),
        (
            {"days": record()["days"][:-1], "complete": False, "passed": False, "error": "no answer"},
            "did not come to its end: no answer",
        ),
        (
            {
                "days": [*record()["days"][:-1], imported_day(LAST_DAYS[-1], "differs", ok=False)],
                "passed": False,
            },
            "1 of 7 days not equal: 2026-11-19",
        ),
        (
            {
                "days": [*record()["days"][:-1], imported_day(LAST_DAYS[-1], "not_judged", ok=False)],
                "passed": False,
            },
            "1 of 7 days not equal: 2026-11-19",
        ),
        (
            {
                "days": [
                    *record()["days"][:-1],
                    imported_day(LAST_DAYS[-1], "absent", present=False, ok=False),
                ],
                "passed": False,
            },
            "1 of 7 days without an object on either path: 2026-11-19",
        ),
        (
            {
                "days": [
                    *record()["days"][:-1],
                    {**imported_day(LAST_DAYS[-1]), "tested": "2026-11-19T23:59:59Z"},
                ]
            },
            "before the day had ended (UTC): 2026-11-19",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_import_test_that_is_less_than_that_fails(changes: dict[str, Any], says: str) -> None:
    """Foreign, old, not of the last days, broken off, unequal, or of a day that was still being written."""
    check = imported(record(**changes))
    assert (check.standing, says in check.evidence) == (Standing.FAIL, True), check
    assert ("--allow-empty" in check.next_step) is ("without an object" in says), (
        "a way out, and not a circle"
    )


JUNK = (None, True, False, 0, 7, -1.5, "", "x", "2026-11-19", [], [None], {})


def _paths(content: Any) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as the keys that lead to it."""
    keys = (
        content.keys()
        if isinstance(content, dict)
        else range(len(content))
        if isinstance(content, list)
        else ()
    )
    return [(key, *rest) for key in keys for rest in [(), *_paths(content[key])]]


def _changed(content: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    whole = json.loads(json.dumps(content))
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return whole


def test_an_ambiguous_report_never_passes(verification_json: dict[str, Any]) -> None:
    """Clean for one reader of JSON, and not for another."""
    text = json.dumps(verification_json).removesuffix("}") + ', "clean": true}'
    with pytest.raises(UsageError, match="'clean' stands there twice"):
        verdict_on(text.encode())


@pytest.mark.parametrize("verdict", ["differs", "absent", "not_loadable", "not_judged", "in_flight"])
def test_a_day_that_is_not_equal_is_not_read_as_passed(verdict: str) -> None:
    """The record contradicts itself: no such day passes, and equal without an object does not either."""
    for days in (
        [*record()["days"][:-1], imported_day(LAST_DAYS[-1], verdict)],
        [*record()["days"][:-1], imported_day(LAST_DAYS[-1], present=False)],
    ):
        with pytest.raises(UsageError, match="passed"):
            imported(record(days=days))


def test_an_import_test_that_is_not_complete_is_not_read_as_passed() -> None:
    """Even without an error, and with every day equal that was tested."""
    with pytest.raises(UsageError, match="passed"):
        imported(record(days=record()["days"][:-1], complete=False))


def test_a_damaged_import_test_never_passes() -> None:
    """Whatever stands in any one place instead, or nothing does. Allowing what did not happen changes nothing."""

    def drop(inner: Any, key: Any) -> None:
        del inner[key]

    def put(junk: Any) -> Callable[[Any, Any], None]:
        def change(inner: Any, key: Any) -> None:
            inner[key] = junk

        return change

    passing = set()
    for path in _paths(record()):
        for change in (drop, *map(put, JUNK)):
            content = _changed(record(), path, change)
            if repr(content) == repr(record()):
                continue
            try:
                standing = imported(content).standing
            except UsageError as error:
                assert "\n" not in str(error)  # noqa: PT017 -- one line, whatever the damage
                continue
            if standing is Standing.PASS:
                passing.add(path)
    assert passing == {("allow_empty",)}


@given(st.integers(min_value=0, max_value=len(json.dumps(record())) - 1))
def test_half_an_import_test_is_none(length: int) -> None:
    """A file that breaks off anywhere."""
    with pytest.raises(UsageError):
        read_import_record(json.dumps(record()).encode()[:length], "it")


# --- phase, sign-offs, presence, late writes ------------------------------------------------------------------


@pytest.mark.parametrize("phase", Phase)
def test_a_cutover_begins_in_two_phases(phase: Phase) -> None:
    """Before the first one, and after a rollback."""
    ready = phase in {Phase.DUAL_WRITE, Phase.ROLLED_BACK}
    assert (gate_phase_check(replace(STATE, phase=phase)).standing is Standing.PASS) is ready


@given(st.sets(st.sampled_from(Signatory)))
def test_every_signatory_is_needed(signed: set[Signatory]) -> None:
    """Who is missing is named, and the first one's command given."""
    given_by = tuple(SignOff(name, "Ada", NOW) for name in signed)
    check = gate_signoffs_check(replace(STATE, signoffs=given_by), TARGET)
    missing = [name.value for name in Signatory if name not in signed]
    assert (check.standing is Standing.PASS) is (not missing)
    if missing:
        assert check.evidence == f"missing: {', '.join(missing)}"
        assert f"signoff {missing[0]} " in check.next_step


@pytest.mark.parametrize(
    ("new", "legacy", "standing", "says"),
    [
        ((1, True), (1, True), Standing.PASS, "holds objects that the load takes"),
        ((1, True), (0, False), Standing.PASS, "holds objects"),
        ((2, False), (2, True), Standing.FAIL, "the presence check is true, the load fails"),
        (
            (0, False),
            (1, True),
            Standing.FAIL,
            "and the legacy path's is not: the DAG would take its Empty branch",
        ),
        ((0, False), (0, False), Standing.FAIL, "the writer has not uploaded today (UTC)"),
    ],
)
def test_presence_names_the_trap(
    new: tuple[int, bool], legacy: tuple[int, bool], standing: Standing, says: str
) -> None:
    """Empty on the new path only: the DAG would end green without a row. A placeholder alone is no data."""
    check = presence_check(
        DayFolder("gs://new/x/", *new), DayFolder("gs://legacy/x/", *legacy), TARGET, phase=Phase.DUAL_WRITE
    )
    assert (check.standing, says in check.evidence) == (standing, True)


EMPTY, FULL = DayFolder("gs://new/x/", 0, loadable=False), DayFolder("gs://legacy/x/", 1, loadable=True)


@pytest.mark.parametrize(
    ("legacy", "standing"),
    [(EMPTY, Standing.PASS), (FULL, Standing.FAIL)],
    ids=["both empty", "new path empty"],
)
def test_a_paused_writer_leaves_no_upload_to_wait_for(legacy: DayFolder, standing: Standing) -> None:
    """Both paths then give the consumer the same; what only the legacy path has is still missed."""
    check = presence_check(EMPTY, legacy, TARGET, phase=Phase.DUAL_WRITE, paused=True)
    assert check.standing is standing
    assert presence_check(EMPTY, EMPTY, TARGET, phase=Phase.DUAL_WRITE).standing is Standing.FAIL


def test_late_writes_are_shown_from_a_verification_since_the_cutover() -> None:
    """An earlier one says nothing of them, nor does none."""
    since = replace(VERIFICATION, started=NOW - HOUR)
    late = Remark(Level.WARNING, "late_writes", None, "2 objects were written on the legacy path")
    assert no_late_writes_check(since, CUT_OVER, TARGET).standing is Standing.PASS
    check = no_late_writes_check(replace(since, remarks=(late,)), CUT_OVER, TARGET)
    assert (check.standing, check.evidence) == (Standing.FAIL, late.text)
    assert (
        no_late_writes_check(replace(since, started=NOW - 3 * HOUR), CUT_OVER, TARGET).standing
        is Standing.NOT_RUN
    )
    assert no_late_writes_check(None, CUT_OVER, TARGET).standing is Standing.NOT_RUN


# --- dead letters ---------------------------------------------------------------------------------------------


def letters(folder: Path, text: str, seen: datetime = NOW) -> Check:
    file = folder / "letters.json"
    file.write_text(text)
    os.utime(file, (seen.timestamp(), seen.timestamp()))
    return dead_letters_check(read_dead_letters(file), TARGET, NOW, LIMITS, phase=Phase.DUAL_WRITE)


def counted_at(*points: tuple[datetime, Any], metric: str = COUNT) -> dict[str, Any]:
    """A time series of Cloud Monitoring."""
    return {
        "metric": {"type": metric},
        "resource": {"type": "pubsub_subscription", "labels": {"subscription_id": "s"}},
        "points": [
            {"interval": {"endTime": at.isoformat()}, "value": {"int64Value": value}} for at, value in points
        ],
    }


def monitoring(*series: dict[str, Any]) -> str:
    return json.dumps({"timeSeries": series, "unit": "1"})


def test_no_dead_letters_counted_lately_pass(tmp_path: Path) -> None:
    """The count's own time is the look's, whenever the file was written."""
    for at, standing in (
        (NOW, Standing.PASS),
        (NOW - LIMITS.max_age, Standing.PASS),
        (NOW - LIMITS.max_age - SECOND, Standing.FAIL),
        (NOW + SECOND, Standing.FAIL),
    ):
        assert letters(tmp_path, monitoring(counted_at((at, "0")))).standing is standing
    assert dead_letters_check(None, TARGET, NOW, LIMITS, phase=Phase.DUAL_WRITE).standing is Standing.NOT_RUN


def test_an_empty_pull_proves_nothing(tmp_path: Path) -> None:
    """A second look during the acknowledgement deadline is always empty: FAIL would become PASS."""
    check = letters(tmp_path, "[]")
    assert (check.standing, check.evidence) == (
        Standing.NOT_RUN,
        "an empty pull proves nothing: messages may wait all the same",
    )
    assert "num_undelivered_messages" in check.next_step


@pytest.mark.parametrize("text", ['{"receivedMessages": null}', '{"receivedMessages": []}'])
def test_an_empty_answer_of_pub_sub_proves_nothing_either(tmp_path: Path, text: str) -> None:
    """The same pull, asked without gcloud."""
    assert letters(tmp_path, text).evidence == "an empty pull proves nothing: messages may wait all the same"


@pytest.mark.parametrize(
    "odd", [{"metricKind": "DELTA"}, {"resource": {"type": "pubsub_topic", "labels": {}}}]
)
def test_a_count_of_something_else_is_refused(tmp_path: Path, odd: dict[str, Any]) -> None:
    """No change in a minute is not "none", and a topic's messages are not those that wait."""
    with pytest.raises(UsageError):
        letters(tmp_path, monitoring({**counted_at((NOW, "0")), **odd}))
    assert (
        letters(tmp_path, monitoring({**counted_at((NOW, "0")), "metricKind": "GAUGE"})).standing
        is Standing.PASS
    )


RESOURCE = {"name": "QPI_exports/a", "bucket": "b"}


@pytest.mark.parametrize(
    "message",
    [
        {"data": base64.b64encode(json.dumps(RESOURCE).encode()).decode()},
        {"attributes": {}, "data": base64.b64encode(json.dumps({"data": RESOURCE}).encode()).decode()},
        {"attributes": {"Ce-Subject": "objects/QPI_exports/a"}},
        {"attributes": {"objectid": "QPI_exports/a"}, "data": "!"},
    ],
)
def test_a_message_names_its_object_by_its_attributes_or_its_data(
    tmp_path: Path, message: dict[str, Any]
) -> None:
    """An operator must know what to bring over."""
    check = letters(tmp_path, json.dumps([{"ackId": "a", "message": message}]))
    assert "about 'QPI_exports/a'" in check.evidence


def test_another_environment_s_count_says_nothing_of_this_one(tmp_path: Path) -> None:
    """Neither that there are none nor that there are some; a name that nothing deployed may be this one's."""
    target = CommandTarget.of(qpi_exports(Environment.PROD))
    file = tmp_path / "letters.json"
    for name, standing in (
        ("qpi-exports-dead-letters-dev", Standing.NOT_RUN),
        ("qpi-exports-dead-letters-prod", Standing.PASS),
        ("of-my-own", Standing.PASS),
    ):
        series = counted_at((NOW, "0"))
        series["resource"]["labels"]["subscription_id"] = name
        file.write_text(monitoring(series))
        check = dead_letters_check(read_dead_letters(file), target, NOW, LIMITS, phase=Phase.DUAL_WRITE)
        assert check.standing is standing, name
        assert standing is Standing.PASS or check.evidence == f"the count is of {name}"


def test_the_newest_count_of_each_subscription_counts(tmp_path: Path) -> None:
    """In any order; an older 0 hides nothing, and neither does another subscription."""
    old, new = NOW - HOUR, NOW
    found = letters(tmp_path, monitoring(counted_at((old, "0"), (new, "3")), counted_at((new, 0))))
    assert (found.standing, found.evidence) == (Standing.FAIL, "3 events given up by the trigger")
    assert letters(tmp_path, monitoring(counted_at((new, "0"), (old, "3")))).standing is Standing.PASS
    stale = counted_at((NOW - LIMITS.max_age - SECOND, "0"))
    assert letters(tmp_path, monitoring(counted_at((new, "0")), stale)).standing is Standing.FAIL


@pytest.mark.parametrize(
    "text",
    [
        monitoring(),
        monitoring(counted_at()),
        monitoring(counted_at((NOW, "0"), metric="pubsub.googleapis.com/subscription/backlog_bytes")),
        monitoring(counted_at((NOW, "-1"))),
        monitoring(counted_at((NOW, True))),
        monitoring(counted_at((NOW, None))),
        monitoring(counted_at((NOW, 0.0))),
        '{"error": {"code": 403, "message": "Permission denied"}}',
        '{"timeSeries": {}}',
        *(
            json.dumps({**json.loads(monitoring(counted_at((NOW, "0")))), **rest})
            for rest in (
                {"nextPageToken": "x"},
                {"executionErrors": [{"code": 14, "message": "x"}]},
                {"unreachable": ["europe-west1"]},
            )
        ),
        '{"timeSeries": [1]}',
        monitoring(counted_at((NOW, "0"))).replace(NOW.isoformat(), "yesterday"),
    ],
)
def test_an_answer_without_a_count_is_not_a_count(tmp_path: Path, text: str) -> None:
    """An error of the request, a filter that fits nothing, another metric, a part of the counts."""
    with pytest.raises(UsageError, match="num_undelivered_messages") as refused:
        letters(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_dead_letters_name_their_objects(tmp_path: Path) -> None:
    """Where they say so."""
    notified = {"ackId": "x", "message": {"attributes": {"objectId": "QPI_exports/a"}}}
    event = {"ackId": "z", "message": {"attributes": {"ce-subject": "objects/QPI_exports/b"}}}
    messages = [notified, {"ackId": "y", "message": None}, event]
    for whole in (messages, {"receivedMessages": messages}):
        check = letters(tmp_path, json.dumps(whole))
        assert check.standing is Standing.FAIL
        assert (
            check.evidence
            == "at least 3 events given up by the trigger, about 'QPI_exports/a', 'QPI_exports/b'"
        )


@pytest.mark.parametrize(
    "text", ["", "{}", "[", '{"a": 1}', "[1]", "null", "0", "[" * 5_000, "[{}]", '[{"error": {}}]']
)
def test_anything_else_is_no_look_at_the_dead_letters(tmp_path: Path, text: str) -> None:
    """A command that failed leaves an empty file; nothing is read into it."""
    with pytest.raises(UsageError) as refused:
        letters(tmp_path, text)
    assert "\n" not in str(refused.value)


# --- the phase decides which command helps -------------------------------------------------------------------


LACKING = replace(VERIFICATION, clean=False, counts={**VERIFICATION.counts, Verdict.MISSING: 1})
LATE = replace(VERIFICATION, remarks=(Remark(Level.WARNING, "late_writes", None, "somebody wrote"),))


@pytest.mark.parametrize(
    ("phase", "command"),
    [
        (Phase.DUAL_WRITE, TARGET.command("migrate", "--execute")),
        (Phase.ROLLED_BACK, TARGET.command("migrate", "--execute")),
        (Phase.CUT_OVER, TARGET.command("cutover", "--by", "NAME")),
        (Phase.DELETING, ""),
        (Phase.DELETED, ""),
        (None, ""),
    ],
)
def test_each_step_is_a_command_that_helps_in_its_phase(phase: Phase | None, command: str) -> None:
    """After the cutover `migrate` replaces nothing on the new path; once the deletion began, no command copies anything."""
    letters = DeadLetters(1, ("'a'",), NOW)
    steps = [
        latest_verification_check(LACKING, TARGET, NOW, LIMITS, phase=phase).next_step,
        presence_check(EMPTY, FULL, TARGET, phase=phase).next_step,
        dead_letters_check(letters, TARGET, NOW, LIMITS, phase=phase).next_step,
    ]
    if phase is not None and not phase.before_cutover:
        steps.append(no_late_writes_check(LATE, replace(CUT_OVER, phase=phase), TARGET).next_step)
    assert all(steps)
    for step in steps:
        assert ("migrate" in step, "cutover" in step) == ("migrate" in command, "cutover" in command), step
        assert command in step


def test_after_a_cutover_without_a_mirror_each_step_cuts_over_without_one() -> None:
    """Else it is refused: no canary arrives, and no lag is known."""
    why = "the writer is paused"
    wanted = TARGET.command("cutover", "--by", "NAME", "--no-mirror", "--reason", why)
    phase, letters = Phase.CUT_OVER, DeadLetters(1, ("'a'",), NOW)
    stamp = Stamp("c", "Ada", NOW - 2 * HOUR)
    stands = with_phase(STATE, phase, stamp, overridden=(Overridden("mirror", why),))
    assert stands.without_mirror == why
    steps = [
        latest_verification_check(LACKING, TARGET, NOW, LIMITS, phase=phase, without_mirror=why).next_step,
        presence_check(EMPTY, FULL, TARGET, phase=phase, without_mirror=why).next_step,
        dead_letters_check(letters, TARGET, NOW, LIMITS, phase=phase, without_mirror=why).next_step,
        no_late_writes_check(LATE, stands, TARGET).next_step,
    ]
    for step in steps:
        assert wanted in step, step


@pytest.mark.parametrize(
    ("seconds", "says"), [(0, "just now"), (29, "just now"), (31, "1 minute ago"), (7300, "2 hours ago")]
)
def test_the_age_of_a_verification_is_never_0_minutes(seconds: float, says: str) -> None:
    """It has just ended then."""
    found = replace(VERIFICATION, finished=NOW - seconds * SECOND, summary="equal", certificate=None)
    assert (
        f"equal ({says})"
        in latest_verification_check(found, TARGET, NOW, LIMITS, phase=Phase.DUAL_WRITE).evidence
    )


def test_an_environment_s_dead_letters_are_named_as_they_are_deployed() -> None:
    """So that the command can be pasted; another pair's subscription has a name that nothing here knows."""
    migration = qpi_exports(Environment.STG)
    for target, named in ((CommandTarget.of(migration), True), (TARGET, False)):
        for found in (None, DeadLetters(1, (), NOW)):
            step = dead_letters_check(found, target, NOW, LIMITS, phase=Phase.DUAL_WRITE).next_step
            assert ("qpi-exports-dead-letters-stg" in step) is named


# --- references -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "standing", "says"),
    [
        ('PATH = "gs://new/qpi_exports/"\n', Standing.PASS, "clean; 1 place on the new path in 1 file"),
        ('PATH = "gs://legacy/QPI_exports/"\n', Standing.FAIL, "dag.py:1 (legacy)"),
        ('PATH = "gs://new/QPI_exports/"\n', Standing.FAIL, "dag.py:1 (mixed)"),
        ('PATH = "gs://elsewhere/data/"\n', Standing.FAIL, "perhaps not the consumers' code"),
        ("# gs://new/qpi_exports/\n", Standing.FAIL, "perhaps not the consumers' code"),
    ],
)
def test_a_checkout_is_clean_and_reads_the_new_path(
    tmp_path: Path, code: str, standing: Standing, says: str
) -> None:
    """Another checkout would be clean, too."""
    (tmp_path / "dag.py").write_text(code)
    check = references_check(Checkouts((tmp_path,)).scan(MIGRATION), State.initial(MIGRATION))
    assert (check.standing, says in check.evidence) == (standing, True), check


def test_without_a_checkout_the_references_are_not_run() -> None:
    """Nobody has looked."""
    assert (
        references_check(Checkouts().scan(MIGRATION), State.initial(MIGRATION)).standing is Standing.NOT_RUN
    )


class TestAccess:
    """The writer and the consumer: proven by the policies, or NOT RUN."""

    WRITER, CONSUMER = "serviceAccount:w@a", "serviceAccount:c@a"

    def check(self, *, new: Any, legacy: Any, writer: str = WRITER) -> Check:
        migration = qpi_exports(Environment.DEV)
        needs = {
            "writer": ((writer,) if writer else (), needs_of(migration, consumer=False)),
            "reader": ((self.CONSUMER,), needs_of(migration, consumer=True)),
        }
        policies = {migration.destination.bucket: new, migration.source.bucket: legacy}
        return access_check(needs, policies)

    def policy(self, *bindings: tuple[str, str]) -> dict[str, Any]:
        return {
            "bindings": [{"role": f"roles/storage.{role}", "members": [member]} for role, member in bindings]
        }

    def test_what_the_policies_prove_passes(self) -> None:
        """On both paths, with the words for each."""
        new = self.policy(("objectUser", self.WRITER), ("objectViewer", self.CONSUMER))
        found = self.check(new=new, legacy=self.policy(("objectViewer", self.CONSUMER)))
        assert found.passed
        assert found.evidence.count("may list and read") == 2

    @pytest.mark.parametrize(
        ("new", "legacy", "writer", "said"),
        [
            ([], [("objectViewer", CONSUMER)], WRITER, "writer serviceAccount:w@a: objects.create, objects.delete on gs://de-big"),
            ([("objectUser", WRITER), ("objectViewer", CONSUMER)], [], WRITER, "reader serviceAccount:c@a: objects.list, objects.get on gs://data-"),
            ([("objectUser", "group:g@x")], [], WRITER, "(membership in group:g@x)"),
            ([("objectUser", WRITER)], [], "", "not named: the writer"),
        ],
    )  # fmt: skip
    def test_everything_else_is_not_run(self, new: Any, legacy: Any, writer: str, said: str) -> None:
        """It blocks, and says what it could not resolve."""
        found = self.check(new=self.policy(*new), legacy=self.policy(*legacy), writer=writer)
        assert (found.standing, found.blocks) == (Standing.NOT_RUN, True)
        assert said in found.evidence

    def test_a_policy_that_cannot_be_read_is_not_run(self) -> None:
        """With the error."""
        found = self.check(new=PermissionDenied("gs://x", "no getIamPolicy"), legacy={})
        assert (found.standing, "getIamPolicy" in found.evidence) == (Standing.NOT_RUN, True)


# --- all of them ----------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(Standing), max_size=12))
def test_go_only_if_every_check_passed(found: list[Standing]) -> None:
    """Or does not apply, or was overridden; and never without any."""
    result = GateResult(tuple(Check(str(number), standing, "") for number, standing in enumerate(found)))
    assert result.go is (bool(found) and not {Standing.FAIL, Standing.NOT_RUN} & {*found})
    content = result.to_json()
    assert (content["go"], content["verdict"], content["exit_code"]) == (
        (True, "GO", 0) if result.go else (False, "NO-GO", 1)
    )


@pytest.mark.parametrize("check", GATE_CHECKS, ids=lambda check: check.name)
def test_the_operator_may_do_what_a_check_needs(check: GateCheck) -> None:
    """``rights.py`` grants it in the very area, or in one around it."""
    granted = {
        (right.area, permission)
        for right in RIGHTS
        if right.part is Part.OPERATOR
        for permission in right.role.permissions
    }
    assert {*check.needs} <= granted


@pytest.mark.parametrize("document", ["docs/commands.md", "docs/decisions/0019-the-gate.md"])
def test_the_documents_name_every_check_of_the_gate(document: str) -> None:
    """In the order of the table."""
    text = (Path(__file__).parents[2] / document).read_text()
    assert ", ".join(check.name for check in GATE_CHECKS) in " ".join(text.split())
