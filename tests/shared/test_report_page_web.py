"""The status page's Flask application: what it answers, what it never answers."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import report_samples as samples
from flask.testing import FlaskClient

from shared.errors import Unavailable, UsageError
from shared.loaded import LoadedVerdict
from shared.report.loading import Status, Unreadable
from shared.report.next_steps import CommandTarget
from shared.report.page import content_policy
from shared.report.web import STATUS_FORMAT, create_app

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
TARGET = CommandTarget("dev", samples.SOURCE, samples.DESTINATION)


def client_of(state: Any, verification: Any, loaded: Any = None) -> FlaskClient:
    status = Status(TARGET, state, verification, NOW, loaded)
    return create_app(lambda: status, now=lambda: NOW).test_client()


def failing(error: Exception) -> FlaskClient:
    def load() -> Status:
        raise error

    return create_app(load, now=lambda: NOW).test_client()


def test_it_shows_people_and_machines_the_same() -> None:
    """The page and status.json: the verdict, the state, the verification."""
    state, verification = samples.state(), samples.compact()
    loaded = samples.loaded(LoadedVerdict.ONCE, LoadedVerdict.NEVER)
    client = client_of(samples.read_state(state), samples.read(verification), loaded)
    page, answer = client.get("/"), client.get("/status.json")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    content = answer.get_json()
    assert content["title"] in page.text
    assert {**content, "title": "", "reasons": []} == {
        "format": STATUS_FORMAT,
        "source": samples.SOURCE,
        "destination": samples.DESTINATION,
        "read": "2026-11-23T06:00:00+00:00",
        "verdict": "bad",
        "title": "",
        "reasons": [],
        "unreadable": [],
        "state": samples.read_state(state).content(),
        "verification": verification,
        "loaded": loaded.to_json(),
    }
    assert "1 of 2 days not loaded as they should be: 2026-11-22 never" in page.text


def test_a_damaged_record_of_the_table_takes_no_verdict_away() -> None:
    """It is said on the page and to a monitor; phase, verdict and next command stay."""
    client = client_of(
        samples.read_state(samples.state()), samples.read(samples.clean()), Unreadable("no JSON")
    )
    page, answer = client.get("/"), client.get("/status.json")
    assert (page.status_code, answer.status_code) == (503, 503)
    assert (answer.get_json()["verdict"], answer.get_json()["unreadable"]) == ("good", ["no JSON"])
    for wanted in ("found last cannot be read: no JSON", "Dual write", "Next:"):
        assert wanted in page.text


def test_it_reads_again_at_every_request() -> None:
    """Nothing is kept: what is shown is what is."""
    states = iter([None, samples.read_state(samples.state(phase="cut_over", since="2026-11-23T05:00:00Z"))])
    moments = (NOW + timedelta(minutes=number) for number in range(10))
    app = create_app(lambda: Status(TARGET, next(states), None, NOW), now=lambda: next(moments))
    assert "Not begun" in app.test_client().get("/").text
    assert "The new path has the last word" in app.test_client().get("/").text


@pytest.mark.parametrize("path", ["/", "/status.json"])
@pytest.mark.parametrize(
    ("state", "verification"),
    [
        (Unreadable("gs://b/s: no answer"), samples.read(samples.clean(3))),
        (samples.read_state(samples.state()), Unreadable("gs://b/s: no answer")),
        (Unreadable("gs://b/s: no answer"), None),
        (None, Unreadable("gs://b/s: no answer")),
    ],
)
def test_what_cannot_be_read_is_503_and_said(path: str, state: Any, verification: Any) -> None:
    """Neither a page that looks well nor a stack trace."""
    answer = client_of(state, verification).get(path)
    assert answer.status_code == 503
    assert 'class="verdict good' not in answer.text
    assert 'class="verdict inner good' not in answer.text
    assert '"verdict": "good"' not in answer.text
    assert "Traceback" not in answer.text
    assert "no answer" in answer.text


@pytest.mark.parametrize("path", ["/", "/status.json"])
@pytest.mark.parametrize(
    "error", [Unavailable("gs://b/s", "no <b>answer</b>"), UsageError("set MIRROR_ENV, <b>please</b>")]
)
def test_a_failing_load_is_503_and_said(path: str, error: Exception) -> None:
    """Storage that says nothing, a function that is not configured."""
    answer = failing(error).get(path)
    assert answer.status_code == 503
    if path == "/":
        assert "Unknown" in answer.text
        assert str(error).replace("<", "&lt;").replace(">", "&gt;") in answer.text
    else:
        assert answer.get_json() == {
            "format": STATUS_FORMAT,
            "verdict": "unknown",
            "unreadable": [str(error)],
        }


def test_a_fault_of_the_program_shows_nothing_of_its_inside() -> None:
    """500 and no more; the log has the rest."""
    client = failing(RuntimeError("secret detail"))
    client.application.logger.disabled = True
    answer = client.get("/")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/healthz", "/health"])
def test_health_asks_nothing_of_the_storage(path: str) -> None:
    """The process is alive, whatever Cloud Storage says."""
    answer = failing(Unavailable("gs://b/s", "no answer")).get(path)
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/status.json", "/healthz"])
def test_it_only_answers_get(method: str, path: str) -> None:
    """There is nothing to change here."""
    answer = client_of(None, None).open(path, method=method)
    assert answer.status_code == 405
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/x", "/static/page.css", "/../state.json", "/verification.json"])
def test_there_is_nothing_else(path: str) -> None:
    """No file, no folder, no object is served by name."""
    answer = client_of(None, None).get(path)
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/status.json", "/healthz", "/nothing"])
def test_every_answer_has_the_protecting_headers(path: str) -> None:
    """Not to be framed, sniffed, cached, indexed; nothing may be loaded."""
    headers = client_of(None, None).get(path).headers
    assert headers["Content-Security-Policy"] == f"{content_policy()}; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"


def test_on_a_laptop_it_answers_to_its_own_name_only() -> None:
    """No web site can read it by letting its own name point at the loopback interface."""
    app = create_app(
        lambda: Status(TARGET, None, None, NOW), now=lambda: NOW, trusted_hosts=["localhost", "127.0.0.1"]
    )
    client = app.test_client()
    assert client.get("/", base_url="http://127.0.0.1:8080").status_code == 200
    assert client.get("/", base_url="http://localhost:8080").status_code == 200
    assert client.get("/", base_url="http://attacker.example:8080").status_code == 400


def test_names_that_no_encoding_has_are_sent_as_escapes() -> None:
    """A lone surrogate in a name breaks neither answer."""
    client = client_of(None, samples.read(samples.hostile()))
    assert client.get("/").status_code == 200
    answer = client.get("/status.json")
    assert json.loads(answer.data.decode("ascii"))["verification"] == samples.hostile()
