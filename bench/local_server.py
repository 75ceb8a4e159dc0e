"""How fast the local Cloud Storage is: uploads, bulk fill, listing and rewrites.

This process asks a server process of its own, over connections that stay open.

usage: python bench/local_server.py [--objects N]... [--requests N] [--connections N]

Not named after the package it measures: a script's folder comes first on the module path.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlsplit

import uvloop

import local_gcs

FIELDS = (
    "items(name,generation,metageneration,size,crc32c,md5Hash,contentType,updated,metadata),nextPageToken"
)
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
TOKEN = re.compile(rb'"nextPageToken":"([^"]+)"')
BODY = b'{"user_id":"7","submitted_at":"2024-01-01T00:00:00Z","answers":[]}\n'.ljust(350)


class Connection(asyncio.Protocol):
    """Sends requests one after the other and keeps the last answer."""

    def __init__(self, requests: Iterator[bytes], done: "asyncio.Future[None]") -> None:
        self.requests = requests
        self.done = done
        self.buffer = bytearray()
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = transport
        self.send()

    def send(self) -> None:
        """Send the next request, or hang up after the last."""
        request = next(self.requests, None)
        if request is None:
            self.transport.close()
            self.done.set_result(None)
        else:
            self.transport.write(request)  # type: ignore[attr-defined]  # a TCP transport is a write transport

    def data_received(self, data: bytes) -> None:
        """Put an answer together, and go on."""
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self.buffer, 0, head + 2)
        if length is None or len(self.buffer) < head + 4 + int(length[1]):
            return
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"unexpected answer: {bytes(self.buffer[:300])!r}")
        self.answers += 1
        self.answered(bytes(self.buffer[head + 4 :]))
        self.buffer.clear()
        self.send()

    def answered(self, body: bytes) -> None:
        """Look at an answer; a lister does."""


class Lister(Connection):
    """Asks for one page after the other."""

    def __init__(self, path: str, done: "asyncio.Future[None]") -> None:
        super().__init__(self.pages(), done)
        self.path = path
        self.token: str | None = ""

    def pages(self) -> Iterator[bytes]:
        """Requests for one page after the other."""
        while self.token is not None:
            yield request("GET", f"{self.path}&pageToken={self.token}" if self.token else self.path)

    def answered(self, body: bytes) -> None:
        """Remember where the next page starts."""
        found = TOKEN.search(body, 0, 2000)
        self.token = quote(found[1].decode(), safe="") if found else None


def request(verb: str, path: str, body: bytes = b"") -> bytes:
    """A request as a client library would send it."""
    head = f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nUser-Agent: bench\r\n"
    return f"{head}Authorization: Bearer {'x' * 20}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def drive(url: str, requests: Iterable[bytes], connections: int) -> float:
    """Send all requests over so many connections; gives the seconds it took."""
    loop, shared, address = asyncio.get_running_loop(), iter(requests), urlsplit(url)
    begun, waiting = time.perf_counter(), []
    for _ in range(connections):
        done = loop.create_future()
        waiting.append(done)
        await loop.create_connection(
            lambda done=done: Connection(shared, done), address.hostname, address.port
        )
    await asyncio.gather(*waiting)
    return time.perf_counter() - begun


async def list_all(url: str, path: str) -> tuple[float, int]:
    """List page after page over one connection; gives the seconds it took and the number of pages."""
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    done = loop.create_future()
    begun = time.perf_counter()
    _, lister = await loop.create_connection(lambda: Lister(path, done), address.hostname, address.port)
    await done
    return time.perf_counter() - begun, lister.answers


def uploads(count: int) -> Iterator[bytes]:
    """Uploads of small objects."""
    for n in range(count):
        yield request(
            "POST", f"/upload/storage/v1/b/uploads/o?uploadType=media&name=a%2Fuser_id_{n}.jsonl", BODY
        )


def rewrites(count: int) -> Iterator[bytes]:
    """Conditional rewrites of filled-in objects under the new prefix."""
    for n in range(count):
        name = f"qpi_answers_{20240101 + n % 28}%2Fuser_id_{n}.jsonl"
        to = f"/rewriteTo/b/destination/o/new%2F{name}?ifGenerationMatch=0"
        yield request("POST", f"/storage/v1/b/source/o/QPI_exports%2F{name}{to}")


def measure(objects: int, requests: int, connections: int) -> None:
    """Measure one size and print it."""
    requests = min(objects, requests)

    def line(what: str, number: int, seconds: float) -> None:
        print(
            f"{objects:>9,} objects  {what:<34} {number:>9,} in {seconds:7.2f} s  {number / seconds:>9,.0f}/s"
        )

    with local_gcs.running(buckets=["uploads", "source", "destination"]) as server:
        for bucket, prefix in (
            ("source", "QPI_exports/"),
            ("destination", "qpi_exports/"),
            ("uploads", "b/"),
        ):
            begun = time.perf_counter()
            server.fill(bucket, objects, prefix=prefix, days=28)
            if bucket == "source":
                line("bulk fill", objects, time.perf_counter() - begun)
        seconds = asyncio.run(drive(server.url, uploads(requests), connections))
        line(f"uploads, {connections} connections", requests, seconds)
        path = f"/storage/v1/b/source/o?maxResults=1000&fields={quote(FIELDS, safe='')}"
        seconds, pages = asyncio.run(list_all(server.url, path))
        line(f"listed, 1 connection, {pages} pages", objects, seconds)
        seconds, _ = asyncio.run(
            list_all(server.url, "/storage/v1/b/source/o?prefix=QPI_exports/&delimiter=/")
        )
        print(f"{objects:>9,} objects  28 date partitions by delimiter in {seconds * 1000:.1f} ms")
        seconds = asyncio.run(drive(server.url, rewrites(requests), connections))
        line(f"rewrites, {connections} connections", requests, seconds)


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(description="How fast the local Cloud Storage is.")
    parser.add_argument("--objects", type=int, action="append", help="objects in each bucket; repeatable")
    parser.add_argument("--requests", type=int, default=100_000, help="uploads and rewrites at most")
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    uvloop.install()
    for objects in given.objects or [10_000, 1_000_000]:
        measure(objects, given.requests, given.connections)


if __name__ == "__main__":
    main()
