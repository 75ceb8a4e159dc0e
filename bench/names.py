"""Verification of ten million names, against a server that makes the listings up: ``python bench/names.py``.

`local_gcs` holds each object in memory. So this server computes each page from the place in the listing, and holds nothing. It
answers what `verify` asks: listings, and no object. Client and server are processes of their own. The figures are of the client.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import uvloop

from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
PREFIXES = {place.bucket: place.prefix for place in (MIGRATION.source, MIGRATION.destination)}
DAYS = 100
FIRST_DAY = date(2024, 1, 1)
OBJECT = (
    b'{"name":"%s","generation":"1","metageneration":"1","size":"350","crc32c":"AAAAAA==",'
    b'"md5Hash":"AAAAAAAAAAAAAAAAAAAAAA==","timeCreated":"2024-01-01T00:00:00.000Z",'
    b'"updated":"2024-01-01T00:00:00.000Z","contentType":"application/json","storageClass":"STANDARD"}'
)
NOT_FOUND = b'{"error":{"code":404,"message":"No such object: made up","errors":[{"reason":"notFound"}]}}'


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one bucket, in order, by their number."""

    prefix: str
    count: int

    @property
    def a_day(self) -> int:
        """Objects of one day."""
        return -(-self.count // DAYS)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> str:
        return f"{self.folder(number // self.a_day)}user_id_{number % self.a_day:08}.jsonl"

    def folder(self, day: int) -> str:
        """The folder of a day, by its number."""
        return f"{self.prefix}qpi_answers_{FIRST_DAY + timedelta(day):%Y%m%d}/"

    def page(self, first: int, last: int) -> Iterator[bytes]:
        """The objects from one number to another, as a listing shows them."""
        for number in range(first, last):
            yield OBJECT % self[number].encode()


def listing(names: Names, query: dict[str, list[str]]) -> bytes:
    """Answer one list request."""
    given = {key: values[0] for key, values in query.items()}
    prefix = given.get("prefix", "")
    if not (names.prefix.startswith(prefix) or prefix.startswith(names.prefix)):
        return b"{}"
    if "delimiter" in given:
        days = range(-(-names.count // names.a_day))
        return orjson.dumps({"prefixes": [names.folder(day) for day in days]})
    begin = max(bisect_left(names, prefix), bisect_left(names, given.get("startOffset", "")))
    end = bisect_left(names, prefix + chr(0x10FFFF))
    if "endOffset" in given:
        end = min(end, bisect_left(names, given["endOffset"]))
    begin = max(begin, int(given.get("pageToken", "0")))
    last = min(end, begin + int(given.get("maxResults", "1000")))
    more = b',"nextPageToken":"%d"' % last if last < end else b""
    return b'{"items":[%s]%s}' % (b",".join(names.page(begin, last)), more)


class Server(asyncio.Protocol):
    """Answers one request after the other on a connection."""

    def __init__(self, count: int) -> None:
        self.names = {bucket: Names(prefix, count) for bucket, prefix in PREFIXES.items()}
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            status, body = self.answer(head.split(b" ", 2)[1].decode())
            lines = (
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            self.transport.write(lines.encode() + body)  # type: ignore[attr-defined]  # a TCP transport writes

    def answer(self, target: str) -> tuple[str, bytes]:
        """The status and body of the answer to a GET."""
        url = urlsplit(target)
        parts = url.path.split("/b/", 1)[1].split("/")
        names = self.names.get(unquote(parts[0]))
        if names is None or len(parts) > 2:  # noqa: PLR2004 -- b, o, and the name of an object
            return "404 Not Found", NOT_FOUND
        return "200 OK", listing(names, parse_qs(url.query)) if len(parts) > 1 else b"{}"


async def serve(count: int) -> None:
    """Serve until the process ends; prints the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(count), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def measured(count: int) -> tuple[float, float, float]:
    """Verify so many names once; gives seconds, seconds of CPU, and MiB."""
    serving = [sys.executable, __file__, "--serve", str(count)]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            return verified(f"http://127.0.0.1:{port}")
        finally:
            server.kill()


def verified(url: str) -> tuple[float, float, float]:
    """Run ``verify`` against a server."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "backfill_job", "verify", "--env", MIGRATION.label, "--no-record"]
        line += ["--grace", "0", "--log-dir", folder]
        began = time.monotonic()
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": url}
        with subprocess.Popen(line, env=environ, stdout=subprocess.PIPE, cwd=Path.cwd()) as run:
            output = run.stdout.read() if run.stdout else b""
            _, status, usage = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"verify ended with {run.returncode}:\n{output.decode(errors='replace')[-2000:]}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1_024


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--objects", type=int, nargs="+", default=[1_000_000, 10_000_000], metavar="N")
    parser.add_argument("--serve", type=int, metavar="N", help="be the server of so many names")
    arguments = parser.parse_args(argv)
    if arguments.serve:
        uvloop.run(serve(arguments.serve))
        return 0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; client process only")
    print(f"{'names on each side':>20} {'wall s':>8} {'names/s':>10} {'CPU us/name':>12} {'MiB':>6}")
    for count in arguments.objects:
        wall, cpu, memory = measured(count)
        print(
            f"{count:20,} {wall:8.1f} {count / wall:10,.0f} {cpu / count * 1e6:12.1f} {memory:6.0f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
