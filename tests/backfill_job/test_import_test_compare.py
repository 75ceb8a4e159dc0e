"""The verdict over a day, row by row of its table, and what is said about it."""

import json
from datetime import UTC, date, datetime

import pytest
from rich.console import Console

from backfill_job.import_test.compare import (
    Fingerprint,
    ImportDay,
    ImportVerdict,
    Loaded,
    NameDifferences,
    NotJudged,
    NotLoadable,
    PathLoad,
    compare_day,
)
from backfill_job.import_test.results import Results, details, table_of
from shared.errors import Interrupted
from shared.migration import Location, Migration

ONE = Fingerprint("1" * 64)
OTHER = Fingerprint("2" * 64)
NOTHING = PathLoad(0, 0, None)
GOOD = PathLoad(3, 3, Loaded(3, 2, ONE))
UNKNOWN = PathLoad(3, 3, NotJudged("gs://b/x.jsonl line 2: coerced: user_id: number where STRING is wanted"))
BAD = PathLoad(3, 3, NotLoadable("gs://b/x.jsonl line 2: wrong type: user_id: array where STRING is wanted"))


def day(legacy: PathLoad, new: PathLoad, names: NameDifferences = NameDifferences()) -> ImportDay:  # noqa: B008 -- frozen
    moment = datetime(2024, 2, 1, tzinfo=UTC)
    return ImportDay(date(2024, 1, 31), compare_day(legacy, new), legacy, new, names, 1, moment)


@pytest.mark.parametrize(
    ("legacy", "new", "verdict"),
    [
        (NOTHING, NOTHING, "absent"),
        (NOTHING, GOOD, "absent"),
        (GOOD, NOTHING, "absent"),
        (BAD, NOTHING, "absent"),
        (BAD, GOOD, "not_loadable"),
        (GOOD, BAD, "not_loadable"),
        (BAD, BAD, "not_loadable"),
        (BAD, UNKNOWN, "not_loadable"),
        (UNKNOWN, BAD, "not_loadable"),
        (UNKNOWN, NOTHING, "absent"),
        (UNKNOWN, GOOD, "not_judged"),
        (GOOD, UNKNOWN, "not_judged"),
        (UNKNOWN, UNKNOWN, "not_judged"),
        (GOOD, GOOD, "equal"),
        (GOOD, PathLoad(3, 3, Loaded(2, 2, ONE)), "differs"),
        (GOOD, PathLoad(3, 3, Loaded(3, 1, ONE)), "differs"),
        (GOOD, PathLoad(3, 3, Loaded(3, 2, OTHER)), "differs"),
        (GOOD, PathLoad(9, 4, Loaded(3, 2, ONE)), "equal"),
        (PathLoad(1, 1, Loaded(0, 0, ONE)), PathLoad(1, 1, Loaded(0, 0, ONE)), "equal"),
    ],
)
def test_the_verdict_is_its_table_s(legacy: PathLoad, new: PathLoad, verdict: str) -> None:
    """Equal is as many rows, as many users and the same fingerprint; how many objects hold them does not matter."""
    assert compare_day(legacy, new).value == verdict


def test_fingerprints_of_different_definitions_are_never_compared() -> None:
    """That they differ would mean nothing, that they agree neither."""
    with pytest.raises(ValueError, match="cannot be compared"):
        compare_day(GOOD, PathLoad(3, 3, Loaded(3, 2, Fingerprint("1" * 64, "rows-0"))))


def test_only_equal_passes_and_absence_everywhere_where_allowed() -> None:
    """--allow-empty excuses a day that is nowhere, never one that only the new path lacks."""
    for legacy, new, passed, passed_if_empty_allowed in (
        (GOOD, GOOD, True, True),
        (NOTHING, NOTHING, False, True),
        (GOOD, NOTHING, False, False),
        (NOTHING, GOOD, False, False),
        (BAD, BAD, False, False),
        (GOOD, BAD, False, False),
        (UNKNOWN, UNKNOWN, False, False),
    ):
        assert day(legacy, new).passed(allow_empty=False) is passed
        assert day(legacy, new).passed(allow_empty=True) is passed_if_empty_allowed
    in_flight = ImportDay(
        date(2024, 1, 31), ImportVerdict.IN_FLIGHT, NOTHING, NOTHING, NameDifferences(), 4, datetime.now(UTC)
    )
    assert not in_flight.passed(allow_empty=True)


def test_the_trap_is_called_by_its_name() -> None:
    """An empty new path is what the DAG ends green on: the sentence says so."""
    assert day(GOOD, NOTHING).sentence == (
        "absent on the new path, where the legacy path has 3 objects: "
        'the DAG would take its "Empty" branch, end green and import nothing'
    )
    assert day(NOTHING, NOTHING).sentence.startswith("absent on both sides")
    assert day(NOTHING, GOOD).sentence.startswith("absent on the legacy path")


def test_the_sentence_says_what_differs_and_on_which_side() -> None:
    """Rows before users before contents; the side that cannot be loaded, or both."""
    assert (
        "3 rows on the legacy path, 2 on the new one" in day(GOOD, PathLoad(2, 2, Loaded(2, 2, ONE))).sentence
    )
    assert (
        "2 users on the legacy path, 1 on the new one"
        in day(GOOD, PathLoad(3, 3, Loaded(3, 1, ONE))).sentence
    )
    names = NameDifferences(differing=1, extra=2)
    assert day(GOOD, PathLoad(3, 3, Loaded(3, 2, OTHER)), names).sentence == (
        "differs: as many rows on both sides (3), but not the same (files on the new path: 2 extra, 1 different)"
    )
    assert day(BAD, BAD).sentence.startswith("not loadable on both sides: gs://b/x.jsonl line 2:")
    assert day(BAD, GOOD).sentence.startswith("not loadable on the legacy path: gs://")
    assert day(GOOD, BAD).sentence.startswith("not loadable on the new path: gs://")
    assert day(UNKNOWN, BAD).sentence.startswith("not loadable on the new path: gs://")
    reason = "gs://b/x.jsonl line 2: coerced: user_id: number where STRING is wanted"
    end = "; it is not documented what BigQuery does with it, --engine bigquery can tell"
    assert day(GOOD, UNKNOWN).sentence == f"not judged here on the new path: {reason}{end}"
    assert day(UNKNOWN, UNKNOWN).sentence == f"not judged here on both sides: {reason}; {reason}{end}"


def test_a_day_in_the_report_has_every_figure_of_both_sides() -> None:
    """Plain JSON, and null where there is no figure."""
    found = json.loads(json.dumps(day(GOOD, BAD, NameDifferences(1, examples=("missing x",))).to_json()))
    assert found == {
        "day": "2024-01-31",
        "verdict": "not_loadable",
        "sentence": day(GOOD, BAD).sentence,
        "legacy": {
            "present": True,
            "objects": 3,
            "files": 3,
            "rows": 3,
            "users": 2,
            "fingerprint": "1" * 64,
            "problem": None,
        },
        "new": {
            "present": True,
            "objects": 3,
            "files": 3,
            "rows": None,
            "users": None,
            "fingerprint": None,
            "problem": "gs://b/x.jsonl line 2: wrong type: user_id: array where STRING is wanted",
        },
        "names": {"missing": 1, "extra": 0, "differing": 0, "examples": ["missing x"]},
        "attempts": 1,
        "tested": "2024-02-01T00:00:00+00:00",
    }
    assert day(NOTHING, GOOD).to_json()["legacy"]["present"] is False
    unknown = day(GOOD, UNKNOWN).to_json()
    assert (unknown["verdict"], unknown["new"]["present"], unknown["new"]["rows"]) == (
        "not_judged",
        True,
        None,
    )
    assert (
        unknown["new"]["problem"] == "gs://b/x.jsonl line 2: coerced: user_id: number where STRING is wanted"
    )


def test_the_screen_shows_one_figure_where_both_agree_and_both_where_not() -> None:
    """A reader sees at a glance which figure differs."""
    console = Console(width=100, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(table_of([day(GOOD, GOOD), day(GOOD, PathLoad(3, 3, Loaded(3, 1, OTHER)))]))
    headings, _, equal, differs = [
        line.split() for line in console.export_text().splitlines() if line.strip()
    ]
    assert headings == ["day", "verdict", "objects", "rows", "users", "fingerprint"]
    assert equal == ["2024-01-31", "equal", "3", "3", "2", "111111111111"]
    assert differs == [
        "2024-01-31",
        "differs",
        "3",
        "3",
        *["2", "/", "1", "111111111111", "/", "222222222222"],
    ]


def test_only_days_that_are_not_equal_are_explained_with_a_few_names() -> None:
    """Five names and how many more; nothing about days that are right."""
    names = NameDifferences(missing=7, examples=tuple(f"missing user_id_{n}.jsonl" for n in range(7)))
    lines = details([day(GOOD, GOOD), day(GOOD, NOTHING, names)])
    assert lines[0].startswith("2024-01-31 absent on the new path")
    assert lines[1:] == [*(f"    missing user_id_{n}.jsonl" for n in range(5)), "    … and 2 more files"]


def test_a_run_that_ended_with_an_error_does_not_pass_though_every_day_does() -> None:
    """Stopped after the last day, say."""
    found = day(GOOD, GOOD)
    migration = Migration(Location("legacy", "QPI_exports/"), Location("new", "qpi_exports/"))
    results = Results("run", "duckdb", migration, (found.day,), False, found.tested, [found])
    assert results.to_json(found.tested, None)["passed"] is True
    stopped = results.to_json(found.tested, Interrupted("stopped by SIGINT before its end"))
    assert (stopped["complete"], stopped["passed"]) == (True, False)
