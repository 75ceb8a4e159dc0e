"""Malformed CloudEvents over HTTP, at the functions as they are served: dropped loudly or refused, never delivered for ever."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import functions_framework
import pytest
from flask.testing import FlaskClient
from fuzzing import World, examples
from hypothesis import given
from hypothesis import strategies as st

import local_gcs
from demo.function import FunctionProcess, running_function
from local_gcs.waiting import HANGS
from mirror_function import status

ROOT = Path(__file__).parent.parent.parent

FINALIZED = "google.cloud.storage.object.v1.finalized"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(st.characters() | st.sampled_from("\ud800\udfff"), max_size=12)
    | st.sampled_from(
        [10**400, "9" * 5_000, "2" * 20, "1e400", "nan", "\u0663", " 1 ", "1_0", "-1", "0", 2**63]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

header_texts = st.sampled_from(
    [
        "",
        " ",
        "0",
        "x" * 2_000,
        "%00",
        "\u00fc",
        "1.0",
        "2.0",
        "0.3",
        "http://[",
        "//storage",
        "\x7f",
        "application/json",
    ]
) | st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20)

times = st.sampled_from(
    [
        "",
        "yesterday",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999-14:00",
        "2024-01-01T00:00:00",
        "2024-13-01T00:00:00Z",
        "1",
        "2024-01-01T00:00:00Z" * 100,
    ]
)


@dataclass(frozen=True)
class Post:
    """One request."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Served:
    """A function that is served, on a pair of prefixes of its own."""

    process: FunctionProcess
    world: World
    log: Path

    def send(
        self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[int, bytes]:
        at = urlsplit(self.process.url)
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=HANGS)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                connection.putheader(name, value.encode("latin-1", "replace"))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are, and hang up."""
        at = urlsplit(self.process.url)
        with socket.create_connection((str(at.hostname), at.port), timeout=HANGS) as line:
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))

    def said(self, mark: int) -> str:
        return self.log.read_bytes()[mark:].decode(errors="replace")

    @property
    def mark(self) -> int:
        return self.log.stat().st_size


@pytest.fixture(scope="module")
def storage() -> Iterator[local_gcs.LocalServer]:
    with local_gcs.running() as server:
        yield server


@pytest.fixture(scope="module")
def page(storage: local_gcs.LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The status page behind the framework, in this process."""
    world = World(storage, tmp_path_factory.mktemp("status")).build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        patch.setenv("MIRROR_SOURCE", world.migration.source.uri)
        patch.setenv("MIRROR_DESTINATION", world.migration.destination.uri)
        status._worker.cache_clear()
        yield functions_framework.create_app("status_page", str(ROOT / "main.py"), "http").test_client()
        status._worker()[1].close()
        status._worker.cache_clear()


@pytest.fixture(scope="module")
def mirror(storage: local_gcs.LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("mirror")
    world, log = World(storage, folder).build(), folder / "mirror.log"
    with running_function(storage.url, world.migration, log) as process:
        yield Served(process, world, log)


def attributes(**other: str) -> dict[str, str]:
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "ce-id": "e-1",
        "ce-specversion": "1.0",
        "ce-type": FINALIZED,
        "ce-source": "//storage.googleapis.com/projects/_/buckets/b",
        "ce-time": moment,
        "Content-Type": "application/json",
        **other,
    }


def resource(world: World, user: int = 1) -> dict[str, Any]:
    """A good event's body; the generation need not be the live one."""
    return {
        "kind": "storage#object",
        "bucket": world.migration.source.bucket,
        "name": f"QPI_exports/qpi_answers_2024010{user}/user_id_{user}.jsonl",
        "generation": "1",
        "metageneration": "1",
        "size": "67",
        "crc32c": "AAAAAA==",
        "timeCreated": "2024-01-01T00:00:00.000Z",
        "updated": "2024-01-01T00:00:00.000Z",
        "contentType": "application/json",
    }


NOBODYS = ("QPI_exports/gone.jsonl", "QPI_exports/", "else", "/")
"""Names that no object has, so that no event about them could be obeyed."""


def _spoilt(draw: st.DrawFn, content: dict[str, Any], values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Some fields left out, or with other values."""
    for key in draw(st.lists(st.sampled_from(sorted(content)), max_size=3)):
        if draw(st.booleans()):
            content.pop(key, None)
        else:
            content[key] = draw(times if key == "ce-time" else values)
    return content


def _renamed(draw: st.DrawFn, headers: dict[str, str]) -> list[tuple[str, str]]:
    """Some headers in another case, with a name of their own, or twice."""
    pairs = [*headers.items()]
    how = draw(st.integers(0, 6))
    if pairs and how < 3:
        at = draw(st.integers(0, len(pairs) - 1))
        name, value = pairs[at]
        pairs.append(((name.upper(), name + "x", name)[how], value))
    return pairs


@st.composite
def posts(draw: st.DrawFn, world: World) -> Post:
    """A good event with some things wrong."""
    named = {**resource(world), "name": draw(st.sampled_from(NOBODYS)), "metadata": {}}
    body = _spoilt(draw, {**named, "customTime": "", "temporaryHold": False}, json_values)
    headers = _spoilt(draw, attributes(), header_texts)
    data = json.dumps(draw(json_values) if draw(st.integers(0, 7)) == 0 else body).encode()
    match draw(st.sampled_from(["binary", "binary", "cut", "noise", "deep", "structured", "batch"])):
        case "cut":
            data = data[: draw(st.integers(0, len(data)))]
        case "noise":
            data = draw(st.binary(max_size=40))
        case "deep":
            data = b"DEEP"
        case "structured" | "batch" as form:
            event = {
                key.removeprefix("ce-"): value for key, value in headers.items() if key.startswith("ce-")
            }
            whole = json.dumps({**event, "data": body}).encode()
            kind = "application/cloudevents" + ("-batch+json" if form == "batch" else "+json")
            cut = draw(st.integers(0, len(whole))) if draw(st.booleans()) else len(whole)
            return Post((("Content-Type", kind),), whole[:cut])
    return Post(tuple(_renamed(draw, headers)), data)


def assert_answered(served: Served, status: int, answer: bytes, said: str) -> None:
    """2xx or 4xx, no traceback; every line of the log is structured, or the server's own access line."""
    assert 200 <= status < 300 or 400 <= status < 500, (status, answer[:500], said[-3_000:])
    assert b"Traceback" not in answer
    for line in (
        said.removesuffix("\n").split("\n") if said else ()
    ):  # not splitlines: \x85 is none to Cloud Logging
        if line.startswith("{"):
            content = json.loads(line)
            assert "Traceback" not in json.dumps(content), content
        else:
            assert re.match(r"^(\d+\.\d+\.\d+\.\d+ - - \[|\[\d{4}-)", line), said[-3_000:]


def assert_alive(served: Served) -> None:
    """A good event is mirrored."""
    bucket, name = served.world.migration.source.bucket, "QPI_exports/qpi_answers_20240105/user_id_5.jsonl"
    served.world.put(bucket, name, b"{}\n")
    body = json.dumps({**resource(served.world), "name": name}).encode()
    status, _ = served.send("POST", "/", tuple(attributes().items()), body)
    assert status == 200
    copied = f"{served.world.migration.destination.bucket}/qpi_exports/qpi_answers_20240105/user_id_5.jsonl"
    assert copied in served.world.objects()


def test_a_malformed_event_is_dropped_loudly_or_refused_and_changes_nothing(mirror: Served) -> None:
    """An error status would have it delivered for a day; a traceback would be nobody's structured line."""
    before = mirror.world.objects()

    @examples(150)
    @given(posts(mirror.world))
    def check(post: Post) -> None:
        mark = mirror.mark
        status, answer = mirror.send("POST", "/", post.headers, post.body.replace(b"DEEP", b"[" * 100_000))
        assert_answered(mirror, status, answer, mirror.said(mark))

    check()
    assert mirror.world.objects() == before
    assert_alive(mirror)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "NONSENSE"])
def test_another_method_is_no_event(mirror: Served, method: str) -> None:
    """Refused, or at most acknowledged as alive."""
    before, mark = mirror.world.objects(), mirror.mark
    body = json.dumps(resource(mirror.world)).encode()
    status, answer = mirror.send(
        method, "/", () if method == "HEAD" else (("Content-Type", "text/plain"),), body
    )
    assert_answered(mirror, status, answer, mirror.said(mark))
    assert mirror.world.objects() == before


def test_a_body_of_ten_megabytes_is_one_line(mirror: Served) -> None:
    """Whatever it is about: the line in the log stays short."""
    body = json.dumps({**resource(mirror.world), "name": "QPI_exports/" + "x" * 10_000_000}).encode()
    before, mark = mirror.world.objects(), mirror.mark
    status, answer = mirror.send("POST", "/", tuple(attributes().items()), body)
    assert_answered(mirror, status, answer, mirror.said(mark))
    assert len(mirror.said(mark)) < 100_000
    assert mirror.world.objects() == before


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\r\n\r\n",
        b"POST / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: nonsense\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{",
        b"POST / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET " + b"/x" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"ce-x: y\r\n" * 300 + b"\r\n",
    ],
)
def test_a_request_that_is_none_harms_nobody(mirror: Served, request_bytes: bytes) -> None:
    """Broken off, in pieces, or no HTTP: the next event is mirrored."""
    before, mark = mirror.world.objects(), mirror.mark
    answer = mirror.raw(request_bytes)
    assert b"Traceback" not in answer
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:300]
    assert "Traceback" not in mirror.said(mark), mirror.said(mark)
    assert mirror.world.objects() == before
    assert_alive(mirror)


def test_a_body_nested_too_deeply_is_dropped_and_not_delivered_for_a_day(mirror: Served) -> None:
    """It was answered with 500 and a traceback, because the framework reads the body before the function is called."""
    mark = mirror.mark
    status, answer = mirror.send("POST", "/", tuple(attributes().items()), b"[" * 100_000)
    (line,) = [json.loads(line) for line in mirror.said(mark).split("\n") if line.startswith("{")]
    assert (status, answer) == (200, b"dropped\n")
    assert (line["event"], line["outcome"], line["event_id"]) == ("mirror_dropped", "dropped", "e-1")
    assert "Traceback" not in mirror.said(mark)


def test_a_body_that_broke_off_is_refused_so_that_it_comes_again(mirror: Served) -> None:
    """What came is not the event. It is not given up, so no line says so."""
    mark = mirror.mark
    answer = mirror.raw(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert_alive(mirror)
    assert "mirror_dropped" not in mirror.said(mark)


@examples(60)
@given(
    method=st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"]),
    path=st.sampled_from(
        [
            "/",
            "/status.json",
            "/health",
            "/healthz",
            "/../etc/passwd",
            "//",
            "/%00",
            "/\u00fc",
            "/status.json/",
        ]
    )
    | st.text(st.characters(codec="utf-8"), max_size=20).map(lambda text: "/" + quote(text)),
    query=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20),
    body=st.binary(max_size=20),
)
def test_whatever_is_asked_of_the_status_page_it_answers(
    page: FlaskClient, method: str, path: str, query: str, body: bytes
) -> None:
    """The page, or that there is no such page or method: never a fault of the server's."""
    answer = page.open(path, method=method, query_string=query, data=body)
    assert answer.status_code in {200, 308, 400, 404, 405}, (answer.status_code, answer.data)
    assert b"Traceback" not in answer.data
    if method not in {"GET", "HEAD"}:
        assert answer.status_code in {308, 404, 405}
