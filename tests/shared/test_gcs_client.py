"""One request to the JSON API: retries, errors, authorization."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from google.auth import exceptions as auth
from testing_http import HASTY, answering, header, http
from testing_paths import Paths

from local_gcs.waiting import HANGS, wait_until_async
from shared.errors import (
    PermissionDenied,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)
from shared.gcs.credentials import AccessSource, Grant
from shared.gcs.json_client import JsonClient, Pacing, RetryPolicy


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


def noting(seen: list[str | None], name: str = "") -> Callable[[str], bytes]:
    """Answers OK and notes each request's head, or one header of it."""

    def answer(head: str) -> bytes:
        seen.append(header(head, name) if name else head)
        return http()

    return answer


def ask(url: str, path: str = "/b/b/o", method: str = "GET", **options: Any) -> dict[str, Any]:
    pacing = options.pop("pacing", Pacing())

    async def once() -> dict[str, Any]:
        async with JsonClient(endpoint=url, **options) as client:
            return await client.json(method, f"/storage/v1{path}", "gs://b/o", pacing)

    return asyncio.run(once())


def test_a_rewrite_has_no_body_and_no_content_type() -> None:
    """With a body Cloud Storage would take the metadata from it."""
    heads: list[str | None] = []

    async def once() -> None:
        async with (
            answering(noting(heads)) as url,
            JsonClient(endpoint=url) as client,
        ):
            await client.json("POST", "/storage/v1/b/b/o", "gs://b/o")

    asyncio.run(once())
    head = heads[0] or ""
    assert header(head, "Content-Length") == "0"
    assert header(head, "Content-Type") is None
    assert header(head, "Authorization") is None


@pytest.mark.parametrize("fault", [408, 429, 500, 502, 503, 504, "reset_before", "truncate"])
def test_a_transient_fault_is_met_by_the_same_request_later(paths: Paths, fault: int | str) -> None:
    """The waits double from the first on, up to a maximum; chance takes something off them."""
    world = World()
    paths.put("a")
    paths.server.set_faults(rules=[{"count": 4, "status": fault}])
    answer = ask(
        paths.server.url,
        f"/b/{paths.migration.source.bucket}/o/QPI_exports%2Fa",
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
            JsonClient(
                endpoint=url, retry=RetryPolicy(deadline=HANGS * (len(answers) - 1), initial=0.01)
            ) as client,
        ):
            return await client.json("POST", "/storage/v1/b/b/o", "gs://b/o")

    assert asyncio.run(asked([raw, http()])) == {"kind": "fine"}
    with pytest.raises(Unavailable, match=r"no answer within the time allowed; last error: ."):
        asyncio.run(asked([raw]))


def test_no_answer_in_time_is_no_answer() -> None:
    """One sending has its own deadline."""

    async def never(_: str = "") -> bytes:
        await asyncio.Event().wait()
        return b""

    async def asked() -> None:
        async with answering(never) as url, JsonClient(endpoint=url, timeout=0.05, retry=HASTY) as client:
            await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")

    with pytest.raises(Unavailable, match="no answer within the time allowed"):
        asyncio.run(asked())


def test_a_refusal_in_other_words_than_google_s_is_quoted() -> None:
    """A proxy's page says something, too."""

    async def asked() -> None:
        async with (
            answering(lambda _: http(b"<html>go away", "403 Forbidden")) as url,
            JsonClient(endpoint=url) as client,
        ):
            await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")

    with pytest.raises(UnexpectedAnswer, match="<html>go away"):
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
        pacing=Pacing(admit, lambda _writes: told.append("throttled")),
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
        async with answering(slowly) as url, JsonClient(endpoint=url, connections=3) as client:
            await asyncio.gather(*(client.json("GET", "/storage/v1/b/b/o", "gs://b/o") for _ in range(20)))

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
            JsonClient(endpoint=url, access=tokens, now=lambda: 0.0) as client,
        ):
            return await asyncio.gather(
                *(client.json("GET", "/storage/v1/b/b/o", "gs://b/o") for _ in range(20))
            )

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
            JsonClient(endpoint=url, access=tokens, now=lambda: world.time) as client,
        ):
            for moment in (0.0, 770.0):
                world.time = moment
                await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")
            assert tokens.given == 1
            world.time = 780.0
            while seen[-1] == "Bearer 1" and len(seen) < 1_000:
                await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")

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
            JsonClient(endpoint=url, access=tokens, now=lambda: world.time) as client,
        ):
            await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")
            world.time = 1000.0
            await asyncio.gather(*(client.json("GET", "/storage/v1/b/b/o", "gs://b/o") for _ in range(5)))

    asyncio.run(story())
    assert seen == ["Bearer 1", *["Bearer 2"] * 5]


def test_a_failed_renewal_does_no_harm_while_the_old_token_is_good() -> None:
    """It is tried again later, not with every request."""
    world = World()
    tokens = Tokens(lambda: world.time, lasts=1000.0)

    async def story() -> None:
        async with (
            answering(lambda _: http()) as url,
            JsonClient(endpoint=url, access=tokens, now=lambda: world.time) as client,
        ):
            await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")
            tokens.fail = auth.TransportError("metadata server")
            world.time = 990.0
            for _ in range(50):
                await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")
            # The renewal is under way in a thread; no request waited for it.
            await wait_until_async(lambda: tokens.asked, lambda asked: asked == 2, "the renewal")
            world.time = 1001.0
            await client.json("GET", "/storage/v1/b/b/o", "gs://b/o")

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
