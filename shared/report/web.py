"""The status page as a Flask application. It reads at every request and keeps nothing.

It answers ``GET`` only: ``/`` for people, ``/status.json`` for machines, ``/healthz`` for a monitor of the process. It
answers ``/health``, too, because Cloud Run keeps some paths that end in z to itself. When something could not be read, both
pages answer 503 and say what, so that a monitor does not take an answer for good news.

Access is decided in front of it: by IAM for the function, by the loopback interface for a laptop.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from flask import Flask, Response

from shared.errors import MigrationError
from shared.loaded import LoadedRecord
from shared.report.headline import Tone
from shared.report.loading import Status, Unreadable
from shared.report.page import content_policy, render_status, render_unknown, verdict_of_status
from shared.state import State
from shared.verification import Verification

__all__ = ["STATUS_FORMAT", "create_app"]

STATUS_FORMAT = "qpi-exports-migration/status/1"
"""What ``/status.json`` says in its ``format``."""

OK = 200
UNAVAILABLE = 503


def create_app(
    load: Callable[[], Status], *, now: Callable[[], datetime], trusted_hosts: Sequence[str] | None = None
) -> Flask:
    """Make the application.

    Args:
        load: Reads what is shown, at every request. A `MigrationError` from it makes a page that says so.
        now: The current time; aware.
        trusted_hosts: The names by which it may be asked, and others are refused; None for any. A page on the loopback
            interface is asked by one name only. So a web site cannot read it by pointing its own name there.
    """
    # No folder of static files, no templates of Flask's: everything comes from the renderer.
    app = Flask("qpi_exports_migration_status", static_folder=None, template_folder=None)
    app.config["TRUSTED_HOSTS"] = None if trusted_hosts is None else list(trusted_hosts)

    def page() -> Response:
        try:
            data = load()
            text, code = render_status(data, now()), _code(data)
        except MigrationError as error:
            text, code = render_unknown(str(error), now()), UNAVAILABLE
        return Response(text, code, mimetype="text/html")

    def machine_readable() -> Response:
        try:
            data = load()
            content, code = _as_json(data, now()), _code(data)
        except MigrationError as error:
            content = {"format": STATUS_FORMAT, "verdict": Tone.UNKNOWN.value, "unreadable": [str(error)]}
            code = UNAVAILABLE
        # ASCII: a lone surrogate in a name could not be sent otherwise.
        return Response(json.dumps(content, indent=2) + "\n", code, mimetype="application/json")

    def alive() -> Response:
        return Response("ok\n", mimetype="text/plain")

    for path, view in {
        "/": page,
        "/status.json": machine_readable,
        "/healthz": alive,
        "/health": alive,
    }.items():
        app.add_url_rule(path, path, view, methods=["GET"], provide_automatic_options=False)
    app.after_request(_guard)
    return app


def _unreadable(data: Status) -> list[str]:
    return [*data.unreadable, *([data.loaded.why] if isinstance(data.loaded, Unreadable) else [])]


def _code(data: Status) -> int:
    return UNAVAILABLE if _unreadable(data) else OK


def _as_json(data: Status, now: datetime) -> dict[str, Any]:
    verdict = verdict_of_status(data, now)
    return {
        "format": STATUS_FORMAT,
        "source": data.target.source,
        "destination": data.target.destination,
        "read": data.refreshed.isoformat(),
        "verdict": verdict.tone.value,
        "title": verdict.title,
        "reasons": list(verdict.reasons),
        "unreadable": _unreadable(data),
        "state": data.state.content() if isinstance(data.state, State) else None,
        "verification": data.verification.to_json() if isinstance(data.verification, Verification) else None,
        "loaded": data.loaded.to_json() if isinstance(data.loaded, LoadedRecord) else None,
    }


def _guard(response: Response) -> Response:
    """The headers that every answer has, errors too."""
    response.headers.update(
        {
            "Content-Security-Policy": f"{content_policy()}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Robots-Tag": "noindex, nofollow",
        }
    )
    return response
