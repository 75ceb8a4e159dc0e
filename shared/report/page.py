"""Renders the report page and the status page: values in, one self-contained HTML text out.

Everything is rendered here, on the server's side, with escaping on for every value; a page reads, prints and links without
any script. The one script adds tooltips, arrow keys, filtering and copying. Style and script stand in the page and are
allowed by their hashes; the page's own policy forbids everything else, so that no markup that slipped through could load or
run anything. No style attribute is used, which the policy would refuse as well: drawings have their places in SVG attributes.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shared.errors import UsageError
from shared.phase import Phase
from shared.report import figures, wording
from shared.report.advice import SIGNATORIES, Target, report_steps, status_steps
from shared.report.facts import DayState, Level, NameVerdict, State, Verification
from shared.report.headline import Headline, Tone, headline, status_headline, unknown_headline
from shared.report.heat_map import heat_map
from shared.report.lag_chart import lag_chart
from shared.report.names import name_markup, visible, visible_name
from shared.report.reading import read_state, read_verification, require_migration
from shared.report.volume import volume

__all__ = [
    "Unreadable",
    "content_policy",
    "render_report",
    "render_status",
    "render_unknown",
    "source_hash",
    "verdict_of_status",
]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that could not be read: neither there nor not there.

    Attributes:
        why: What it is and what happened, as one line.
    """

    why: str


def render_report(verification: Mapping[str, Any]) -> str:
    """Render a verification's report.

    Args:
        verification: ``verification.json``, parsed.

    Returns:
        A complete HTML page that needs no other file.

    Raises:
        UsageError: The verification is damaged, something else, or contradicts itself.
    """
    found = read_verification(verification)
    return _render(
        "report.html",
        headline=headline(found),
        steps=report_steps(found),
        embedded=_embedded(verification),
        **_about(found),
    )


def render_status(
    state: Mapping[str, Any] | Unreadable | None,
    verification: Mapping[str, Any] | Unreadable | None,
    *,
    target: Target,
    now: datetime,
    refreshed: datetime,
) -> str:
    """Render the status page.

    Args:
        state: The state object's contents, parsed; None when there is no state object yet.
        verification: The latest ``verification.json``, parsed; None when there is none.
        target: Which migration.
        now: The current time; aware.
        refreshed: When the two were read; aware.

    Returns:
        A complete HTML page that needs no other file.

    Raises:
        UsageError: One of them is damaged, something else, or another migration's.
    """
    stands, found, unreadable = _parsed(state, verification, target)
    verdict = _verdict(stands, found, unreadable, now)
    steps = () if unreadable or stands is None else status_steps(stands, found, target, now)
    return _render(
        "status.html",
        headline=verdict,
        steps=steps,
        target=target,
        state=stands,
        now=now,
        refreshed=refreshed,
        verification_headline=None if found is None else _by_itself(found, known=not unreadable),
        **_about(found),
    )


def verdict_of_status(
    state: Mapping[str, Any] | Unreadable | None,
    verification: Mapping[str, Any] | Unreadable | None,
    *,
    target: Target,
    now: datetime,
) -> Headline:
    """The status page's headline by itself; see `render_status`."""
    return _verdict(*_parsed(state, verification, target), now)


def render_unknown(why: str, now: datetime) -> str:
    """Render a page that says that nothing is known.

    Args:
        why: What could not be read, as one line.
        now: The current time; aware.
    """
    return _render("unknown.html", headline=unknown_headline([why]), now=now)


def content_policy() -> str:
    """What a page may load and run: its own style and script, and its icon. Nothing from anywhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{source_hash(_source('page.css'))}'",
            f"script-src '{source_hash(_source('page.js'))}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _parsed(
    state: Mapping[str, Any] | Unreadable | None,
    verification: Mapping[str, Any] | Unreadable | None,
    target: Target,
) -> tuple[State | None, Verification | None, tuple[str, ...]]:
    """What was read, None for what was not, and why."""
    stands, found, unreadable = None, None, []
    if isinstance(state, Unreadable):
        unreadable.append(state.why)
    else:
        if state is not None:
            require_migration(state, "the state", target.source, target.destination)
        stands = State() if state is None else read_state(state)
    if isinstance(verification, Unreadable):
        unreadable.append(verification.why)
    elif verification is not None:
        found = read_verification(verification)
        require_migration(verification, "the verification", target.source, target.destination)
    return stands, found, tuple(unreadable)


def _verdict(
    state: State | None, verification: Verification | None, unreadable: tuple[str, ...], now: datetime
) -> Headline:
    if unreadable or state is None:
        return unknown_headline(unreadable)
    return status_headline(state, verification, now)


def _by_itself(found: Verification, *, known: bool) -> Headline:
    """A verification's own verdict, below the page's; not in its colours where the page's is that nothing is known."""
    verdict = headline(found)
    return verdict if known else replace(verdict, tone=Tone.UNKNOWN)


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


def _embedded(content: Mapping[str, Any]) -> Markup:
    """The JSON for machines, in a form that cannot end the element it stands in.

    ASCII only, which also keeps U+2028 and lone surrogates as escapes.
    """
    try:
        text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the verification is no JSON ({error}); run verify again") from error
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 -- nothing in it has a meaning in HTML any more


def _render(template: str, **values: Any) -> str:
    return (
        _environment()
        .get_template(template)
        .render(style=_source("page.css"), script=_source("page.js"), policy=content_policy(), **values)
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("shared.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=figures.count,
        bytes=figures.byte_count,
        seconds=figures.seconds,
        moment=figures.moment,
        age=figures.age,
        name=name_markup,
        plain_name=visible_name,
    )
    environment.globals.update(
        counted=figures.counted,
        DayState=DayState,
        Level=Level,
        Phase=Phase,
        SIGNATORIES=SIGNATORIES,
        Verdict=NameVerdict,
        words=wording,
        newline=Markup("&#10;"),
    )
    return environment


def _printable(value: Any) -> Any:
    """Every text that a page shows passes here: what nobody could see is escaped. Markup was made by us."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _source(name: str) -> Markup:
    """A style sheet or script, as it stands in the page."""
    return Markup(files("shared.report").joinpath("templates", name).read_text(encoding="utf-8"))  # noqa: S704 -- our own files


def source_hash(source: str) -> str:
    """How a page's policy names a style sheet or script that stands in the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"
