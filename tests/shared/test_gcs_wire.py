"""HTTP/1.1 over kept connections, against little servers that answer as real ones sometimes do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from local_gcs.waiting import HANGS, wait_until_async
from shared.errors import UsageError
from shared.gcs.wire import SHORTEST_BOUND, Answer, AnswerTooLong, NoAnswer, Wire

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """A server that answers each request with the next of its scripted answers, and counts what it sees."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""
        self.hold = asyncio.Event()
        self.hold.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                await self.hold.wait()
                answer = self.answers.pop(0) if self.answers else FINE
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def peer(*answers: bytes | None) -> AsyncIterator[Peer]:
    it = Peer(*answers)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()


def played(
    story: Callable[[Peer, Wire], object],
    *answers: bytes | None,
    connections: int = 2,
    timeout: float = HANGS,
) -> Peer:
    async def play() -> Peer:
        async with peer(*answers) as it, Wire(it.url, connections=connections, timeout=timeout) as wire:
            await story(it, wire)  # type: ignore[misc]
            return it

    return asyncio.run(play())


def test_a_request_is_sent_as_it_should_be_and_its_answer_read() -> None:
    """A GET has no body and no length; a POST says that its body is empty; names stay as they are encoded."""

    async def story(it: Peer, wire: Wire) -> None:
        assert await wire.send("GET", "/a%2Fb/..%2F?x=%23", "X-One: 1\r\n") == Answer(200, b"ok")
        await wire.send("POST", "/p")
        host = it.url.removeprefix("http://").encode()
        assert it.requests == [
            b"GET /a%2Fb/..%2F?x=%23 HTTP/1.1\r\nHost: " + host + b"\r\nX-One: 1\r\n\r\n",
            b"POST /p HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 0\r\n\r\n",
        ]

    assert played(story).connections == 1


def test_an_answer_may_come_in_pieces_in_chunks_and_after_an_interim_one() -> None:
    """Every way in which HTTP/1.1 delimits a body, but the end of the connection."""
    chunked = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n" + FINE
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"

    async def story(_: Peer, wire: Wire) -> None:
        assert await wire.send("GET", "/") == Answer(404, b"abcde")
        assert await wire.send("GET", "/") == Answer(200, b"ok")
        assert await wire.send("GET", "/") == Answer(204, b"")

    assert played(story, chunked, interim, empty).connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"this is no HTTP at all\r\n\r\n",
    ],
)
def test_half_an_answer_or_none_is_no_answer_and_the_next_request_has_a_new_connection(
    answer: bytes | None,
) -> None:
    """A truncated body is never taken for a whole one."""

    async def story(_: Peer, wire: Wire) -> None:
        with pytest.raises(NoAnswer):
            await wire.send("GET", "/")
        assert await wire.send("GET", "/") == Answer(200, b"ok")

    assert played(story, answer).connections == 2


def test_a_connection_that_the_server_closes_after_its_answer_is_not_used_again() -> None:
    """It says so, and is believed."""
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

    async def story(_: Peer, wire: Wire) -> None:
        assert await wire.send("GET", "/") == Answer(200, b"ok")
        assert await wire.send("GET", "/") == Answer(200, b"ok")

    assert played(story, closing).connections == 2


def test_time_is_up_when_no_answer_comes() -> None:
    """The connection is given up with it, so that a late answer reaches nobody else."""

    async def story(it: Peer, wire: Wire) -> None:
        it.hold.clear()
        with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s"):
            await wire.send("GET", "/")
        it.hold.set()
        wire._timeout = HANGS  # the second request may take as long as it takes
        assert await wire.send("GET", "/") == Answer(200, b"ok")

    assert played(story, b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n", timeout=0.05).connections == 2


def test_a_request_that_is_given_up_leaves_no_answer_behind() -> None:
    """Cancelled half-way, its connection is not used for anybody else."""

    async def story(it: Peer, wire: Wire) -> None:
        it.hold.clear()
        given_up = asyncio.create_task(wire.send("GET", "/first"))
        await wait_until_async(lambda: len(it.requests), lambda count: count == 1, "the request")
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        it.hold.set()
        assert await wire.send("GET", "/second") == Answer(200, b"ok")

    assert played(story, b"HTTP/1.1 500 First\r\nContent-Length: 0\r\n\r\n").connections == 2


def test_an_answer_longer_than_it_may_be_is_not_held() -> None:
    """Whoever asks for a part of a huge object and is sent the whole has memory for the part."""
    most = SHORTEST_BOUND + 10

    async def story(it: Peer, wire: Wire) -> None:
        assert len((await wire.send("GET", "/", most=most)).body) == most
        with pytest.raises(AnswerTooLong):
            await wire.send("GET", "/", most=most)
        assert await wire.send("GET", "/", most=0) == Answer(200, b"ok")
        assert len((await wire.send("GET", "/")).body) == most + 1

    def body(size: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size

    assert played(story, body(most), body(most + 1), FINE, body(most + 1)).connections == 2


def test_an_endless_answer_ends_at_its_bound() -> None:
    """It need not say how long it is; the connection is given up at once."""
    endless = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n1\r\nx"
    )

    async def story(_: Peer, wire: Wire) -> None:
        with pytest.raises(AnswerTooLong):
            await wire.send("GET", "/", most=1)
        assert await wire.send("GET", "/") == Answer(200, b"ok")

    assert played(story, endless).connections == 2


def test_more_requests_than_connections_wait_their_turn() -> None:
    """First come, first served, whatever happens to those before."""

    async def story(it: Peer, wire: Wire) -> None:
        it.hold.clear()
        asked = [asyncio.create_task(wire.send("GET", f"/{number}")) for number in range(20)]
        await wait_until_async(lambda: len(it.requests), lambda count: count >= 3, "three requests")
        asked[5].cancel()
        it.hold.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [answer for answer in answers if answer != Answer(200, b"ok")] == [answers[5]]
        assert isinstance(answers[5], asyncio.CancelledError)

    assert played(story, connections=3).connections == 3


def test_whoever_has_just_had_an_answer_does_not_go_before_those_who_wait() -> None:
    """Nor beside them: there are never more connections than there may be."""

    async def story(it: Peer, wire: Wire) -> None:
        async def two(who: str) -> None:
            for number in range(2):
                assert await wire.send("GET", f"/{who}{number}") == Answer(200, b"ok")

        await asyncio.gather(*map(two, "ab"))
        assert [request.split()[1] for request in it.requests] == [b"/a0", b"/b0", b"/a1", b"/b1"]

    assert played(story, connections=1).connections == 1


def test_nobody_there_is_no_answer() -> None:
    """A port that nobody listens on."""

    async def story() -> None:
        async with Wire("http://127.0.0.1:9", connections=1, timeout=HANGS) as wire:
            with pytest.raises(NoAnswer, match=r"cannot connect to 127\.0\.0\.1:9"):
                await wire.send("GET", "/")

    asyncio.run(story())


@pytest.mark.parametrize(
    "base",
    [
        "localhost:4443",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host/path",
        "http://x y",
        "http://h:0",
        "",
    ],
)
def test_what_is_no_address_is_refused(base: str) -> None:
    """STORAGE_EMULATOR_HOST is written by hand."""
    with pytest.raises(UsageError, match="is not an address"):
        Wire(base, connections=1, timeout=HANGS)
