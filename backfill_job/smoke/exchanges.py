"""What was asked of Cloud Storage and what it answered, as ``wire.json`` has it.

Somebody sends that file to others. So it has no contents, no tokens, no names of accounts, and neither the bucket's name nor the
folder's. A request's body and headers are not noted at all. Apart from `clients`, because it knows nothing of them.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from shared.answers import is_transient
from shared.objects import OBJECT_FIELDS

__all__ = ["Exchanges"]

LONGEST = 20_000
"""Characters of a body that is not JSON."""

_KNOWN = frozenset(path.partition(".")[0] for path in OBJECT_FIELDS)

_TOKENS = re.compile(
    r"""((?:pageToken|rewriteToken|restoreToken|upload_id)=)[^&\s"]+|("(?:nextPageToken|rewriteToken|restoreToken)":\s*")[^"]+"""
)
_ACCOUNT = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|principal(?:Set)?://[^\s\"\\]+")
_PAYER = re.compile(r"(userProject=)[^&\s]+")
_CALL = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass
class Exchanges:
    """Every exchange so far; `begin` starts those of the next probe.

    Attributes:
        bucket: Its name is written as ``BUCKET``.
        folder: The scratch folder's name is written as ``SCRATCH/``.
        noted: The exchanges, as ``wire.json`` has them.
        unknown: Fields of the object resource that `OBJECT_FIELDS` does not have.
    """

    bucket: str
    folder: str
    noted: list[dict[str, Any]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    _probe: str = ""
    _client: str = ""
    _statuses: list[int] = field(default_factory=list)

    def begin(self, probe: str, client: str) -> None:
        """The following exchanges are of this probe, through this client."""
        self._probe, self._client, self._statuses = probe, client, []

    def heard(self, method: str, target: str, status: int, body: bytes) -> None:
        """Note an answer."""
        calls = [int(call) for call in _CALL.findall(body)] if target.startswith("/batch/") else []
        self._statuses += [status, *calls]
        self.noted.append(
            {
                "probe": self._probe,
                "client": self._client,
                "method": method,
                "target": self.redacted(target),
                "status": status,
                "body": self._body(target, status, body),
            }
        )

    def statuses(self, *, each: Collection[str] = ()) -> str:
        """The statuses of the probe's exchanges without transient ones; equal ones in a row count once, unless `each` names the probe."""
        final = [status for status in self._statuses if not is_transient(status)] or self._statuses
        return " ".join(
            str(status)
            for number, status in enumerate(final)
            if self._probe in each or not number or final[number - 1] != status
        )

    def redacted(self, text: str) -> str:
        """The text without names and tokens."""
        for name, shown in ((self.folder, "SCRATCH/"), (self.bucket, "BUCKET")):
            text = text.replace(quote(name, safe=""), shown.replace("/", "%2F")).replace(quote(name), shown)
            text = text.replace(name, shown)
        text = _TOKENS.sub(lambda found: f"{found[1] or found[2]}TOKEN", text)
        return _ACCOUNT.sub("ACCOUNT", _PAYER.sub(r"\1PROJECT", text))

    def _body(self, target: str, status: int, body: bytes) -> Any:
        if "alt=media" in target and status < 300:  # noqa: PLR2004 -- a success
            return "contents: not noted"
        text = body.decode(errors="replace")
        try:
            answer = json.loads(self.redacted(text)) if text else None
        except ValueError:
            return self.redacted(text)[:LONGEST]
        if isinstance(answer, dict) and answer.get("kind") == "storage#object":
            self.unknown |= answer.keys() - _KNOWN
        return answer
