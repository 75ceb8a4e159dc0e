"""The BigQuery engine: what the real client sends, and what answers mean. Against a local HTTP server that answers like the
BigQuery REST methods used; and, where one is installed, against an emulator that really loads.

For the emulator: install ``bqemulator`` into an environment of its own, let ``BQEMULATOR`` name its program, and these tests
start it (``BQEMULATOR=/opt/bqemulator/bin/bqemulator make unit``).
"""

import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from test_import_test_duckdb import A, Held, by_hand, line

from backfill_job.import_test.bigquery import (
    BigQueryEngine,
    Dataset,
    bigquery_sql,
    connect,
    judged,
    translated,
)
from backfill_job.import_test.compare import Fingerprint, Loaded, NotLoadable
from backfill_job.import_test.day import Folder
from backfill_job.import_test.duckdb import EmbeddedEngine
from backfill_job.run.clock import Clock
from backfill_job.run.stopping import Stop
from shared.errors import (
    Interrupted,
    PermissionDenied,
    Refused,
    Unavailable,
    UnexpectedAnswer,
    UsageError,
)
from shared.migration import Location

NOW = datetime(2024, 2, 1, 12, tzinfo=UTC)
DAY = date(2024, 1, 31)
DATASET = Dataset("my-project", "scratch")
RUN = "dev-20240201T120000Z-abc123"
TABLE = "import_test_dev_20240201t120000z_abc123_legacy_1"
FOLDER = Folder(Location("legacy", "QPI_exports/qpi_answers_20240131/"), {})
GLOB = "gs://legacy/QPI_exports/qpi_answers_20240131/*.jsonl"
HASTY = DEFAULT_RETRY.with_delay(initial=0.01, maximum=0.02).with_timeout(0.5)

SCHEMA = [
    {"name": "user_id", "type": "STRING", "mode": "NULLABLE"},
    {"name": "submitted_at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {
        "name": "answers",
        "type": "RECORD",
        "mode": "REPEATED",
        "fields": [
            {"name": "question_id", "type": "STRING", "mode": "NULLABLE"},
            {"name": "answer_ids", "type": "STRING", "mode": "REPEATED"},
        ],
    },
]

Fault = tuple[int, str, str] | str
"""An HTTP status with its reason and message, or ``lost``: it happens, and the answer gets lost."""


@dataclass
class Stub:
    """What a project of BigQuery's would answer. It loads nothing: every query has the same one row."""

    url: str = ""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    faults: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)
    load_status: dict[str, Any] = field(default_factory=lambda: {"state": "DONE"})
    row: dict[str, int] = field(
        default_factory=lambda: {"row_count": 3, "users": 2, **{f"lane_{n}": n for n in range(8)}}
    )
    types: dict[str, str] = field(default_factory=dict)
    scanned: int = 0
    tables: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, Any] = field(default_factory=dict)
    asked: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        match method, path.strip("/").split("/"):
            case "POST", ["datasets", _, "tables"]:
                name = body["tableReference"]["tableId"]
                if name in self.tables:
                    return 409, error(409, "duplicate", f"Already Exists: Table {name}")
                self.tables[name] = body
                return 200, body
            case "GET", ["datasets", _, "tables", name]:
                return 200, self.tables[name]
            case "DELETE", ["datasets", _, "tables", name]:
                found = self.tables.pop(name, None)
                return (204, None) if found else (404, error(404, "notFound", "Not found: Table"))
            case "POST", ["jobs"]:
                name = body["jobReference"]["jobId"]
                if name in self.jobs:
                    return 409, error(409, "duplicate", f"Already Exists: Job {name}")
                status = self.load_status if "load" in body["configuration"] else {"state": "DONE"}
                statistics = {"query": {"totalBytesProcessed": str(self.scanned)}}
                self.jobs[name] = {**body, "status": status, "statistics": statistics}
                self.asked.set()
                return 200, self.jobs[name]
            case "GET", ["jobs", name]:
                return 200, self.jobs[name]
            case "GET", ["queries", _]:
                fields = [{"name": name, "type": self.types.get(name, "INTEGER")} for name in self.row]
                cells = [{"v": str(value)} for value in self.row.values()]
                return 200, {
                    "jobComplete": True,
                    "schema": {"fields": fields},
                    "rows": [{"f": cells}],
                    "totalRows": "1",
                }
        return 404, error(404, "notFound", f"no such method: {method} {path}")

    def sent(self, method: str, path: str = "") -> list[Any]:
        """The bodies of what was sent to a method."""
        return [body for verb, at, body in self.requests if verb == method and re.search(path, at)]


def error(status: int, reason: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


def job_error(reason: str, *errors: dict[str, Any], message: str = "failed") -> dict[str, Any]:
    result = {"reason": reason, "message": message}
    return {"state": "DONE", "errorResult": result, "errors": [result, *errors]}


class Handler(BaseHTTPRequestHandler):
    stub: Stub

    def do(self) -> None:
        url = urlsplit(self.path)
        path = url.path.removeprefix("/bigquery/v2/projects/my-project")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(data) if data else parse_qs(url.query)
        self.stub.requests.append((self.command, path, body))
        for (method, pattern), faults in self.stub.faults.items():
            if faults and method == self.command and re.search(pattern, path):
                fault = faults.pop(0)
                if fault == "lost":
                    self.stub.answer(self.command, path, body)
                    self.close_connection = True
                    return
                self.reply(fault[0], error(*fault))  # type: ignore[arg-type]
                return
        self.reply(*self.stub.answer(self.command, path, body))

    do_GET = do_POST = do_DELETE = do  # noqa: N815 -- the standard library's names

    def reply(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": stub}))
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(stub: Stub) -> Iterator[bigquery.Client]:
    client = bigquery.Client(
        project="my-project", credentials=AnonymousCredentials(), client_options={"api_endpoint": stub.url}
    )
    with closing(client):
        yield client


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def engine(client: bigquery.Client, notes: list[str]) -> BigQueryEngine:
    return made(client, notes.append)


def made(
    client: bigquery.Client, note: Callable[[str], None] = lambda _: None, stop: Stop | None = None
) -> BigQueryEngine:
    clock = Clock(lambda: NOW, lambda _: None)
    return BigQueryEngine(client, DATASET, run=RUN, clock=clock, stop=stop or Stop(), note=note, retry=HASTY)


# --- what is sent ---------------------------------------------------------------------------------------------


def test_a_load_is_a_table_that_expires_a_load_a_query_and_a_deletion(
    engine: BigQueryEngine, stub: Stub
) -> None:
    """In this order: what is loaded is never without an expiry, and nothing stays."""
    outcome = engine.load(FOLDER, "legacy_1")
    digits = "".join(f"{lane:08x}" for lane in range(8))
    assert outcome == Loaded(3, 2, Fingerprint(digits))
    steps = [(method, path.rpartition("/")[0] or path) for method, path, _ in stub.requests]
    tables = "/datasets/scratch/tables"
    assert [steps[0], steps[1], steps[2], steps[-1]] == [
        ("POST", "/datasets/scratch"),
        ("POST", "/jobs"),
        ("POST", "/jobs"),
        ("DELETE", tables),
    ]
    assert stub.requests[-1][1] == f"{tables}/{TABLE}"
    assert stub.tables == {}


def test_the_table_has_the_exact_schema_and_an_expiry(engine: BigQueryEngine, stub: Stub) -> None:
    """24 hours from now, in milliseconds, with labels that say what it is."""
    engine.load(FOLDER, "legacy_1")
    (table,) = stub.sent("POST", "tables$")
    assert table["tableReference"] == {"projectId": "my-project", "datasetId": "scratch", "tableId": TABLE}
    assert table["schema"] == {"fields": SCHEMA}
    assert int(table["expirationTime"]) == (NOW + timedelta(hours=24)).timestamp() * 1_000
    assert table["labels"] == {"purpose": "import-test", "run": "dev_20240201t120000z_abc123"}


def test_the_load_is_the_dag_s_with_nothing_forgiven(engine: BigQueryEngine, stub: Stub) -> None:
    """The glob, the format and the schema of the DAG; no unknown field, no bad row, no table but ours."""
    engine.load(FOLDER, "legacy_1")
    load = stub.sent("POST", "jobs$")[0]["configuration"]["load"]
    assert load == {
        "sourceUris": [GLOB],
        "destinationTable": {"projectId": "my-project", "datasetId": "scratch", "tableId": TABLE},
        "sourceFormat": "NEWLINE_DELIMITED_JSON",
        "schema": {"fields": SCHEMA},
        "writeDisposition": "WRITE_EMPTY",
        "createDisposition": "CREATE_NEVER",
        "ignoreUnknownValues": False,
        "maxBadRecords": 0,
    }


def test_the_query_is_bounded_and_reads_our_table_only(engine: BigQueryEngine, stub: Stub) -> None:
    """BigQuery refuses a query that would read more than the bound."""
    engine.load(FOLDER, "legacy_1")
    configuration = stub.sent("POST", "jobs$")[1]["configuration"]
    assert configuration["labels"]["purpose"] == "import-test"
    query = configuration["query"]
    assert int(query["maximumBytesBilled"]) == 10 * 1024**3
    assert (query["useQueryCache"], query["useLegacySql"]) == (False, False)
    assert query["query"] == bigquery_sql(f"my-project.scratch.{TABLE}")
    assert re.findall("`(.*?)`", query["query"]) == [f"my-project.scratch.{TABLE}"]


def test_the_query_cuts_the_digest_into_its_eight_lanes() -> None:
    """Each digit belongs to one lane: BigQuery counts from 1."""
    cuts = re.findall(r"SUBSTR\(digest, (-?[0-9]+), ([0-9]+)\)", bigquery_sql("p.d.t"))
    assert cuts == [(str(first), "8") for first in range(1, 64, 8)]


def test_jobs_run_where_asked(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """--location is that of load and query; without it BigQuery finds out."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stub.url)
    for location in ("EU", None):
        stub.requests.clear()
        with closing(connect(DATASET, location, os.environ)) as client:
            made(client).load(FOLDER, f"legacy_{location}")
        assert [job["jobReference"].get("location") for job in stub.sent("POST", "jobs$")] == [location] * 2


@pytest.mark.parametrize(
    ("text", "project", "name"),
    [("p.d", "p", "d"), ("my-project.Data_1", "my-project", "Data_1"), ("a.com:p.d", "a.com:p", "d")],
)
def test_a_dataset_is_named_with_its_project(text: str, project: str, name: str) -> None:
    """PROJECT.DATASET, also of a project that belongs to a domain."""
    assert Dataset.parse(text) == Dataset(project, name)


@pytest.mark.parametrize("text", ["", "d", "p.", ".d", "p.d.t`", "p.d-1", "p`x.d", "p. d", "p.d\n"])
def test_what_is_no_dataset_is_refused(text: str) -> None:
    """Nothing that could leave its place in the query."""
    with pytest.raises(UsageError, match=r"PROJECT\.DATASET is wanted"):
        Dataset.parse(text)


# --- what answers mean ----------------------------------------------------------------------------------------

TOO_MANY = {
    "reason": "invalid",
    "location": "gs://legacy/QPI_exports/qpi_answers_20240131/user_id_7.jsonl",
    "message": "Error while reading data, error message: JSON table encountered too many errors, giving up. Rows: 2; "
    "errors: 1. Please look into the errors[] collection for more details.",
}
BAD_VALUE = {
    **TOO_MANY,
    "message": "Error while reading data, error message: JSON parsing error in row starting at position 43: "
    "Could not convert value to string. Field: user_id; Value: 4711",
}


def test_a_row_that_bigquery_refuses_makes_the_folder_unloadable(engine: BigQueryEngine, stub: Stub) -> None:
    """The object and the place in it as BigQuery names them, without the value; and the table goes all the same."""
    stub.load_status = job_error("invalid", TOO_MANY, {"reason": "invalid", "message": "x"}, BAD_VALUE)
    assert engine.load(FOLDER, "legacy_1") == NotLoadable(
        "gs://legacy/QPI_exports/qpi_answers_20240131/user_id_7.jsonl: Error while reading data, error message: JSON "
        "parsing error in row starting at position 43: Could not convert value to string. Field: user_id; Value: …"
    )
    assert stub.tables == {}
    assert len(stub.sent("POST", "jobs$")) == 1


@pytest.mark.parametrize(
    "message",
    [
        "Could not parse 'SECRET' as TIMESTAMP for field submitted_at",
        "Couldn't convert value to timestamp: Could not parse 'SECRET' as TIMESTAMP",
        "Could not parse 'it's SECRET' as TIMESTAMP",
        "Could not parse 'SECRET",
        'Invalid value: "SECRET", expected other',
        "Field: user_id; Value: SECRET",
        "Could not convert; Value:\nSECRET",
        "value is SECRET",
        "Could not parse b'SECRET'",
    ],
)
def test_what_bigquery_quotes_from_a_row_is_cut_out(message: str) -> None:
    """Contents are people's answers: they do not go into logs and reports."""
    found = judged({"reason": "invalid"}, [{**TOO_MANY, "message": message}], GLOB)
    assert "SECRET" not in found.reason
    assert "user_id_7.jsonl" in found.reason


def test_no_more_is_cut_out_than_what_is_quoted() -> None:
    """An apostrophe is not a quote: what went wrong, and where, stays."""
    message = (
        "Couldn't convert value to timestamp: Could not parse 'SECRET' as TIMESTAMP for field submitted_at"
    )
    found = judged({"reason": "invalid"}, [{**TOO_MANY, "message": message}], GLOB)
    assert found.reason.endswith(
        ": Couldn't convert value to timestamp: Could not parse '…' as TIMESTAMP for field submitted_at"
    )


def test_objects_that_went_away_before_the_load_make_it_unloadable(
    engine: BigQueryEngine, stub: Stub
) -> None:
    """The listing afterwards tells whether that was a race."""
    stub.load_status = job_error("notFound", message=f"Not found: URI {GLOB}")
    assert engine.load(FOLDER, "legacy_1") == NotLoadable(f"{GLOB}: Not found: URI {GLOB}")


@pytest.mark.parametrize(
    ("reason", "raised", "says"),
    [
        ("backendError", Unavailable, "another try can help"),
        ("quotaExceeded", Unavailable, "another try can help"),
        ("stopped", Unavailable, "another try can help"),
        ("accessDenied", PermissionDenied, "was refused"),
        ("invalid", UsageError, "must be in one location"),
        ("resourcesExceeded", UnexpectedAnswer, "resourcesExceeded"),
    ],
)
def test_a_load_that_failed_for_another_reason_is_no_verdict(
    engine: BigQueryEngine, stub: Stub, reason: str, raised: type[Exception], says: str
) -> None:
    """Only what is wrong with the folder is a finding about the folder."""
    stub.load_status = job_error(reason, message="Cannot read and write in different locations")
    with pytest.raises(raised, match=says):
        engine.load(FOLDER, "legacy_1")
    assert stub.tables == {}


@pytest.mark.parametrize(
    ("at", "fault", "raised"),
    [
        (("POST", "tables$"), (404, "notFound", "Not found: Dataset my-project:scratch"), UsageError),
        (("POST", "tables$"), (403, "accessDenied", "may not"), PermissionDenied),
        (("POST", "tables$"), (400, "invalid", "what?"), Refused),
        (("POST", "jobs$"), (403, "accessDenied", "may not"), PermissionDenied),
        (("POST", "jobs$"), (403, "quotaExceeded", "too many"), Unavailable),
        (("GET", "queries"), (404, "notFound", "Not found: Job"), UnexpectedAnswer),
        (("GET", "queries"), (400, "bytesBilledLimitExceeded", "too much"), Refused),
    ],
)
def test_a_request_that_is_refused_is_an_error_and_leaves_no_table(
    engine: BigQueryEngine, stub: Stub, at: tuple[str, str], fault: Fault, raised: type[Exception]
) -> None:
    """Whatever fails after the table was made, it is deleted."""
    stub.faults[at] = [fault] * 500
    with pytest.raises(raised):
        engine.load(FOLDER, "legacy_1")
    assert stub.tables == {}
    made_one = at != ("POST", "tables$")
    assert len(stub.sent("DELETE")) == made_one


def test_a_missing_dataset_says_what_to_do(engine: BigQueryEngine, stub: Stub) -> None:
    """The first thing that goes wrong on a new machine."""
    stub.faults["POST", "tables$"] = [(404, "notFound", "Not found: Dataset my-project:scratch")]
    with pytest.raises(UsageError, match=r"no BigQuery dataset my-project\.scratch .* create one"):
        engine.load(FOLDER, "legacy_1")


@pytest.mark.parametrize("fault", [(503, "backendError", "later"), "lost"])
@pytest.mark.parametrize("at", [("POST", "tables$"), ("POST", "jobs$"), ("DELETE", "tables")])
def test_a_fault_that_passes_is_ridden_out(
    engine: BigQueryEngine, stub: Stub, notes: list[str], at: tuple[str, str], fault: Fault
) -> None:
    """Also where it happened and the answer was lost: the repetition finds its own table, its own job."""
    stub.faults[at] = [fault]
    assert isinstance(engine.load(FOLDER, "legacy_1"), Loaded)
    assert (stub.tables, notes) == ({}, [])
    assert len([job for job in stub.jobs.values() if "load" in job["configuration"]]) == 1


def test_a_fault_that_stays_is_unavailable(engine: BigQueryEngine, stub: Stub) -> None:
    """After the time allowed; no verdict."""
    stub.faults["POST", "tables$"] = [(503, "backendError", "later")] * 500
    with pytest.raises(Unavailable):
        engine.load(FOLDER, "legacy_1")


def test_a_table_that_cannot_be_deleted_is_told_and_harms_nothing(
    engine: BigQueryEngine, stub: Stub, notes: list[str]
) -> None:
    """The result stands; the table expires by itself."""
    stub.faults["DELETE", "tables"] = [(403, "accessDenied", "may not delete")]
    assert isinstance(engine.load(FOLDER, "legacy_1"), Loaded)
    (note,) = notes
    assert TABLE in note
    assert "24 hours" in note


def test_a_job_that_does_not_end_is_unavailable(
    client: bigquery.Client, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever."""
    monkeypatch.setattr("backfill_job.import_test.bigquery.PATIENCE_SECONDS", 0.2)
    stub.load_status = {"state": "RUNNING"}
    with pytest.raises(Unavailable, match="did not end within"):
        made(client).load(FOLDER, "legacy_1")
    assert stub.tables == {}


def test_somebody_who_stopped_it_is_heard_before_a_job_is_begun(client: bigquery.Client, stub: Stub) -> None:
    """And the table goes."""
    with pytest.raises(Interrupted):
        made(client, stop=Stop(by="SIGINT")).load(FOLDER, "legacy_1")
    assert (stub.tables, stub.jobs) == ({}, {})


def test_no_answer_at_all_is_unavailable(client: bigquery.Client) -> None:
    """A machine that is not there is not a folder that is not there."""
    assert isinstance(translated(requests.ConnectionError("refused"), "p.d.t"), Unavailable)


# --- an emulator that really loads ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bigquery.Client, Path]]:
    program = os.environ.get("BQEMULATOR")
    if not program:
        pytest.skip("no BigQuery emulator: BQEMULATOR does not name bqemulator's program")
    root = tmp_path_factory.mktemp("emulated")
    rest, grpc = _free_port(), _free_port()
    command = [program, "start", "--rest-port", str(rest), "--grpc-port", str(grpc), "--ephemeral"]
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--project", DATASET.project],
            env={**os.environ, "BQEMU_GCS_LOCAL_ROOT": str(root)},
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{rest}"
            _wait_for(url, process)
            options = {"api_endpoint": url}
            with closing(
                bigquery.Client(DATASET.project, credentials=AnonymousCredentials(), client_options=options)
            ) as client:
                client.create_dataset(str(DATASET))
                yield client, root
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    retry = requests.Session()
    retry.mount(
        "http://", requests.adapters.HTTPAdapter(max_retries=requests.adapters.Retry(12, backoff_factor=0.1))
    )
    with retry:
        retry.get(url)
    assert process.poll() is None


ROWS: list[Any] = [
    A,
    A,
    (None, None, []),
    ("", -1, [(None, []), ("é😀", ["", "a", "b'\"\\"])]),
    ("8", 1_706_698_800_123_456, [("Q1", ["b", "a"]), ("Q2", [])]),
]


def test_an_emulated_bigquery_gives_the_fingerprint_of_the_embedded_engine(
    emulator: tuple[bigquery.Client, Path],
) -> None:
    """One definition, two engines' SQL, and by hand: the same rows, users and fingerprint."""
    client, root = emulator
    folder = root / "legacy" / "QPI_exports" / "qpi_answers_20240131"
    folder.mkdir(parents=True)
    objects = [line(ROWS[0]) + line(ROWS[1]), *map(line, ROWS[2:])]
    for number, data in enumerate(objects):
        (folder / f"user_id_{number}.jsonl").write_bytes(data)
    (folder / "notes.txt").write_bytes(b"not to be read")
    held = Held(objects)
    with EmbeddedEngine(held, readers=2, stop=Stop()) as embedded:
        expected = embedded.load(held.folder, "t")
    assert made(client).load(FOLDER, "emulated") == expected
    assert expected == Loaded(5, 3, Fingerprint(by_hand(ROWS)))
    assert [table.table_id for table in client.list_tables(str(DATASET))] == []
