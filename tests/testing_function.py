"""An ASGI application in this process, asked without a server. Its event loop lives from the first request to the end."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any


@dataclass
class AsgiClient:
    """Sends requests to an application, one after the other or several at once."""

    app: Any
    runner: asyncio.Runner

    def post(self, body: bytes, headers: dict[str, str], *, method: str = "POST") -> tuple[int, bytes]:
        """The status and the body of the answer."""
        return self.run(self.request(body, headers, method=method))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    async def request(
        self, body: bytes, headers: dict[str, str], *, method: str = "POST", complete: bool = True
    ) -> tuple[int, bytes]:
        """Send one request; an incomplete body breaks off before its end."""
        incoming = [{"type": "http.disconnect"}]
        incoming.insert(0, {"type": "http.request", "body": body, "more_body": not complete})
        answer: list[dict[str, Any]] = []
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": "/",
            "query_string": b"",
            "headers": raw,
        }

        async def receive() -> dict[str, Any]:
            return incoming.pop(0)

        async def send(message: dict[str, Any]) -> None:
            answer.append(message)

        await self.app(scope, receive, send)
        return answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:])
