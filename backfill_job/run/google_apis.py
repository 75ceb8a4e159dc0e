"""Google's REST APIs besides Cloud Storage's: a session with the account in use, and one answer.

The libraries of these services are not in the job's image. Logs and metrics take one request each, which needs only google-auth.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from google.auth.exceptions import GoogleAuthError

from shared.errors import MigrationError, UsageError

__all__ = ["APIS", "Apis", "Unanswered", "session"]

APIS = "QPI_EXPORTS_APIS"
"""The variable that names one address for all of Google's APIs except Cloud Storage's, for a stub without accounts."""

REQUEST_TIMEOUT = 30.0


class Unanswered(MigrationError):
    """An API refused, or did not answer; `status` is 0 without an answer."""

    def __init__(self, said: str, status: int = 0) -> None:
        super().__init__(said)
        self.status = status


def session(environ: Mapping[str, str], *scopes: str) -> requests.Session:
    """A session with the account in use; without an account where `APIS` names an address.

    Args:
        scopes: Their last parts, such as ``logging.read``.

    Raises:
        UsageError: There are no credentials.
    """
    if APIS in environ:
        return requests.Session()
    import google.auth  # noqa: PLC0415 -- slow, and a stub needs no account
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415 -- as above

    try:
        credentials, _ = google.auth.default(
            scopes=[f"https://www.googleapis.com/auth/{scope}" for scope in scopes]
        )
    except GoogleAuthError as error:
        raise UsageError(f"no Google Cloud credentials ({error})") from error
    authorized: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # the library has no types
    return authorized


@dataclass(frozen=True, slots=True)
class Apis:
    """Asks them, where the environment says they are; see `APIS`."""

    session: requests.Session
    environ: Mapping[str, str]

    def answer(self, api: str, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Send one request. Raises `Unanswered` where there is no answer, or it is not a success."""
        base = self.environ.get(APIS) or f"https://{api}.googleapis.com"
        try:
            answer = self.session.request(method, base + path, timeout=REQUEST_TIMEOUT, **more)
            if not answer.ok:
                words = re.search(r'"message":\s*"([^"]{1,300})', answer.text)
                said = f"{api}.googleapis.com answers {answer.status_code}: {words[1] if words else answer.text[:200]}"
                raise Unanswered(said, answer.status_code)
            content = answer.json()
        except (requests.RequestException, GoogleAuthError) as error:
            raise Unanswered(f"{api}.googleapis.com: {error}") from error
        if not isinstance(content, dict):
            raise Unanswered(f"{api}.googleapis.com: no JSON object")
        return content
