"""Through a proxy, against a little one that does what proxies do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from testing_paths import Paths

from local_gcs.waiting import HANGS
from shared.errors import UsageError
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from shared.gcs.wire import NoAnswer, Proxy, Wire, proxy_for

HOST = "storage.googleapis.com"


@dataclass
class Seen:
    """What the proxy was asked for."""

    asked: list[list[str]] = field(default_factory=list)
    port: int = 0


@asynccontextmanager
async def proxy(
    answer: str = "HTTP/1.1 200 Connection established\r\nVia: 1.1 little\r\n\r\n",
) -> AsyncIterator[Seen]:
    """A proxy that tunnels, or answers something else and hangs up."""
    seen = Seen()

    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            seen.asked.append(head[:-2])
            if " 200 " not in answer:
                writer.write(answer.encode())
                writer.close()
                return
            host, _, port = head[0].split(" ")[1].rpartition(":")
            there, back = await asyncio.open_connection(host, int(port))
            writers.append(back)
            # The answer in two parts: it need not come at once.
            writer.write(answer[:9].encode())
            await writer.drain()
            writer.write(answer[9:].encode())
            await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def test_a_listing_goes_through_the_proxy(paths: Paths) -> None:
    """Every connection asks for a tunnel to the host, and nothing else."""
    for number in range(5):
        paths.put(f"a/{number}")

    async def listed() -> tuple[int, Seen]:
        async with proxy() as seen:
            way = Proxy("127.0.0.1", seen.port, "Basic dTpw")
            async with AsyncApi(endpoint=paths.server.url, proxy=way) as api:
                names = [name async for page in list_pages(api, paths.migration.source) for name, _ in page]
            return len(names), seen

    count, seen = asyncio.run(listed())
    host = paths.server.url.removeprefix("http://")
    assert count == 5
    assert seen.asked == [[f"CONNECT {host} HTTP/1.1", f"Host: {host}", "Proxy-Authorization: Basic dTpw"]]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "refuses: 'HTTP/1.1 407"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "refuses"),
        ("", "gave no answer"),
        ("x" * 20_000, "gave no answer"),
    ],
)
def test_a_proxy_that_refuses_is_no_answer(answer: str, error: str) -> None:
    """The caller's retry policy decides; the line says that it was the proxy."""

    async def ask() -> None:
        async with proxy(answer) as seen:
            way = Proxy("127.0.0.1", seen.port)
            async with Wire("http://127.0.0.1:9", connections=1, timeout=HANGS, proxy=way) as wire:
                await wire.send("GET", "/")

    with pytest.raises(NoAnswer, match=error):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.corp:3128"}, Proxy("proxy.corp", 3128)),
        ({"https_proxy": "proxy.corp"}, Proxy("proxy.corp", 80)),
        ({"HTTP_PROXY": "http://proxy.corp:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy.corp:3128", "NO_PROXY": "localhost,.googleapis.com"}, None),
        ({"HTTPS_PROXY": "http://proxy.corp:3128", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy.corp:3128", "NO_PROXY": "example.org"}, Proxy("proxy.corp", 3128)),
        ({"HTTPS_PROXY": "http://u%40x:p@proxy.corp:3128"}, Proxy("proxy.corp", 3128, "Basic dUB4OnA=")),
    ],
)
def test_the_environment_names_the_proxy(environ: dict[str, str], expected: Proxy | None) -> None:
    """As for other programs."""
    assert proxy_for(HOST, environ) == expected


@pytest.mark.parametrize("named", ["socks5://proxy:1080", "https://proxy:443", "http://:1", "http://proxy:x"])
def test_a_proxy_that_cannot_be_used_is_refused_without_showing_it(named: str) -> None:
    """It may hold a password."""
    with pytest.raises(UsageError, match="HTTPS_PROXY names no proxy") as refused:
        proxy_for(HOST, {"HTTPS_PROXY": named})
    assert named not in str(refused.value)
    assert "secret" not in repr(Proxy("h", 1, "Basic secret"))
