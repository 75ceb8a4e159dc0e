"""The words of the pages: names, figures, the verdict, what to do next."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import report_samples as samples
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import UsageError
from shared.phase import Phase
from shared.report.headline import Tone, headline, status_headline
from shared.report.loading import Status, Unreadable
from shared.report.next_steps import CommandTarget, NextStep, next_steps, target_of
from shared.report.page import content_policy, render_report, render_status, verdict_of_status
from shared.report.wording import name_markup, visible, visible_name
from shared.state import State
from shared.text import age, byte_count, counted, duration, second_text, shown_text
from shared.verification import Verification

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
TARGET = CommandTarget("dev", samples.SOURCE, samples.DESTINATION)


def read(file: dict[str, Any], **changes: Any) -> Verification:
    return samples.read(file | changes)


MANIFEST = "gs://de-bigquery-data-export-dev/_migration/qpi_exports/deletions/d.json"
BEGUN = f"; manifest d.json sha256 {'0' * 64} of 3 objects"


def stands(phase: str = "dual_write", since: str | None = None, **changes: Any) -> State:
    return samples.read_state(samples.state(phase=phase, since=since, runs=[], **changes))


def commands(steps: tuple[NextStep, ...]) -> list[str]:
    return [step.command.removeprefix("python -m backfill_job ") for step in steps if step.command]


TRICKY = st.one_of(st.text(max_size=12), st.text(alphabet=" \\x20nu\n\u202e", max_size=5))
"""Any text; and short ones of what escapes are made of, so that some look alike when one is not escaped."""


@given(TRICKY, TRICKY)
@example("\\n", "\n")
@example("a  b", "a\\x20\\x20b")
@example(" a  b", "")
def test_no_two_names_look_the_same_because_of_what_nobody_sees(one: str, other: str) -> None:
    """What is shown is printable, has no space that could be overlooked, and tells any two names apart."""
    shown = visible_name(one)
    assert shown.isprintable()
    assert shown == shown.strip(" ")
    assert "  " not in shown
    assert (shown == visible_name(other)) is (one == other)


@given(st.text(max_size=20))
def test_a_name_s_markup_has_its_text_and_no_markup_of_its_own(name: str) -> None:
    """Taken out of its markup again it is what is shown; in it no character of the name means anything."""
    markup = name_markup(name)
    assert markup.replace("<wbr>", "").striptags() == " ".join(visible_name(name).split())
    inner = str(markup)
    for ours in ("<bdi>", "</bdi>", "<wbr>", '<span class="escape">', "</span>"):
        inner = inner.replace(ours, "")
    assert not set(inner) & set("<>\"'")


def test_a_sentence_keeps_its_backslash_and_shows_what_turns_it() -> None:
    """Sentences are not names: they are read, not compared."""
    assert (
        visible("a\\b \u202e\n\u00e9 \ufe0f\U000e0101")
        == r"a\b \u202e" + r"\n" + "\u00e9 " + r"\ufe0f\U000e0101"
    )


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (duration(0), "0 ms"),
        (duration(0.0416), "42 ms"),
        (duration(0.9996), "1 s"),
        (duration(1.54), "1.5 s"),
        (duration(9.96), "10 s"),
        (duration(59.6), "1 min"),
        (duration(200), "3 min 20 s"),
        (duration(7_500), "2 h 05 min"),
        (duration(86_399), "1 d"),
        (duration(3 * 86_400 + 4 * 3_600), "3 d 04 h"),
        (duration(-1.5), "\u22121.5 s"),
        (byte_count(1_023), "1,023 B"),
        (byte_count(1_536), "1.5 KiB"),
        (byte_count(1_048_575), "1.0 MiB"),
        (byte_count(2**62), "4.0 EiB"),
        (counted(1, "object"), "1 object"),
        (counted(1_000, "object"), "1,000 objects"),
        (second_text(NOW), "2026-11-23 06:00:00 UTC"),
        (age(NOW - timedelta(seconds=3), NOW), "just now"),
        (age(NOW + timedelta(hours=1), NOW), "just now"),
        (age(NOW - timedelta(hours=3), NOW), "3 h ago"),
    ],
)
def test_figures_read_well(shown: str, wanted: str) -> None:
    """Also where rounding reaches the next unit."""
    assert shown == wanted


def one_day(state: str = "equal", **changes: Any) -> dict[str, Any]:
    return samples.verification(samples.days(date(2024, 1, 1), 1, {date(2024, 1, 1): state}), **changes)


def differing_digests() -> dict[str, Any]:
    made = samples.clean(3)
    made["totals"]["destination"] = {**made["totals"]["destination"], "digest": "0" * 64}
    return made


def broken_books() -> dict[str, Any]:
    made = samples.clean(3)
    made["counts"]["equal"] += 1
    return made


def with_remark(level: str) -> dict[str, Any]:
    return samples.clean(3) | {"remarks": [{"level": level, "kind": "x", "day": None, "text": "t"}]}


@pytest.mark.parametrize(
    ("file", "tone", "title", "reason"),
    [
        (samples.clean(3), Tone.GOOD, "Equal: nothing missing, nothing differs", ""),
        (with_remark("warning"), Tone.GOOD, "Equal: nothing missing, nothing differs", "1 warning below"),
        (with_remark("critical"), Tone.ATTENTION, "Equal, but something needs a look", "1 critical remark"),
        (differing_digests(), Tone.ATTENTION, "Equal, but something needs a look", "digests differ"),
        (
            samples.clean(3) | {"exit_code": 1},
            Tone.ATTENTION,
            "Equal, but something needs a look",
            "exit code 1",
        ),
        (
            samples.clean(3)
            | {
                "contents": samples.contents(
                    migration_problems={"truncated": {"objects": 1, "lines": 1, "severity": "error"}}
                )
            },
            Tone.ATTENTION,
            "Equal, but something needs a look",
            "only the destination has",
        ),
        (one_day("in_flight"), Tone.ATTENTION, "Not proven equal yet: ", ""),
        (one_day("missing"), Tone.BAD, "Not equal: ", ""),
        (one_day("differing"), Tone.BAD, "Not equal: ", ""),
        (one_day(extra=1), Tone.BAD, "Not equal: 1 extra", ""),
        (one_day(metadata=2), Tone.BAD, "Not equal: 2 differing", ""),
        (broken_books(), Tone.BAD, "This report contradicts itself", "Do not rely on this report"),
    ],
)
def test_the_verdict_never_sounds_better_than_the_evidence(
    file: dict[str, Any], tone: Tone, title: str, reason: str
) -> None:
    """Good only when everything was compared, is equal, and nothing speaks against it."""
    found = headline(read(file))
    assert found.tone is tone
    assert found.title.startswith(title)
    assert reason in " ".join(found.reasons)
    assert found.title in render_report(read(file)).replace("&#39;", "'")


def test_two_empty_paths_are_not_called_equal() -> None:
    """A mistyped prefix has nothing in it, and neither has the other one."""
    made = samples.verification([])
    nothing = {**samples.side(), "digest": samples.digest("")}
    made["undated"].update(source=nothing, destination=nothing, verdicts={}, verdict="absent")
    made["counts"]["equal"] = 0
    with pytest.raises(UsageError, match="clean is true, and nothing was compared"):
        read(made)
    made.update(clean=False, exit_code=0)  # as --allow-empty permits
    found = headline(read(made))
    assert (found.tone, found.title) == (Tone.ATTENTION, "Nothing was compared")
    made["counts"]["excluded"] = 3
    assert headline(read(made)).reasons == (
        "All is excluded: 3 names on either side. Are the patterns right?",
    )
    made["counts"]["excluded"] = 0
    assert commands(next_steps(Phase.DUAL_WRITE, read(made), TARGET)) == ["migrate --env dev"]


CLEAN = samples.clean(3)


@pytest.mark.parametrize(
    ("state", "file", "tone", "title", "reason"),
    [
        (stands(), CLEAN, Tone.GOOD, "Equal: nothing", ""),
        (stands(), None, Tone.UNKNOWN, "Never verified", ""),
        (
            stands(),
            CLEAN | {"finished": "2026-11-22T05:00:00.000Z"},
            Tone.ATTENTION,
            "Equal when it was last verified",
            "1 d 01 h ago",
        ),
        (
            stands("cut_over", "2026-11-23T05:15:30Z"),
            CLEAN,
            Tone.ATTENTION,
            "Equal when it was last verified",
            "before the phase became",
        ),
        (stands("cut_over", "2026-11-23T05:00:00Z"), CLEAN, Tone.GOOD, "Equal: nothing", ""),
        (stands(), one_day("missing"), Tone.BAD, "Not equal", ""),
        (
            stands("deleting", "2026-11-23T05:30:00Z"),
            CLEAN,
            Tone.GOOD,
            "The legacy path is being deleted",
            "found: equal",
        ),
        (
            stands("deleted", "2026-11-23T05:30:00Z"),
            CLEAN,
            Tone.GOOD,
            "The legacy path is deleted",
            "found: equal",
        ),
        (
            stands("deleted", "2026-11-23T05:00:00Z"),
            one_day(extra=1),
            Tone.UNKNOWN,
            "The legacy path is deleted",
            "on purpose",
        ),
        (
            stands("deleted", "2026-11-23T05:30:00Z"),
            one_day(extra=1),
            Tone.GOOD,
            "The legacy path is deleted",
            "every legacy object equal; 1 object only at the new path",
        ),
        (
            stands("deleted", "2026-11-23T05:30:00Z"),
            one_day("missing"),
            Tone.ATTENTION,
            "The legacy path is deleted",
            "deleted only versions that it found equal",
        ),
        (
            stands("deleting", "2026-11-23T05:30:00Z"),
            one_day("missing"),
            Tone.BAD,
            "The legacy path is being deleted",
            "not equal",
        ),
        (
            stands("deleted", "2026-11-23T05:30:00Z"),
            broken_books(),
            Tone.BAD,
            "The legacy path is deleted",
            "contradicts itself",
        ),
        (
            stands("deleted", "2026-11-23T05:30:00Z"),
            None,
            Tone.UNKNOWN,
            "The legacy path is deleted",
            "No verification",
        ),
    ],
)
def test_the_status_takes_time_and_phase_into_account(
    state: State, file: dict[str, Any] | None, tone: Tone, title: str, reason: str
) -> None:
    """What was equal yesterday, or before the cutover, is not called equal now."""
    found = status_headline(state, None if file is None else read(file), NOW)
    assert found.tone is tone
    assert found.title.startswith(title)
    assert reason in " ".join(found.reasons)


def test_a_later_run_that_failed_casts_doubt() -> None:
    """The latest verification may be from before it."""
    state = samples.state()
    state["runs"][-1] |= {"exit_code": 1, "finished": "2026-11-23T05:40:00Z", "command": "migrate"}
    found = status_headline(samples.read_state(state), read(CLEAN), NOW)
    assert found.tone is Tone.ATTENTION
    assert found.reasons[0] == "A later run of migrate ended with exit code 1."


def test_what_could_not_be_read_is_never_good_news() -> None:
    """Whichever of the two it is, and whatever the other says; no phase is claimed, no step advised."""
    for state, file in (
        (Unreadable("gs://b/state.json: no answer"), read(CLEAN)),
        (stands(), Unreadable("gs://b/verification.json: no answer")),
        (Unreadable("one"), Unreadable("other")),
    ):
        status = Status(TARGET, state, file, NOW)
        page = render_status(status, NOW)
        assert verdict_of_status(status, NOW).tone is Tone.UNKNOWN
        assert "Unknown: not everything could be read" in page
        assert "Never verified" not in page
        assert "python -m" not in page
        for part in (state, file):
            if isinstance(part, Unreadable):
                assert part.why in page
        if isinstance(state, Unreadable):
            assert "Dual write" not in page


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (samples.clean(3), ["gate --env dev"]),
        (one_day("missing"), ["migrate --env dev --execute"]),
        (one_day("differing"), ["migrate --env dev --execute"]),
        (one_day(metadata=1), ["migrate --env dev --execute"]),
        (one_day("in_flight"), ["verify --env dev"]),
        (one_day(extra=1), []),
    ],
)
def test_a_report_says_what_to_do_next(file: dict[str, Any], wanted: list[str]) -> None:
    """As commands to paste; where only a person can help there is none."""
    steps = next_steps(Phase.DUAL_WRITE, read(file), TARGET)
    assert commands(steps) == wanted
    assert steps


def test_a_report_s_concerns_become_steps() -> None:
    """Critical remarks, files that the import would refuse, a mirror that is slower than a verification waits."""
    texts = " ".join(
        step.text
        for step in next_steps(Phase.DUAL_WRITE, read(samples.compact(), lag=samples.lag(p99_s=61.0)), TARGET)
    )
    for wanted in (
        "missing object",
        "differing object",
        "critical remark",
        "import would refuse",
        "mirror's log",
    ):
        assert wanted in texts
    assert "mirror's log" not in " ".join(
        step.text for step in next_steps(Phase.DUAL_WRITE, read(samples.compact()), TARGET)
    )


@pytest.mark.parametrize(
    ("state", "file", "wanted"),
    [
        (
            stands(signoffs=[]),
            None,
            [
                "verify --env dev",
                "signoff qpi-team --env dev --by NAME",
                "cutover --env dev --by NAME",
                "cutover --env dev --by NAME --no-mirror --reason 'the writer is paused'",
            ],
        ),
        (stands(), CLEAN, ["signoff development --env dev --by NAME", "cutover --env dev --by NAME"]),
        (
            stands("cut_over", "2026-11-23T05:00:00Z"),
            one_day("differing"),
            [
                "cutover --env dev --by NAME",
                "verify --env dev",
                "rollback --env dev --dry-run",
                "delete --env dev",
            ],
        ),
        (
            stands("cut_over", "2026-11-23T05:15:30Z"),
            CLEAN,
            ["verify --env dev", "rollback --env dev --dry-run", "delete --env dev"],
        ),
        (
            stands("rolled_back", "2026-11-23T05:00:00Z"),
            one_day("missing"),
            [
                "migrate --env dev --execute",
                "signoff qpi-team --env dev --by NAME",
                "cutover --env dev --by NAME",
            ],
        ),
        (
            stands("deleting", "2026-11-23T05:30:00Z", manifest=BEGUN),
            CLEAN,
            [f"delete --env dev --confirm-delete --resume {MANIFEST}"],
        ),
        (
            stands("deleted", "2026-11-23T05:30:00Z", manifest=BEGUN),
            one_day("missing"),
            ["undo --env dev"],
        ),
    ],
)
def test_the_status_says_what_to_do_next_in_its_phase(
    state: State, file: dict[str, Any] | None, wanted: list[str]
) -> None:
    """What differs after the cutover is a late writer's; after the deletion no command is offered for what is missing."""
    verification = None if file is None else read(file)
    assert commands(next_steps(state.phase, verification, TARGET, state=state, now=NOW)) == wanted


def test_every_phase_has_its_page() -> None:
    """Its name, what it means, and that it is now."""
    for phase in Phase:
        since = None if phase is Phase.DUAL_WRITE else "2026-11-23T05:00:00Z"
        page = render_status(Status(TARGET, stands(phase.value, since), read(CLEAN), NOW), NOW)
        assert page.count('aria-current="step"') == 1
        assert f'aria-current="step">{phase.value.replace("_", " ").capitalize()}<' in page


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (TARGET, "verify --env dev"),
        (
            CommandTarget("dev", samples.SOURCE, samples.DESTINATION, ()),
            "verify --env dev --no-default-excludes",
        ),
        (
            CommandTarget("dev", samples.SOURCE, samples.DESTINATION, (".DS_Store", "*.tmp", "-x")),
            "verify --env dev --exclude '*.tmp' --exclude=-x",
        ),
        (
            CommandTarget("dev", "gs://other/a/", samples.DESTINATION),
            f"verify --source gs://other/a/ --destination {samples.DESTINATION}",
        ),
        (
            CommandTarget("custom", "gs://a/it's/", "gs://b/x y/"),
            "verify --source 'gs://a/it'\"'\"'s/' --destination 'gs://b/x y/'",
        ),
    ],
)
def test_a_command_means_this_migration(target: CommandTarget, wanted: str) -> None:
    """The preset where it is the preset, else both paths; excludes as they are; fit for a shell."""
    assert target.command("verify") == f"python -m backfill_job {wanted}"


def test_a_command_that_cannot_be_shown_exactly_is_not_shown() -> None:
    """A pattern with a character that nobody sees would be pasted as another one."""
    assert CommandTarget("dev", samples.SOURCE, samples.DESTINATION, ("a\u202eb",)).command("verify") == ""
    assert target_of(read(CLEAN)).command("verify") == "python -m backfill_job verify --env dev"


def test_the_json_in_the_page_cannot_end_its_element() -> None:
    """No character of it has a meaning in HTML, and it is the file all the same."""
    file = samples.hostile()
    page = render_report(read(file))
    (_, _, rest) = page.partition('<script type="application/json" id="verification-json">')
    (text, _, _) = rest.partition("</script>")
    assert not set(text) & set("<>&\u2028\u2029")
    assert text.isascii()
    assert json.loads(text) == file


def test_the_policy_allows_the_page_s_own_style_and_script_by_their_hashes_only() -> None:
    """Nothing inline in general, nothing from anywhere."""
    policy = content_policy()
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert policy.replace("'", "&#39;") in render_report(read(CLEAN))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DELETE", "DELETE"),
        ("a\nb", "'a\\nb'"),
        ("a\x1b[31m", "'a\\x1b[31m'"),
        ("größer", "'gr\\xf6\\xdfer'"),
        ("x" * 500, "x" * 60 + "…"),
    ],
    ids=["as it is", "a line break", "a terminal's command", "not ASCII", "long"],
)
def test_a_wrong_text_is_one_short_line_in_ascii(text: str, shown: str) -> None:
    """Whatever was typed or is in a file, it cannot add a line or a colour to a screen."""
    assert shown_text(text) == shown
