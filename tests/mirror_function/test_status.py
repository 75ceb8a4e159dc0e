"""The status page as a function: over HTTP, on a real Cloud Storage, with nothing but what is uploaded."""

import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import functions_framework
import pytest
import report_samples as samples
from flask.testing import FlaskClient
from testing_paths import Paths

from mirror_function import status
from shared.gateway import Gateway
from shared.objects import ObjectRef
from shared.phase import state_ref
from shared.record import state_from_head
from shared.report.loading import read_status
from shared.state import State
from shared.verification import latest_verification_ref

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def function(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    """The function in this process, behind the framework, configured for the test's own pair of prefixes."""
    main = tmp_path / "main.py"
    main.write_text("from mirror_function.status import status_page\n")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    monkeypatch.setenv("MIRROR_SOURCE", paths.migration.source.uri)
    monkeypatch.setenv("MIRROR_DESTINATION", paths.migration.destination.uri)
    status._worker.cache_clear()
    app = functions_framework.create_app("status_page", str(main), "http")
    yield app.test_client()
    if status._worker.cache_info().currsize:
        status._worker()[1].close()
    status._worker.cache_clear()


def own(paths: Paths, verification: dict[str, Any]) -> dict[str, Any]:
    """A verification of the test's own pair of prefixes."""
    return verification | {
        "env": "custom",
        "source": paths.migration.source.uri,
        "destination": paths.migration.destination.uri,
    }


def write(paths: Paths, at: ObjectRef, content: Any) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    paths.client.bucket(at.bucket).blob(at.name).upload_from_string(text)


def test_a_migration_of_which_nothing_is_written_down_was_never_verified(function: FlaskClient) -> None:
    """A record and no verification: the first phase, and nothing is known."""
    answer = function.get("/")
    assert answer.status_code == 200
    for wanted in ("Never verified", "Dual write", "python -m backfill_job verify <span"):
        assert wanted in answer.text


def test_a_migration_without_a_record_has_not_begun(function: FlaskClient, paths: Paths) -> None:
    """Absence is never a phase: the page says what to do, and names no phase."""
    paths.forget()
    answer = function.get("/")
    assert answer.status_code == 200
    for wanted in ("Not begun", "its record is lost", "python -m backfill_job begin "):
        assert wanted in answer.text
    assert "Dual write" not in answer.text


def test_the_latest_verification_and_the_state_are_shown(function: FlaskClient, paths: Paths) -> None:
    """As they lie beside the new path."""
    verification = own(paths, samples.compact())
    state = samples.state(phase="cut_over", since="2026-11-23T05:00:00Z")
    state |= {"source": paths.migration.source.uri, "destination": paths.migration.destination.uri}
    paths.forget()
    write(paths, state_ref(paths.migration), state)
    write(paths, latest_verification_ref(paths.migration), verification)
    page, content = function.get("/"), function.get("/status.json").get_json()
    assert page.status_code == 200
    assert "Not equal: " in page.text
    assert "The new path has the last word" in page.text
    known = state_from_head(json.dumps(state).encode(), paths.migration).content()
    assert (content["state"], content["verification"]) == (known, verification)
    assert page.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def test_no_export_is_read_or_listed(function: FlaskClient, paths: Paths) -> None:
    """Three small objects of the migration's own are read, and that is all: contents cannot come to light."""
    for side in ("source", "destination"):
        paths.put("qpi_answers_20240101/user_id_7.jsonl", b'{"user_id": "secret"}\n', side=side)
    paths.server.reset_stats()
    answer = function.get("/")
    assert "secret" not in answer.text
    methods = paths.server.stats()["methods"]
    assert {name: entry["count"] for name, entry in methods.items()} == {
        "storage.objects.list": 1,
        "storage.objects.download": 3,
    }


@pytest.mark.parametrize(
    ("where", "content", "said"),
    [
        (state_ref, b"{", "no JSON"),
        (state_ref, b'{"phase": "dual_write"}', "version"),
        (state_ref, {"phase": "finished"}, "phase is"),
        (state_ref, samples.state(source="gs://another/one/"), "the state of another migration"),
        (latest_verification_ref, b"\xff\xfe", "no JSON"),
        (latest_verification_ref, b"[" * 100_000, "no JSON"),
        (latest_verification_ref, b'{"format": NaN}', "no JSON"),
        (latest_verification_ref, [], "Expected `object`, got `array`"),
        (latest_verification_ref, {"format": "something/1"}, "format is"),
        (latest_verification_ref, samples.clean(3), "this migration&#39;s"),
    ],
)
def test_what_is_damaged_or_foreign_is_503_and_named(
    where: Any, content: Any, said: str, function: FlaskClient, paths: Paths
) -> None:
    """Never taken for "not there", never a stack trace; which object it is, and what is wrong with it."""
    at = where(paths.migration)
    write(paths, at, content)
    answer = function.get("/")
    assert answer.status_code == 503
    assert "Unknown: not everything could be read" in answer.text
    assert at.uri in answer.text
    assert said in answer.text
    assert function.get("/status.json").get_json()["verdict"] == "unknown"


def test_a_missing_bucket_is_503_and_not_a_fresh_migration(
    function: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is never read as "nothing there"."""
    monkeypatch.setenv("MIRROR_DESTINATION", "gs://no-such-bucket/qpi_exports/")
    answer = function.get("/")
    assert answer.status_code == 503
    assert "no such bucket" in answer.text
    assert "Never verified" not in answer.text
    assert "Dual write" not in answer.text


# The official client leaves the connection of a refused download to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_storage_that_fails_is_503(
    function: FlaskClient, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known stays to be seen; what is not is said."""
    monkeypatch.setattr(status, "RETRY_DEADLINE", 0.2)
    paths.server.set_faults(rules=[{"method": "storage.objects.download", "count": None, "status": 503}])
    answer = function.get("/")
    assert answer.status_code == 503
    assert "Unknown" in answer.text
    paths.server.clear_faults()
    assert function.get("/").status_code == 200
    gc.collect()


def test_a_function_that_is_not_configured_says_so(
    function: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 until the variables are set; the next request tries again."""
    monkeypatch.delenv("MIRROR_DESTINATION")
    answer = function.get("/")
    assert answer.status_code == 503
    assert "set MIRROR_ENV" in answer.text
    assert function.get("/healthz").text == "ok\n"


def test_a_function_only_answers_get(function: FlaskClient) -> None:
    """The framework lets every method through; the page does not."""
    assert function.post("/", data=b"x").status_code == 405
    assert function.get("/nothing/here").status_code == 404
    head = function.head("/")
    assert (head.status_code, head.data) == (200, b"")


def test_reading_the_status_by_hand_gives_the_same(paths: Paths, gateway: Gateway) -> None:
    """What a command on a laptop uses."""
    verification = own(paths, samples.clean(3))
    write(paths, latest_verification_ref(paths.migration), verification)
    now = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
    begun = read_status(gateway, paths.migration, now).state
    assert isinstance(begun, State)
    assert begun.begun
    paths.forget()
    write(paths, latest_verification_ref(paths.migration), verification)
    data = read_status(gateway, paths.migration, now)
    assert (data.state, data.refreshed, data.unreadable) == (None, now, ())
    assert data.known_verification is not None
    assert json.loads(json.dumps(data.known_verification.to_json())) == verification
    assert data.target.source == paths.migration.source.uri


def test_the_function_needs_only_what_is_uploaded_with_it(tmp_path: Path) -> None:
    """mirror_function and shared, templates included, staged elsewhere and asked from there."""
    for name in ("mirror_function", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "main.py").write_text("from mirror_function.status import status_page\n")
    code = (
        "import sys, functions_framework\n"
        f"app = functions_framework.create_app('status_page', {str(tmp_path / 'main.py')!r}, 'http')\n"
        "answer = app.test_client().get('/')\n"
        "assert answer.status_code == 503 and 'set MIRROR_ENV' in answer.text, answer.text\n"
        "names = [name for name in sys.modules if name.partition('.')[0] in ('shared', 'mirror_function')]\n"
        f"strangers = [name for name in names if not sys.modules[name].__file__.startswith({str(tmp_path)!r})]\n"
        "assert strangers == [], strangers\n"
        "foreign = {'backfill_job', 'local_gcs', 'demo', 'rich', 'aiohttp', 'uvloop'} & {*sys.modules}\n"
        "assert not foreign, foreign\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )
    assert done.returncode == 0, done.stderr
