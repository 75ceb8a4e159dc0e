"""What is seen of a canary in Cloud Logging and Cloud Monitoring: the line of its event, and a point of the metric.

The alerts and the dashboard read these. Both services are asked through their REST APIs with the account in use. Apart from the
command, which shows its checks; the gate reads such answers from files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backfill_job.checks import Check, failed, not_run, passed
from backfill_job.run.clock import Clock
from backfill_job.run.google_apis import Apis, Unanswered
from shared.events_log import Event
from shared.objects import time_text

__all__ = ["METRIC", "SCOPES", "Observer"]

SCOPES = ("logging.read", "monitoring.read")

METRIC = "logging.googleapis.com/user/qpi_exports_mirror_events"
"""The metric that counts the mirror's lines (``monitoring/metrics/mirror_events.yaml``)."""

RESOURCE = "cloud_run_revision"
"""The resource under which that metric's filter looks for the lines."""

POLL_SECONDS = 5.0
_LINES = "line in Cloud Logging"
_POINT = "point of the metric"
_GRANT = "the account needs roles/logging.viewer and roles/monitoring.viewer; then run the same command again"


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks for one canary.

    Attributes:
        project: The project with the logs and metrics.
        clock: The waiting; may raise `Interrupted`.
        limit: Seconds to wait for each of the two.
    """

    apis: Apis
    project: str
    service: str
    clock: Clock
    limit: float

    def checks(self, uri: str, since: datetime) -> tuple[Check, Check]:
        """Look for the line of a canary, and for a point of the metric since a moment."""
        line = self._seen(_LINES, lambda: self._line(uri, since))
        return line, self._seen(_POINT, lambda: self._point(since))

    def _seen(self, name: str, look: Callable[[], Check | None]) -> Check:
        waited = 0.0
        try:
            while (check := look()) is None:
                if waited >= self.limit:
                    where = "did the mirror write it, and does the metric exist? `python -m monitoring.apply` makes it"
                    return failed(name, f"not seen within {self.limit:g} s", where)
                self.clock.sleep(POLL_SECONDS)
                waited += POLL_SECONDS
        except Unanswered as error:
            return not_run(name, str(error), _GRANT)
        return check

    def _line(self, uri: str, since: datetime) -> Check | None:
        wanted = {
            "resourceNames": [f"projects/{self.project}"],
            "filter": f'timestamp>="{time_text(since)}" jsonPayload.object="{uri}"',
            "pageSize": 50,
        }
        # A delivery that is repeated writes other lines first.
        entries = self.apis.answer("logging", "POST", "/v2/entries:list", json=wanted).get("entries") or []
        event = Event.MIRRORED.event_name
        lines = [line for line in entries if (line.get("jsonPayload") or {}).get("event") == event]
        if not lines:
            return None
        if wrong := self._wrong(lines[0]):
            step = "the metrics' filters (monitoring/metrics) do not find such a line"
            return failed(_LINES, "; ".join(wrong), step)
        return passed(_LINES, f"{RESOURCE} {self.service}: {event}, copied, with its lag")

    def _wrong(self, line: Mapping[str, Any]) -> list[str]:
        """What of a line is not as the metrics' filters expect it."""
        resource, fields = line.get("resource") or {}, line["jsonPayload"]
        labels, lag = resource.get("labels") or {}, fields.get("lag_s")
        expected = (
            ("resource.type", resource.get("type"), RESOURCE),
            ("resource.labels.service_name", labels.get("service_name"), self.service),
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
        found = self.apis.answer("monitoring", "GET", f"/v3/projects/{self.project}/timeSeries", params=query)
        series = [one for one in found.get("timeSeries") or [] if one.get("points")]
        if not series:
            return None
        return passed(_POINT, f"{METRIC} has one since the canary")
