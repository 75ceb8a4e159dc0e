"""The plan, as lines a person can check."""

from backfill_job.copying.diff import judge_sides
from backfill_job.dry_run.plan import plan
from shared.decision import Authority
from shared.migration import Environment, Location, Migration, qpi_exports
from shared.objects import Metadata, ObjectState

S = ObjectState("x", 71, 1, 3, "crc-s", "md5", "", "", Metadata("application/json"))
OTHER = S._replace(generation=12, crc32c="crc-d")
TYPED = S._replace(generation=12, metadata=Metadata("text/plain"))

MIGRATION = qpi_exports(Environment.DEV)

LINES = [
    judge_sides(".DS_Store", S, None, MIGRATION),
    judge_sides("a.jsonl", S, None, MIGRATION),
    judge_sides("b.jsonl", S, S._replace(generation=12), MIGRATION),
    judge_sides("c.jsonl", S, OTHER, MIGRATION),
    judge_sides("d.jsonl", S, TYPED, MIGRATION),
    judge_sides("e.jsonl", None, S, MIGRATION),
]


def lines(authority: Authority) -> list[str]:
    return [str(line) for line in plan(LINES, MIGRATION, authority)]


def test_the_plan_before_the_cutover() -> None:
    """The source has the authority: what differs is overwritten, with the reason beside it."""
    assert lines(Authority.SOURCE) == [
        "excluded .DS_Store",
        "copy a.jsonl",
        "equal b.jsonl",
        "overwrite c.jsonl (crc32c)",
        "overwrite d.jsonl (content type)",
        "extra e.jsonl",
    ]


def test_the_plan_after_the_cutover() -> None:
    """The destination has the authority: what differs is a conflict."""
    assert lines(Authority.DESTINATION) == [
        "excluded .DS_Store",
        "copy a.jsonl",
        "equal b.jsonl",
        "conflict c.jsonl (crc32c)",
        "conflict d.jsonl (content type)",
        "extra e.jsonl",
    ]


def test_a_copy_without_md5_that_is_older_than_its_source_is_planned_by_the_phase() -> None:
    """It is copied again while the source wins; else nothing is copied, and its bytes have to be compared."""
    unproven = [judge_sides("b.jsonl", S._replace(md5=None), S, MIGRATION)]
    why = "b.jsonl (crc32c alone, and older than the source)"
    for authority, step in (
        (Authority.SOURCE, "overwrite"),
        (Authority.LATER_WRITE, "equal"),
        (Authority.DESTINATION, "equal"),
    ):
        assert [str(line) for line in plan(unproven, MIGRATION, authority)] == [f"{step} {why}"]


def test_a_name_too_long_for_the_destination_is_planned_as_impossible() -> None:
    """The dry run says it before the execution stumbles over it."""
    migration = Migration(Location.parse("gs://bucket/a/"), Location.parse("gs://other/longer/"))
    (line,) = plan([judge_sides("x" * 1020, S, None, migration)], migration, Authority.SOURCE)
    assert line.step.value == "impossible"
    assert "1027 bytes, 1024 are allowed" in line.note
