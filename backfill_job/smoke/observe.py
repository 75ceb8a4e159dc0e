"""What is seen of a canary in Cloud Logging and Cloud Monitoring: the line of its event, and a point of the metric.

The alerts and the dashboard read these. Both services are asked through their REST APIs with the account in use. Apart from the
command, because nothing else in this project asks them; the gate reads their answers from files.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from google.auth.exceptions import GoogleAuthError

from backfill_job.checks import Check, failed, not_run, passed
from backfill_job.run.clock import Clock
from shared.errors import MigrationError, UsageError
from shared.events_log import Event
from shared.objects import time_text

__all__ = ["APIS", "METRIC", "Observer", "session"]

APIS = "QPI_EXPORTS_APIS"
"""The variable that names one address for all of Google's APIs except Cloud Storage's, for a stub without accounts."""

SCOPES = (
    "https://www.googleapis.com/auth/logging.read",
    "https://www.googleapis.com/auth/monitoring.read",
)
METRIC = "logging.googleapis.com/user/qpi_exports_mirror_events"
"""The metric that counts the mirror's lines (``monitoring/metrics/mirror_events.yaml``)."""

RESOURCE = "cloud_run_revision"
"""The resource under which that metric's filter looks for the lines."""

POLL_SECONDS = 5.0
REQUEST_TIMEOUT = 30.0
_LINES = "line in Cloud Logging"
_POINT = "point of the metric"
_GRANT = "the account needs roles/logging.viewer and roles/monitoring.viewer; then run the same command again"


class _Unseen(MigrationError):
    """An API refused, or did not answer."""


def session(environ: Mapping[str, str]) -> requests.Session:
    """A session with the account in use; without an account where `APIS` names an address.

    Raises:
        UsageError: There are no credentials.
    """
    if APIS in environ:
        return requests.Session()
    import google.auth  # noqa: PLC0415 -- slow, and a stub needs no account
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415 -- as above

    try:
        credentials, _ = google.auth.default(scopes=SCOPES)
    except GoogleAuthError as error:
        raise UsageError(f"no Google Cloud credentials ({error})") from error
    authorized: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # the library has no types
    return authorized


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks for one canary.

    Attributes:
        session: Sends the requests.
        environ: May name the address of the APIs; see `APIS`.
        project: The project with the logs and metrics.
        service: The mirror's service.
        clock: The waiting; may raise `Interrupted`.
        limit: Seconds to wait for each of the two.
    """

    session: requests.Session
    environ: Mapping[str, str]
    project: str
    service: str
    clock: Clock
    limit: float

    def checks(self, uri: str, since: datetime) -> tuple[Check, Check]:
        """Look for the line of a canary, and for a point of the metric since a moment."""
        return self._seen(_LINES, lambda: self._line(uri, since)), self._seen(
            _POINT, lambda: self._point(since)
        )

    def _seen(self, name: str, look: Callable[[], Check | None]) -> Check:
        waited = 0.0
        try:
            while (check := look()) is None:
                if waited >= self.limit:
                    where = "did the mirror write it, and does the metric exist? `python -m monitoring.apply` makes it"
                    return failed(name, f"not seen within {self.limit:g} s", where)
                self.clock.sleep(POLL_SECONDS)
                waited += POLL_SECONDS
        except _Unseen as error:
            return not_run(name, str(error), _GRANT)
        return check

    def _line(self, uri: str, since: datetime) -> Check | None:
        wanted = {
            "resourceNames": [f"projects/{self.project}"],
            "filter": f'timestamp>="{time_text(since)}" jsonPayload.object="{uri}"',
            "pageSize": 50,
        }
        # A delivery that is repeated writes other lines first.
        entries = self._answer("logging", "POST", "/v2/entries:list", json=wanted).get("entries") or []
        lines = [
            line
            for line in entries
            if (line.get("jsonPayload") or {}).get("event") == Event.MIRRORED.event_name
        ]
        if not lines:
            return None
        wrong = self._wrong(lines[0])
        if wrong:
            return failed(
                _LINES, "; ".join(wrong), "the metrics' filters (monitoring/metrics) do not find such a line"
            )
        return passed(_LINES, f"{RESOURCE} {self.service}: {Event.MIRRORED.event_name}, copied, with its lag")

    def _wrong(self, line: Mapping[str, Any]) -> list[str]:
        """What of a line is not as the metrics' filters expect it."""
        resource, fields = line.get("resource") or {}, line["jsonPayload"]
        lag = fields.get("lag_s")
        expected = (
            ("resource.type", resource.get("type"), RESOURCE),
            (
                "resource.labels.service_name",
                (resource.get("labels") or {}).get("service_name"),
                self.service,
            ),
            ("severity", line.get("severity"), "INFO"),
            ("jsonPayload.outcome", fields.get("outcome"), "copied"),
            ("jsonPayload.lag_s", lag, lag if isinstance(lag, int | float) else "a number"),
        )
        return [f"{name} is {found!r}, not {wanted!r}" for name, found, wanted in expected if found != wanted]

    def _point(self, since: datetime) -> Check | None:
        query = {
            "filter": f'metric.type="{METRIC}" resource.type="{RESOURCE}" resource.label.service_name="{self.service}"',
            "interval.startTime": time_text(since),
            "interval.endTime": time_text(self.clock.now()),
        }
        found = self._answer("monitoring", "GET", f"/v3/projects/{self.project}/timeSeries", params=query)
        series = [one for one in found.get("timeSeries") or [] if one.get("points")]
        if not series:
            return None
        return passed(_POINT, f"{METRIC} has one since the canary")

    def _answer(self, api: str, method: str, path: str, **more: Any) -> dict[str, Any]:
        """One request.

        Raises:
            _Unseen: There is no answer, or it is not a success.
        """
        base = self.environ.get(APIS) or f"https://{api}.googleapis.com"
        try:
            answer = self.session.request(method, base + path, timeout=REQUEST_TIMEOUT, **more)
            if not answer.ok:
                raise _Unseen(f"{api}.googleapis.com answers {answer.status_code}: {_words(answer.text)}")
            content = answer.json()
        except (requests.RequestException, GoogleAuthError) as error:
            raise _Unseen(f"{api}.googleapis.com: {error}") from error
        if not isinstance(content, dict):
            raise _Unseen(f"{api}.googleapis.com: no JSON object")
        return content


def _words(text: str) -> str:
    found = re.search(r'"message":\s*"([^"]{1,300})', text)
    return found[1] if found else text[:200]
