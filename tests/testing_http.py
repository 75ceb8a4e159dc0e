"""Little HTTP servers that answer the fast client as real ones sometimes do; and odd names of objects."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from shared.gcs.api import RetryPolicy

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


@contextmanager
def serving_requests(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve requests while the block runs, each on a thread; gives the server's address.

    Without Nagle's algorithm: an answer's body would wait 40 ms until the client acknowledges its head.
    """
    prompt = type(handler.__name__, (handler,), {"disable_nagle_algorithm": True})
    server = ThreadingHTTPServer(("127.0.0.1", 0), prompt)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


HASTY = RetryPolicy(deadline=0.0)
OK = b'{"kind": "fine"}'


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
