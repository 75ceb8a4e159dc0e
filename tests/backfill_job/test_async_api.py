"""One JSON API request: names, repetitions, errors, authorization."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.auth import exceptions as auth
from testing_paths import Paths

from backfill_job.access import AccessSource, Grant
from backfill_job.async_api import AsyncApi, Pacing, RetryPolicy, encoded
from local_gcs.waiting import HANGS, wait_until_async
from shared.errors import (
    ConditionFailed,
    ObjectNotFound,
    ObjectProtected,
    PermissionDenied,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)
from shared.gateway import Gateway
from shared.objects import ObjectState

# The conformance probe's odd names, and those that a path would normalise.
NAMES = [
    *(
        "a b c",
        "ünï/日本/ключ",
        "emoji-😀",
        "has#hash",
        "q?mark&x=1",
        "pct%20lit",
        "100%",
        "%2Fx",
        "/lead",
        "trail/",
    ),
    *(
        "dbl//slash",
        "plus+plus",
        "semi;colon:at@",
        "quote'\"dq",
        "back\\slash",
        "bracket[1]*",
        "x/acl",
        "x/o/y",
    ),
    *("x/compose", "dot/./a", "dot/../b", "a&b=c", "comma,ab", "tilde~", "L" * 300, "seg/" + "M" * 1000),
    *(".", "..", "../..", "./", "%2e%2e/"),
]

HASTY = RetryPolicy(deadline=0.0)
OK = b'{"kind": "fine"}'


class Highest(random.Random):
    """Dice that always show the most."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class World:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@asynccontextmanager
async def answering(answer: Callable[[str], bytes | Awaitable[bytes]]) -> AsyncIterator[str]:
    """A server that gives an answer's raw bytes for a request's head; gives its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                made = answer(head)
                raw = made if isinstance(made, bytes) else await made
                writer.write(raw)
                await writer.drain()
                if b"Connection: close" in raw:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(body: bytes = OK, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def header(head: str, name: str) -> str | None:
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    return {key.lower(): value for key, value in lines.items()}.get(name.lower())


def noting(seen: list[str | None], name: str = "") -> Callable[[str], bytes]:
    """Answers OK and notes each request's head, or one header of it."""

    def answer(head: str) -> bytes:
        seen.append(header(head, name) if name else head)
        return http()

    return answer


def ask(url: str, path: str = "/b/b/o", method: str = "GET", **options: Any) -> dict[str, Any]:
    pacing = options.pop("pacing", Pacing())

    async def once() -> dict[str, Any]:
        async with AsyncApi(endpoint=url, **options) as api:
            return await api.request(method, path, "gs://b/o", pacing)

    return asyncio.run(once())


def rewrite_path(paths: Paths, relative: str, *, if_source: int = 1) -> str:
    source, destination = paths.migration.source_ref(relative), paths.migration.destination_ref(relative)
    return (
        f"/b/{source.bucket}/o/{encoded(source.name)}/rewriteTo/b/{destination.bucket}/o/{encoded(destination.name)}"
        f"?ifSourceGenerationMatch={if_source}&ifGenerationMatch=0"
    )


def test_every_name_arrives_as_it_is(paths: Paths) -> None:
    """Nothing between us and the server re-encodes a name or takes it for a path."""

    async def all_names() -> list[dict[str, Any]]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            return [
                await api.request("POST", rewrite_path(paths, name, if_source=generations[name]), name)
                for name in NAMES
            ]

    generations = {name: paths.put(name, name.encode()) for name in NAMES}
    answers = asyncio.run(all_names())
    assert [answer["resource"]["name"] for answer in answers] == [f"qpi_exports/{name}" for name in NAMES]
    assert sorted(paths.names()) == sorted(NAMES)
    assert all(paths.read(name) == name.encode() for name in NAMES)


def test_a_rewrite_has_no_body_and_no_content_type() -> None:
    """With a body Cloud Storage would take the metadata from it."""
    heads: list[str | None] = []

    async def once() -> None:
        async with (
            answering(noting(heads)) as url,
            AsyncApi(endpoint=url) as api,
        ):
            await api.request("POST", "/b/b/o", "gs://b/o")

    asyncio.run(once())
    head = heads[0] or ""
    assert header(head, "Content-Length") == "0"
    assert header(head, "Content-Type") is None
    assert header(head, "Authorization") is None


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (401, "authError", PermissionDenied),
        (403, "forbidden", PermissionDenied),
        (403, "retentionPolicyNotMet", ObjectProtected),
        (403, "objectUnderActiveHold", ObjectProtected),
        (412, "conditionNotMet", ConditionFailed),
        (429, "rateLimitExceeded", Unavailable),
        (500, "internalError", Unavailable),
        (502, "backendError", Unavailable),
        (503, "backendError", Unavailable),
        (504, "gatewayTimeout", Unavailable),
        (400, "invalid", UnexpectedAnswer),
        (409, "conflict", UnexpectedAnswer),
    ],
)
def test_an_answer_is_said_as_the_gateway_says_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, status: int, reason: str, expected: type[StorageError]
) -> None:
    """Whoever reads the log need not know which of the two asked."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    paths.server.set_faults(
        rules=[{"count": None, "status": status, "reason": reason, "message": "its words"}]
    )
    gateway = Gateway(retry_deadline=0.1, retry_initial=0.01)
    with pytest.raises(StorageError) as theirs:
        gateway.copy(
            paths.migration.source_ref("a"),
            paths.migration.destination_ref("a"),
            if_source=1,
            if_destination=0,
        )
    gateway.close()
    with pytest.raises(StorageError) as ours:
        ask(paths.server.url, rewrite_path(paths, "a"), "POST", retry=HASTY)
    assert type(ours.value) is type(theirs.value) is expected
    assert ours.value.transient is (expected is Unavailable)
    if expected is not UnexpectedAnswer and status != 401:  # the client says these two in words of its own
        assert ours.value.detail == theirs.value.detail


def test_a_404_is_no_such_object(paths: Paths) -> None:
    """The lane hands it over, a listing reads it as a missing bucket."""
    with pytest.raises(ObjectNotFound, match="no such object"):
        ask(paths.server.url, rewrite_path(paths, "a"), "POST")


@pytest.mark.parametrize("fault", [408, 429, 500, 502, 503, 504, "reset_before", "truncate"])
def test_a_transient_fault_is_met_by_the_same_request_later(paths: Paths, fault: int | str) -> None:
    """The waits double from the first on, up to a maximum; chance takes something off them."""
    world = World()
    paths.put("a")
    paths.server.set_faults(rules=[{"count": 4, "status": fault}])
    answer = ask(
        paths.server.url,
        rewrite_path(paths, "a").split("/rewriteTo")[0],
        "GET",
        retry=RetryPolicy(deadline=100.0, initial=1.0, maximum=3.0),
        dice=Highest(),
        sleep=world.sleep,
        monotonic=lambda: world.time,
    )
    assert answer["name"] == "QPI_exports/a"
    # The HTTP client repeats a GET on a kept connection that turns out dead once by itself.
    assert world.slept == ([1.0, 2.0, 3.0, 3.0] if fault != "reset_before" else world.slept)
    assert world.slept[:2] == [1.0, 2.0]


def test_chance_spreads_the_repetitions() -> None:
    """Full jitter: anything between nothing and the bound, or a storm would come back as one."""
    policy = RetryPolicy(initial=8.0)
    waits = [policy.wait(1, random.Random(seed)) for seed in range(200)]
    assert 0 <= min(waits) < 2
    assert 14 < max(waits) <= 16
    assert policy.wait(10_000, Highest()) == policy.maximum


def test_it_gives_up_when_the_next_repetition_would_come_too_late(paths: Paths) -> None:
    """The last answer is in the error."""
    world = World()
    paths.server.set_faults(rules=[{"count": None, "status": 503, "message": "still down"}])
    with pytest.raises(
        Unavailable, match="gs://b/o: no success within the time allowed; last answer: still down"
    ):
        ask(
            paths.server.url,
            retry=RetryPolicy(deadline=10.0, initial=1.0),
            dice=Highest(),
            sleep=world.sleep,
            monotonic=lambda: world.time,
        )
    assert world.slept == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "raw",
    [
        http(b"<html>proxy</html>"),
        http(b"[]"),
        http(b'{"cut'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{",
        b"no http at all\r\n\r\n",
    ],
)
def test_half_an_answer_is_no_answer(raw: bytes) -> None:
    """It is asked again, and never read as an empty one."""

    async def asked(answers: list[bytes]) -> dict[str, Any]:
        async with (
            answering(lambda _: answers.pop(0) if len(answers) > 1 else answers[0]) as url,
            AsyncApi(
                endpoint=url, retry=RetryPolicy(deadline=HANGS * (len(answers) - 1), initial=0.01)
            ) as api,
        ):
            return await api.request("POST", "/b/b/o", "gs://b/o")

    assert asyncio.run(asked([raw, http()])) == {"kind": "fine"}
    with pytest.raises(Unavailable, match=r"no answer within the time allowed; last error: ."):
        asyncio.run(asked([raw]))


def test_no_answer_in_time_is_no_answer() -> None:
    """One sending has its own deadline."""

    async def never(_: str = "") -> bytes:
        await asyncio.Event().wait()
        return b""

    async def asked() -> None:
        async with answering(never) as url, AsyncApi(endpoint=url, timeout=0.05, retry=HASTY) as api:
            await api.request("GET", "/b/b/o", "gs://b/o")

    with pytest.raises(Unavailable, match="no answer within the time allowed"):
        asyncio.run(asked())


def test_a_refusal_in_other_words_than_google_s_is_quoted() -> None:
    """A proxy's page says something, too."""

    async def asked() -> None:
        async with (
            answering(lambda _: http(b"<html>go away", "403 Forbidden")) as url,
            AsyncApi(endpoint=url) as api,
        ):
            await api.request("GET", "/b/b/o", "gs://b/o")

    with pytest.raises(PermissionDenied, match="<html>go away"):
        asyncio.run(asked())


def test_the_governor_hears_of_every_throttling_and_admits_every_repetition(paths: Paths) -> None:
    """429 and 503 ask for fewer requests; a 500 does not."""
    told: list[str] = []

    async def admit() -> None:
        told.append("admit")

    paths.server.set_faults(rules=[{"status": status} for status in (429, 503, 500)])
    ask(
        paths.server.url,
        f"/b/{paths.migration.source.bucket}/o",
        pacing=Pacing(admit, lambda: told.append("throttled")),
        retry=RetryPolicy(initial=0.001),
    )
    assert told == ["throttled", "admit", "throttled", "admit", "admit"]


def test_no_more_connections_than_allowed() -> None:
    """More callers wait."""
    now = most = 0
    full = asyncio.Event()

    async def slowly(_: str) -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if most == 3:
            full.set()
        await full.wait()  # no answer before all connections are in use
        for _ in range(50):  # a fourth request would arrive in these turns of the loop
            await asyncio.sleep(0)
        now -= 1
        return http()

    async def many() -> None:
        async with answering(slowly) as url, AsyncApi(endpoint=url, connections=3) as api:
            await asyncio.gather(*(api.request("GET", "/b/b/o", "gs://b/o") for _ in range(20)))

    asyncio.run(many())
    assert most == 3


class Tokens(AccessSource):
    """Grants with numbered tokens; each expires `lasts` seconds after it was given."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0, *, lasts: float = 3600.0) -> None:
        self.now = now
        self.lasts = lasts
        self.asked = self.given = 0
        self.fail: Exception | None = None

    def fetch(self) -> Grant:
        self.asked += 1
        if self.fail is not None:
            raise self.fail
        self.given += 1
        return Grant({"Authorization": f"Bearer {self.given}"}, self.now() + self.lasts)


def test_a_refused_token_is_renewed_once_for_all_who_wait() -> None:
    """Twenty requests come back with 401; one asks for a new token."""
    tokens = Tokens()
    seen: list[str | None] = []

    def answer(head: str) -> bytes:
        seen.append(header(head, "Authorization"))
        return http(b"{}", "401 Unauthorized") if seen[-1] == "Bearer 1" else http()

    async def many() -> list[dict[str, Any]]:
        async with (
            answering(answer) as url,
            AsyncApi(endpoint=url, access=tokens, now=lambda: 0.0) as api,
        ):
            return await asyncio.gather(*(api.request("GET", "/b/b/o", "gs://b/o") for _ in range(20)))

    assert asyncio.run(many()) == [{"kind": "fine"}] * 20
    assert set(seen) == {"Bearer 1", "Bearer 2"}
    assert seen.count("Bearer 2") == 20
    assert tokens.given == 2


def test_a_token_refused_again_ends_the_request(paths: Paths) -> None:
    """A second new token would not be better."""
    tokens = Tokens()
    paths.server.set_faults(rules=[{"status": 401, "count": None}])
    with pytest.raises(PermissionDenied, match="Invalid Credentials"):
        ask(paths.server.url, access=tokens, now=lambda: 0.0)
    assert tokens.given == 2


def test_a_token_is_renewed_before_it_expires_while_requests_go_on() -> None:
    """Nobody waits for the renewal as long as the old one is good."""
    world = World()
    tokens = Tokens(lambda: world.time, lasts=1000.0)
    seen: list[str | None] = []

    async def story() -> None:
        async with (
            answering(noting(seen, "Authorization")) as url,
            AsyncApi(endpoint=url, access=tokens, now=lambda: world.time) as api,
        ):
            for moment in (0.0, 770.0):
                world.time = moment
                await api.request("GET", "/b/b/o", "gs://b/o")
            assert tokens.given == 1
            world.time = 780.0
            while seen[-1] == "Bearer 1":  # the renewal is under way in a thread
                await api.request("GET", "/b/b/o", "gs://b/o")

    asyncio.run(story())
    assert seen[:3] == ["Bearer 1"] * 3
    assert seen[-1] == "Bearer 2"
    assert tokens.given == 2


def test_an_expired_token_is_not_sent() -> None:
    """The request waits for the new one; all of them for the same."""
    world = World()
    tokens = Tokens(lambda: world.time, lasts=1000.0)
    seen: list[str | None] = []

    async def story() -> None:
        async with (
            answering(noting(seen, "Authorization")) as url,
            AsyncApi(endpoint=url, access=tokens, now=lambda: world.time) as api,
        ):
            await api.request("GET", "/b/b/o", "gs://b/o")
            world.time = 1000.0
            await asyncio.gather(*(api.request("GET", "/b/b/o", "gs://b/o") for _ in range(5)))

    asyncio.run(story())
    assert seen == ["Bearer 1", *["Bearer 2"] * 5]


def test_a_failed_renewal_does_no_harm_while_the_old_token_is_good() -> None:
    """It is tried again later, not with every request."""
    world = World()
    tokens = Tokens(lambda: world.time, lasts=1000.0)

    async def story() -> None:
        async with (
            answering(lambda _: http()) as url,
            AsyncApi(endpoint=url, access=tokens, now=lambda: world.time) as api,
        ):
            await api.request("GET", "/b/b/o", "gs://b/o")
            tokens.fail = auth.TransportError("metadata server")
            world.time = 990.0
            for _ in range(50):
                await api.request("GET", "/b/b/o", "gs://b/o")
            # The renewal is under way in a thread; no request waited for it.
            await wait_until_async(lambda: tokens.asked, lambda asked: asked == 2, "the renewal")
            world.time = 1001.0
            await api.request("GET", "/b/b/o", "gs://b/o")

    with pytest.raises(Unavailable, match="no answer about the credentials"):
        asyncio.run(story())


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (auth.TransportError("gone"), Unavailable),
        (auth.RefreshError("revoked"), PermissionDenied),
        (auth.RefreshError("try again", retryable=True), Unavailable),
    ],
)
def test_no_token_is_said_as_the_gateway_says_it(problem: Exception, expected: type[StorageError]) -> None:
    """Credentials that cannot be had now differ from those that are refused."""
    tokens = Tokens()
    tokens.fail = problem
    with pytest.raises(StorageError) as caught:
        ask("http://127.0.0.1:1", access=tokens, now=lambda: 0.0)
    assert type(caught.value) is expected
    assert caught.value.uri == "gs://b/o"


def test_what_it_answers_reads_like_what_the_gateway_answers(paths: Paths, gateway: Gateway) -> None:
    """Both read the same resource."""
    paths.put("a", metadata={"k": "v"})
    answer = ask(paths.server.url, rewrite_path(paths, "a").split("/rewriteTo")[0])
    assert ObjectState.from_resource(answer) == gateway.look(paths.migration.source_ref("a"))


def read_media(url: str, path: str, first: int, size: int, **options: Any) -> bytes:
    whole = options.pop("whole", False)

    async def once() -> bytes:
        async with AsyncApi(endpoint=url, **options) as api:
            return await api.media(path, "gs://b/o", first=first, size=size, whole=whole)

    return asyncio.run(once())


def media_path(paths: Paths, relative: str, generation: int) -> str:
    at = paths.migration.source_ref(relative)
    return f"/b/{encoded(at.bucket)}/o/{encoded(at.name)}?generation={generation}"


@pytest.mark.parametrize("name", ["a", "q?mark&x=1", "ünï/日本", "../..", "pct%20lit"])
def test_contents_are_read_whole_or_in_part_under_any_name(paths: Paths, name: str) -> None:
    """The bytes asked for, and no others."""
    data = bytes(range(256))
    path = media_path(paths, name, paths.put(name, data))
    assert read_media(paths.server.url, path, 0, 256, whole=True) == data
    assert read_media(paths.server.url, path, 10, 3) == data[10:13]
    assert read_media(paths.server.url, path, 255, 1) == data[255:]
    assert read_media(paths.server.url, path, 0, 256) == data


def test_contents_come_as_they_are_stored(paths: Paths) -> None:
    """The checksum that is listed is that of the packed bytes, and a range of them is asked for."""
    packed = gzip.compress(b"some text " * 50, mtime=0)
    path = media_path(paths, "a", paths.put("a", packed, content_encoding="gzip"))
    assert read_media(paths.server.url, path, 0, len(packed), whole=True) == packed
    assert read_media(paths.server.url, path, 5, 7) == packed[5:12]


def test_contents_are_those_of_the_version_named(paths: Paths) -> None:
    """An object that was overwritten is not there any more: the parts of two versions must not be joined."""
    path = media_path(paths, "a", paths.put("a", b"first"))
    newer = media_path(paths, "a", paths.put("a", b"other"))
    with pytest.raises(ObjectNotFound):
        read_media(paths.server.url, path, 0, 5)
    assert read_media(paths.server.url, newer, 0, 5) == b"other"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"x" * 300_000), "longer than what was asked for"),
        (http(b"x" * 300_000, "206 Partial Content"), "longer than what was asked for"),
        (http(b"abc"), "a part was asked for"),
        (http(b"ab", "206 Partial Content"), "3 bytes were asked for, 2 came"),
        (http(b"abcd", "206 Partial Content"), "3 bytes were asked for, 4 came"),
    ],
)
def test_other_contents_than_were_asked_for_are_refused(answer: bytes, said: str) -> None:
    """A server that takes no notice of a range would have its first bytes read over and over."""
    heads: list[str] = []

    async def once() -> bytes:
        def reply(head: str) -> bytes:
            heads.append(head)
            return answer

        retry = RetryPolicy(initial=0.001)
        async with answering(reply) as url, AsyncApi(endpoint=url, retry=retry) as api:
            return await api.media("/b/b/o/o?generation=1", "gs://b/o", first=2, size=3, whole=False)

    with pytest.raises(UnexpectedAnswer, match=f"gs://b/o: .*{said}"):
        asyncio.run(once())
    (head,) = heads  # asking again would not help
    assert head.startswith("GET /storage/v1/b/b/o/o?generation=1&alt=media HTTP/1.1")
    assert header(head, "Range") == "bytes=2-4"
    assert header(head, "Accept-Encoding") == "gzip"


@pytest.mark.parametrize("fault", [429, 503, "truncate", "reset_before"])
def test_contents_are_read_again_after_a_transient_fault(paths: Paths, fault: int | str) -> None:
    """Half of the contents are none of them."""
    data = b"x" * 1000
    path = media_path(paths, "a", paths.put("a", data))
    paths.server.set_faults(rules=[{"count": 3, "status": fault}])
    retry = RetryPolicy(initial=0.001)
    assert read_media(paths.server.url, path, 0, 1000, whole=True, retry=retry) == data


def test_a_refusal_of_contents_says_why(paths: Paths) -> None:
    """Its words may be longer than the few bytes that were asked for."""
    path = media_path(paths, "a", paths.put("a", b"x"))
    paths.server.set_faults(rules=[{"count": None, "status": 403, "message": "no " + "w" * 5000}])
    with pytest.raises(PermissionDenied, match="no wwww"):
        read_media(paths.server.url, path, 0, 1, whole=True)
