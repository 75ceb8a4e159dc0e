"""Google's APIs of accounts, logs and metrics, as far as ``smoke`` asks them: answers that a test sets, and what was asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

from testing_http import serving_requests

__all__ = ["Apis", "serving"]


@dataclass
class Apis:
    """Answers.

    Attributes:
        entries: The lines of the log.
        page: Most lines of one answer; the next ones have a token.
        busy: So many questions are refused first, because there were too many.
        series: The series of the metric.
        refused: The status of every answer, where it is not 200.
        late: So many questions of a kind are answered with nothing, first.
        asked: What was asked: path, and body or query.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    page: int = 1_000
    busy: int = 0
    series: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    late: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, path: str, body: str) -> tuple[int, dict[str, Any]]:
        kind = path.partition("?")[0]
        before = sum(asked.partition("?")[0] == kind for asked, _ in self.asked)
        self.asked.append((path, body))
        if self.refused:
            return self.refused, {"error": {"code": self.refused, "message": "the caller has no permission"}}
        if self.busy:
            self.busy -= 1
            return 429, {"error": {"code": 429, "message": "quota exceeded"}}
        if kind.endswith(":generateAccessToken"):
            account = kind.rpartition("/")[2].partition(":")[0]
            end = datetime.now(UTC) + timedelta(hours=1)
            return 200, {"accessToken": f"token-of-{account}", "expireTime": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
        if before < self.late:
            return 200, {}
        if not kind.endswith("entries:list"):
            return 200, {"timeSeries": self.series}
        start = int(json.loads(body).get("pageToken", 0))
        end = start + self.page
        more = {"nextPageToken": str(end)} if end < len(self.entries) else {}
        return 200, {"entries": self.entries[start:end], **more}


@contextmanager
def serving(apis: Apis) -> Iterator[str]:
    """Serve them while the block runs; gives their address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            status, content = apis.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = _answer  # noqa: N815 -- the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving_requests(Handler) as address:
        yield address
