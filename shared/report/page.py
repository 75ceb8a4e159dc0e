"""Renders the report page and the status page: values in, one self-contained HTML text out.

Everything is rendered here, on the server, and every value is escaped. A page reads, prints and links without any script. The
one script adds tooltips, arrow keys, filtering and copying. Style and script are in the page, and its policy allows them by
their hashes. The policy forbids everything else, so markup that escaped the escaping could not load or run anything. It also
refuses style attributes: drawings have their places in SVG attributes.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shared.green_days import Square, green_days
from shared.migration import Migration
from shared.phase import Phase
from shared.report import figures, wording
from shared.report.charts import heat_map, hour_map, lag_chart, volume
from shared.report.headline import Headline, Tone, headline, status_headline, unknown_headline
from shared.report.loading import Status, Unreadable
from shared.report.next_steps import NextStep, next_command, next_steps, target_of
from shared.report.wording import name_markup, visible, visible_name
from shared.verification import DayState, Level, Verdict, Verification

__all__ = [
    "content_policy",
    "next_of_status",
    "page_templates",
    "render_hours",
    "render_report",
    "render_status",
    "render_unknown",
    "source",
    "source_hash",
    "steps_of_status",
    "verdict_of_status",
]


def render_report(verification: Verification, phase: Phase | None = None) -> str:
    """Render a verification's report: a complete HTML page that needs no other file.

    The phase is that of the migration when it ran; None where it is not known.
    """
    return _render(
        "report.html",
        headline=headline(verification),
        steps=next_steps(phase, verification, target_of(verification)),
        embedded=_embedded(verification),
        **_about(verification),
    )


def render_status(status: Status, now: datetime) -> str:
    """Render the status page: a complete HTML page that needs no other file. The time is aware."""
    state, found, known = status.known_state, status.known_verification, not status.unreadable
    by_itself = None if found is None else headline(found)
    if by_itself is not None and not known:
        # Without its colours: the page says that nothing is known.
        by_itself = replace(by_itself, tone=Tone.UNKNOWN)
    cut_over = state if state is not None and state.phase is Phase.CUT_OVER else None
    return _render(
        "status.html",
        green=None if cut_over is None else green_days(cut_over, status.refreshed),
        headline=verdict_of_status(status, now),
        steps=steps_of_status(status, now),
        next_command=next_of_status(status, now) if known else None,
        target=status.target,
        state=state if state is not None and state.begun else None,
        now=now,
        refreshed=status.refreshed,
        loaded=None if isinstance(status.loaded, Unreadable) else status.loaded,
        loaded_unreadable=status.loaded.why if isinstance(status.loaded, Unreadable) else "",
        verification_headline=by_itself,
        **_about(found),
    )


def verdict_of_status(status: Status, now: datetime) -> Headline:
    """The status page's headline by itself; see `render_status`."""
    state = status.known_state
    if status.unreadable or state is None:
        return unknown_headline(status.unreadable)
    return status_headline(state, status.known_verification, now)


def steps_of_status(status: Status, now: datetime) -> tuple[NextStep, ...]:
    """What to do next, where everything could be read; for the page and for the command `status`."""
    state = status.known_state
    if state is None or status.unreadable:
        return ()
    return next_steps(state.phase, status.known_verification, status.target, state=state, now=now)


def next_of_status(status: Status, now: datetime) -> str:
    """The one command to type next, for the page and for the command `status`; empty where there is nothing to do now."""
    again = status.target.command("status")
    command = next_command(steps_of_status(status, now), status.known_verification, status.target) or "status"
    return "" if command == again and not status.unreadable else command


def render_unknown(why: str, now: datetime) -> str:
    """Render a page that says that nothing is known, and why; the time is aware."""
    return _render("unknown.html", headline=unknown_headline([why]), now=now)


def render_hours(migration: Migration, counts: Sequence[int], lines: Sequence[str], *, known: bool) -> str:
    """Render the writes by hour of the week as a complete HTML page.

    Args:
        counts: From Monday, 00:00 UTC.
        lines: What a dry run says about them; more than one is a warning.
    """
    title, *warnings = lines
    tone = Tone.ATTENTION if warnings else Tone.GOOD
    said = Headline(tone if known else Tone.UNKNOWN, title, tuple(map(str.strip, warnings)))
    return _render("hours.html", headline=said, migration=migration, hours=hour_map(counts))


def content_policy() -> str:
    """What a page may load and run: only its own style, script and icon."""
    style, script = source_hash(source("page.css")), source_hash(source("page.js"))
    own = f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:"
    return f"{own}; base-uri 'none'; form-action 'none'"


def _about(found: Verification | None) -> dict[str, Any]:
    """What the templates show of a verification."""
    if found is None:
        return {"verification": None}
    return {
        "verification": found,
        "heat": heat_map(found.days, found.remarks),
        "volume": volume(found.days),
        "lag_chart": None if found.lag is None else lag_chart(found.lag),
    }


def _embedded(verification: Verification) -> Markup:
    """The JSON for machines, in a form that cannot end its element.

    ASCII only: that also keeps U+2028 and lone surrogates as escapes.
    """
    text = json.dumps(verification.to_json(), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 -- no character of it means anything in HTML


def _render(template: str, **values: Any) -> str:
    page = {"style": source("page.css"), "script": source("page.js"), "policy": content_policy()}
    return _environment().get_template(template).render(**page, **values)


def page_templates(package: str) -> Environment:
    """The templates of a package's pages: every text that is not our own `Markup` is escaped and made visible."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=figures.count, seconds=figures.seconds)
    return environment


@functools.cache
def _environment() -> Environment:
    environment = page_templates("shared.report")
    environment.filters.update(
        bytes=figures.byte_count,
        moment=figures.moment,
        age=figures.age,
        name=name_markup,
        plain_name=visible_name,
    )
    environment.globals.update(
        counted=figures.counted,
        DayState=DayState,
        Square=Square,
        Level=Level,
        Phase=Phase,
        Verdict=Verdict,
        words=wording,
        newline=Markup("&#10;"),
    )
    return environment


def _printable(value: Any) -> Any:
    """Escape the invisible characters of every text that a page shows. `Markup` is our own."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def source(name: str, package: str = "shared.report") -> Markup:
    """A style sheet or script, as the page contains it."""
    return Markup(files(package).joinpath("templates", name).read_text(encoding="utf-8"))  # noqa: S704 -- our own files


def source_hash(source: str) -> str:
    """How a page's policy names a style sheet or script that the page contains."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"
