"""The dry run on a screen, line by line."""

from collections.abc import Iterable
from datetime import date
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backfill_job.copying.diff import Work
from backfill_job.dry_run.estimate import estimate, work_of
from backfill_job.dry_run.inventory import Inventory
from backfill_job.dry_run.plan import PlanLine, PlanStep
from backfill_job.dry_run.screen import render
from shared.migration import Environment, Location, Migration, qpi_exports
from shared.objects import Difference, Metadata, ObjectState
from shared.text import byte_count, counted, dollars, duration, listed, shown

QPI = qpi_exports(Environment.DEV)
TODAY = date(2024, 3, 1)


def an_object(relative: str, size: int, *keys: str) -> ObjectState:
    return ObjectState(relative, 1, 1, size, "crc", None, "", "", Metadata(custom=dict.fromkeys(keys, "1")))


def a_line(
    step: PlanStep, relative: str, size: int = 1_000, *because: Difference, note: str = ""
) -> PlanLine:
    source = None if step is PlanStep.EXTRA else an_object(relative, size)
    there = step in {PlanStep.EQUAL, PlanStep.OVERWRITE, PlanStep.CONFLICT, PlanStep.EXTRA}
    return PlanLine(relative, step, source, an_object(relative, size) if there else None, because, note)


def printed(
    lines: Iterable[PlanLine], migration: Migration = QPI, *, names: int = 20, terminal: bool = False
) -> list[str]:
    found = Inventory(TODAY)
    for line in lines:
        found.add(line)
    findings = found
    costs = estimate(work_of(findings), speed=100)
    screen = StringIO()
    console = Console(file=screen, width=100, force_terminal=terminal, highlight=False)
    console.print(render(findings, costs, migration, names=names))
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def section(lines: list[str], heading: str) -> list[str]:
    """The lines under a heading, up to the next empty one."""
    start = lines.index(heading) + 1
    return lines[start : lines.index("", start) if "" in lines[start:] else None]


JANUARY = "qpi_answers_20240130"
FEBRUARY = "qpi_answers_20240201"


def test_a_first_run_at_a_glance() -> None:
    """Where nothing is at the destination yet, the overview is these lines."""
    lines = printed(
        [
            a_line(PlanStep.COPY, "", 0),
            a_line(PlanStep.EXCLUDED, ".DS_Store", 6_148),
            *(a_line(PlanStep.COPY, f"{JANUARY}/user_id_{n}.jsonl") for n in range(1_500)),
            a_line(PlanStep.COPY, f"{FEBRUARY}/user_id_1.jsonl", 600),
        ]
    )

    assert lines == [
        "Dry run: nothing is changed.",
        "from  gs://data-bucket-dev/QPI_exports/",
        "to    gs://de-bigquery-data-export-dev/qpi_exports/",
        "",
        "Nothing would be overwritten, nothing is in conflict.",
        "",
        "                       objects     bytes",
        "────────────────────────────────────────",
        "at the source            1,503   1.4 MiB",
        "  to copy, new there     1,502   1.4 MiB",
        "  already equal              0       0 B",
        "  excluded                   1   6.0 KiB",
        "at the destination           0       0 B",
        "",
        "Date partitions",
        "  month      days   objects   JSONL     bytes   to copy   equal   differs",
        "  ───────────────────────────────────────────────────────────────────────",
        "  2024-01       1     1,500   1,500   1.4 MiB     1,500       0         0",
        "  2024-02       1         1       1     600 B         1       0         0",
        "  (no day)                1       0       0 B         1       0         0",
        "  ───────────────────────────────────────────────────────────────────────",
        "  total         2     1,502   1,501   1.4 MiB     1,502       0         0",
        "",
        "Gaps",
        "  MISSING 1 day between 2024-01-30 and 2024-02-01: 2024-01-31",
        "",
        "Kinds and file types",
        "  kind          objects     bytes      type      objects     bytes",
        "  ───────────────────────────────      ───────────────────────────",
        "  answers         1,501   1.4 MiB      .jsonl      1,501   1.4 MiB",
        "  placeholder         1       0 B      folder/         1       0 B",
        "",
        "Sizes",
        "  0 to 1,000 bytes, mean 999, median about 767, p99 about 1,000, 1 empty",
        "             0  █                                             1",
        "  512 to 1,023  ████████████████████████████████████████  1,501",
        "",
        "Excluded, left behind",
        "  name        objects     bytes",
        "  ─────────────────────────────",
        "  .DS_Store         1   6.0 KiB",
        "",
        "Estimate",
        "  dry run      5 Class A operations, under $0.01",
        "  execute      1,511 Class A and 32 Class B operations, under $0.01, with verification",
        "  copying      about 15 s at up to 100 objects/s; the bucket alone: 1.5 s",
        "  limited by   the client; --tasks N, or a job with more tasks, copies faster",
        "  listing      about 0.0 s meanwhile, and again to verify",
        "  tasks        one is enough",
        "  second copy  1.4 MiB, under $0.01 a month while both are kept",
        "  what it costs        how much   in one region   in several",
        "  ──────────────────────────────────────────────────────────",
        "  Class A operations      1,511     under $0.01        $0.02",
        "  Under $0.01 each: Class B operations, the job's task seconds, replication within several regions,",
        "  copies' events to the reverse mirror, the events' messages, the reverse mirror's invocations, its",
        "  CPU seconds, its memory, GiB seconds, its log lines, second copy, a month",
        "  Prices of 2025: cloud.google.com/storage/pricing, cloud.google.com/pubsub/pricing,",
        "  cloud.google.com/run/pricing (tier 1, billed by request), cloud.google.com/run/pricing (tier 1,",
        "  jobs), cloud.google.com/stackdriver/pricing",
    ]


def test_what_would_be_replaced_comes_first_in_a_box() -> None:
    """Overwrites, conflicts and impossible names are named with their reasons in a box before any figure."""
    lines = printed(
        [
            a_line(PlanStep.EQUAL, "a"),
            a_line(PlanStep.OVERWRITE, f"{JANUARY}/user_id_1.jsonl", 9, Difference.SIZE, Difference.CRC32C),
            a_line(PlanStep.OVERWRITE, f"{JANUARY}/user_id_2.jsonl", 9, Difference.CONTENT_TYPE),
            a_line(PlanStep.CONFLICT, f"{JANUARY}/user_id_3.jsonl", 9, Difference.MD5),
            a_line(PlanStep.IMPOSSIBLE, "b", 9, note="its name would be too long"),
        ],
        names=1,
    )

    assert lines[4].startswith("┏")
    assert "LOOK HERE FIRST" in lines[4]
    assert [line.strip("┃ ") for line in lines[5:13]] == [
        "2 objects would be OVERWRITTEN at the destination, which has something different:",
        f"{JANUARY}/user_id_1.jsonl  (size, crc32c)",
        "… and 1 more",
        "1 object in CONFLICT: different at the destination, which has the last word; left alone:",
        f"{JANUARY}/user_id_3.jsonl  (md5)",
        "1 object IMPOSSIBLE to copy:",
        "b  (its name would be too long)",
        lines[12],
    ]
    assert lines[12].startswith("┗")
    assert lines[15:21] == [
        "at the source                     5   1.0 KiB",
        "  to copy, new there              0       0 B",
        "  to OVERWRITE                    2      18 B",
        "  already equal                   1   1,000 B",
        "  in CONFLICT, left alone         1       9 B",
        "  IMPOSSIBLE names                1       9 B",
    ]
    assert "Nothing would be overwritten, nothing is in conflict." not in lines


def test_a_large_migration_is_told_how_many_tasks_are_worth_it() -> None:
    """Where one task would take long, the overview names a number of tasks and both times."""
    found = Inventory(TODAY)
    found.add(a_line(PlanStep.COPY, f"{JANUARY}/user_id_1.jsonl"))
    costs = estimate(Work(5_000_000, 0, 5_000_000, 0, 10**9), speed=500)
    screen = StringIO()

    Console(file=screen, width=100).print(render(found, costs, QPI))

    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert lines[lines.index("Estimate") + 3 :][:5] == [
        "  copying      about 2 h 47 min at up to 500 objects/s; the bucket alone: 39 min 11 s",
        "  limited by   the client; --tasks N, or a job with more tasks, copies faster",
        "  listing      about 1 min 40 s meanwhile, and again to verify",
        "  tasks        8 recommended: about 39 min 11 s; one alone: 2 h 47 min",
        "  second copy  953.7 MiB, $0.02 a month while both are kept",
    ]


def test_gaps_futures_and_impossible_dates() -> None:
    """Stretches of missing days, days without JSONL, days after today and dates of no calendar each have their line."""
    lines = printed(
        [
            a_line(PlanStep.COPY, "qpi_answers_20240110.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20240112/", 0),
            a_line(PlanStep.COPY, "qpi_answers_20240114.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20240116.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20240231.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20240302.jsonl"),
        ]
    )

    assert section(lines, "Gaps") == [
        "  MISSING 4 days between 2024-01-10 and 2024-01-16: 2024-01-11 to 2024-01-13 (3), 2024-01-15",
        "  1 day with objects but no JSONL: 2024-01-12",
        "  1 day in the FUTURE (after 2024-03-01): 2024-03-02",
        "  Dates that no calendar has: 20240231 (1 object)",
    ]


def test_no_gap_is_said_too() -> None:
    """Days without a gap are confirmed, not passed over."""
    lines = printed([a_line(PlanStep.COPY, "qpi_answers_20240110.jsonl")])

    assert section(lines, "Gaps") == ["  No day is missing between 2024-01-10 and 2024-01-10."]


def test_strays_reserved_keys_and_extras() -> None:
    """Strays in a day's folder, metadata of Google's tools and what only the destination has are shown when there."""
    stamped = an_object("x", 1, "goog-reserved-file-mtime")
    lines = printed(
        [
            PlanLine(f"{JANUARY}/copy of x.jsonl", PlanStep.EQUAL, an_object("x", 1), stamped),
            a_line(PlanStep.EXTRA, "left over", 5),
        ]
    )

    assert section(lines, "In a day's folder, but not one of its submissions: 1 object") == [
        f"    {JANUARY}/copy of x.jsonl"
    ]
    assert section(lines, "Metadata keys of Google's tools, not compared") == [
        "  key                        at the source   at the destination",
        "  ─────────────────────────────────────────────────────────────",
        "  goog-reserved-file-mtime               0                    1",
    ]
    assert section(lines, "Only at the destination, left alone: 1 object") == ["    left over"]
    assert "  only there                 1     5 B" in lines


def test_another_pair_is_shown_by_folder() -> None:
    """Where nothing is QPI data, folders and types describe it, few names are shown, and no month is invented."""
    pair = Migration(Location.parse("gs://one/photos/"), Location.parse("gs://two/photos/"))

    lines = printed((a_line(PlanStep.COPY, f"{n % 30:02}/{n:03}.jpg") for n in range(300)), pair)

    assert section(lines, "Date partitions") == ["  None: no name has a date where QPI exports have it."]
    outside = section(lines, "Outside every known layout: 300 objects")
    assert outside[2] == "  00/              10    9.8 KiB"
    assert outside[22:] == [
        "  … 10 more       100   97.7 KiB",
        "    00/000.jpg",
        "    00/030.jpg",
        "    00/060.jpg",
        "    00/090.jpg",
        "    00/120.jpg",
        "    … and 295 more",
    ]
    assert "Gaps" not in lines


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ""),
        ([a_line(PlanStep.EXTRA, "x"), a_line(PlanStep.EXTRA, "y")], " The destination holds 2 objects."),
    ],
)
def test_an_empty_source_is_one_clear_sentence(lines: list[PlanLine], expected: str) -> None:
    """An empty source names the likely mistake, and what the destination holds, instead of tables of zeros."""
    assert " ".join(printed(lines)) == (
        "gs://data-bucket-dev/QPI_exports/ holds no objects: check the bucket and the prefix, whose case counts."
        + expected
    )


def test_everything_excluded_is_still_shown() -> None:
    """A source of nothing but excluded objects has a headline and its excluded names."""
    lines = printed([a_line(PlanStep.EXCLUDED, ".DS_Store", 6)])

    assert "  excluded                   1     6 B" in lines
    assert "Sizes" not in lines


NASTY = [
    "[bold]x",
    "[/]",
    ":warning:",
    "a\x1b[31mred",
    "a\rb",
    "a\nb",
    "tab\t",
    "back\\slash",
    " x ",
    "\u202eabc",
]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("step", [PlanStep.OVERWRITE, PlanStep.EXTRA, PlanStep.COPY])
def test_names_do_nothing_to_the_screen(step: PlanStep, *, terminal: bool) -> None:
    """Markup, emoji codes, control and direction characters in names are printed as text, wherever names appear."""
    # One of a day, so that all the names outside the layouts are shown.
    names = [a_line(PlanStep.COPY, f"{JANUARY}.jsonl"), *(a_line(step, name) for name in NASTY)]

    lines = "\n".join(printed(names, terminal=terminal))

    for name in NASTY:
        assert shown(name) in lines
    assert "\x1b[31mred" not in lines
    assert not {"\r", "\t", "\u202e"} & set(lines)


def test_excluded_names_and_keys_do_nothing_either() -> None:
    """Excluded file names and metadata keys come from a bucket too."""
    key = "goog-reserved-[bold]\x1b[31m"
    there = an_object("x", 1, key)

    lines = "\n".join(
        printed([PlanLine("x", PlanStep.EQUAL, there, there), a_line(PlanStep.EXCLUDED, "[red]\x1b")])
    )

    assert shown(key) in lines
    assert shown("[red]\x1b") in lines
    assert "\x1b" not in lines


def test_a_long_name_is_shown_in_full() -> None:
    """A name of a thousand characters is folded, never cut."""
    lines = printed([a_line(PlanStep.OVERWRITE, "x" * 1_000)])

    assert sum(line.count("x") for line in lines if line.startswith("┃") and set(line) <= set("┃ x")) == 1_000


def test_plain_without_a_terminal() -> None:
    """Without a terminal there is no control sequence; with one, the box is coloured and says the same."""
    lines = [a_line(PlanStep.OVERWRITE, "x", 9, Difference.SIZE)]
    plain, coloured = "\n".join(printed(lines)), "\n".join(printed(lines, terminal=True))

    assert "\x1b" not in plain
    assert "\x1b[1;31m" in coloured
    assert "would be OVERWRITTEN" in plain


@given(st.text(), st.text())
def test_shown_names_are_printable_and_distinct(one: str, other: str) -> None:
    """Any text is shown printably, and different texts are shown differently."""
    assert shown(one).isprintable()
    assert (shown(one) == shown(other)) == (one == other)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (shown("a b"), "a b"),
        (shown("  a b "), "\\x20\\x20a b\\x20"),
        (shown("  "), "\\x20\\x20"),
        (shown("\\x20"), "\\\\x20"),
        (counted(1, "day"), "1 day"),
        (counted(1_000, "day"), "1,000 days"),
        (listed(["a", "b"], 2), "a, b"),
        (listed(["a", "b", "c"], 2), "a, b … and 1 more"),
        (byte_count(1_023), "1,023 B"),
        (byte_count(1_024), "1.0 KiB"),
        (byte_count(2**20 - 1), "1.0 MiB"),
        (byte_count(3 * 2**30), "3.0 GiB"),
        (byte_count(5_000 * 2**50), "4.9 EiB"),
        (duration(0), "0.0 s"),
        (duration(1.5), "1.5 s"),
        (duration(59.4), "59 s"),
        (duration(59.6), "1 min 00 s"),
        (duration(200), "3 min 20 s"),
        (duration(3_599.9), "1 h 00 min"),
        (duration(7_500), "2 h 05 min"),
        (duration(86_399), "1 d 00 h"),
        (duration(90_000), "1 d 01 h"),
        (dollars(0), "$0.00"),
        (dollars(0.004), "under $0.01"),
        (dollars(1_234.5), "$1,234.50"),
    ],
)
def test_wording(found: str, expected: str) -> None:
    """Figures and names read as a person would write them."""
    assert found == expected
