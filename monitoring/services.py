"""Lists, creates and updates metrics, dashboards and alert policies in the three services that hold them.

A module of its own although only `monitoring.apply` imports it: it is the one place that speaks to these services. It never deletes. A
mark says what this software made: labels, or the description's last line for a log-based metric, which has no labels.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import monitoring_dashboard_v1, monitoring_v3
from google.cloud.logging_v2.services.metrics_service_v2 import MetricsServiceV2Client
from google.cloud.logging_v2.types import LogMetric
from google.protobuf import json_format

from monitoring.differences import Existing, Wanted, fingerprint
from monitoring.files import Resources, checked
from shared.errors import MigrationError, UsageError

__all__ = ["MANAGED_BY", "MonitoredProject", "Services", "wanted_of"]

MANAGED_BY = "qpi-exports-migration"

PATIENCE = 49
"""Attempts for a policy whose metric the service does not know yet: 12 minutes. It takes up to 10 to know a new metric."""

PAUSE = 15.0
"""Seconds between attempts."""

_MARK = re.compile(rf"\n\nManaged by {MANAGED_BY} \(([0-9a-f]{{12}})\)\.\Z")

_KINDS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "metric": (LogMetric, ("createTime", "updateTime", "version")),
    "dashboard": (monitoring_dashboard_v1.Dashboard, ("name", "etag")),
    "alert": (monitoring_v3.AlertPolicy, ("name", "creationRecord", "mutationRecord", "validity")),
}
"""Each kind of resource with its message, and the fields that only the service writes."""


@dataclass(frozen=True, slots=True)
class Services:
    """The official clients."""

    metrics: MetricsServiceV2Client
    dashboards: Any
    alerts: Any

    @staticmethod
    def of_surroundings() -> "Services":
        """Clients with the default credentials of this process.

        Raises:
            UsageError: There are no credentials.
        """
        try:
            return Services(
                MetricsServiceV2Client(),
                monitoring_dashboard_v1.DashboardsServiceClient(),
                monitoring_v3.AlertPolicyServiceClient(),
            )
        except GoogleAuthError as error:
            raise UsageError(
                f"no credentials: {str(error).splitlines()[0]}; run gcloud auth application-default login"
            ) from error


def wanted_of(resources: Resources, env: str, channels: tuple[str, ...]) -> list[Wanted]:
    """What a project has to hold. Metrics come first: a policy that names a missing metric is refused.

    Args:
        env: The environment of the dashboard and the policies; metrics serve all environments of a project.
        channels: Resource names of the notification channels that policies tell.
    """
    ours = {"managed-by": MANAGED_BY, "env": env}
    told = {"notificationChannels": [*channels]} if channels else {}
    wanted = [("metric", one.content["name"], one.content) for one in resources.metrics]
    wanted.append(("dashboard", f"{MANAGED_BY}-{env}", {**resources.dashboard.content, "labels": ours}))
    for one in resources.alerts:
        labels = {**ours, "policy": one.stem}
        wanted.append(("alert", one.stem, {"enabled": True, **one.content, "userLabels": labels, **told}))
    # Each content as the API itself would write it.
    return [
        Wanted(kind, key, _dict(kind, checked(_KINDS[kind][0], content, kind)))
        for kind, key, content in wanted
    ]


@dataclass(frozen=True, slots=True)
class MonitoredProject:
    """One project's resources for one environment."""

    services: Services
    project: str
    env: str
    sleep: Callable[[float], None]

    def existing(self) -> list[Existing]:
        """Every resource of the project that the files might mean.

        Raises:
            MigrationError: A service did not answer.
            UsageError: The account may not list them.
        """
        with _errors_of(f"list what project {self.project} holds", UsageError):
            return [*self._metrics(), *self._dashboards(), *self._alerts()]

    def put(self, wanted: Wanted, existing: Existing | None) -> None:
        """Create a resource, or update the existing one.

        Raises:
            MigrationError: The service refused, or did not answer.
        """
        verb = "create" if existing is None else "update"
        with _errors_of(f"{verb} {wanted.kind} {wanted.key} in project {self.project}"):
            match wanted.kind:
                case "metric":
                    self._put_metric(wanted, existing)
                case "dashboard":
                    self._put_dashboard(wanted, existing)
                case _:
                    self._put_alert(wanted, existing)

    def _metrics(self) -> Iterator[Existing]:
        for metric in self.services.metrics.list_log_metrics(parent=f"projects/{self.project}"):
            content = _dict("metric", metric)
            mark = _MARK.search(content.get("description", ""))
            if mark is not None:
                content["description"] = content["description"][: mark.start()]
            name = f"projects/{self.project}/metrics/{metric.name}"
            yield Existing("metric", metric.name, name, content, mark is not None, mark[1] if mark else "")

    def _dashboards(self) -> Iterator[Existing]:
        parent = f"projects/{self.project}"
        request = monitoring_dashboard_v1.ListDashboardsRequest(parent=parent)
        for board in self.services.dashboards.list_dashboards(request):
            key = board.name.rpartition("/")[2]
            if key == f"{MANAGED_BY}-{self.env}":
                content = _dict("dashboard", board)
                mine, mark = _taken_out(content.get("labels", {}))
                yield Existing("dashboard", key, board.name, content, mine, mark, board.etag)

    def _alerts(self) -> Iterator[Existing]:
        for policy in self.services.alerts.list_alert_policies(name=f"projects/{self.project}"):
            content = _dict("alert", policy)
            for condition in content.get("conditions", ()):
                condition.pop("name", None)
            labels = content.get("userLabels", {})
            mine, mark = _taken_out(labels)
            if mine and labels.get("env") == self.env:
                yield Existing("alert", labels.get("policy", ""), policy.name, content, mine, mark)

    def _put_metric(self, wanted: Wanted, existing: Existing | None) -> None:
        mark = f"\n\nManaged by {MANAGED_BY} ({fingerprint(wanted.content)})."
        content = {**wanted.content, "description": wanted.content["description"] + mark}
        metric = checked(LogMetric, content, wanted.key)
        if existing is None:
            self.services.metrics.create_log_metric(parent=f"projects/{self.project}", metric=metric)
        else:
            self.services.metrics.update_log_metric(metric_name=existing.name, metric=metric)

    def _put_dashboard(self, wanted: Wanted, existing: Existing | None) -> None:
        name = existing.name if existing else f"projects/{self.project}/dashboards/{wanted.key}"
        labels = {**wanted.content["labels"], "content": fingerprint(wanted.content)}
        etag = existing.etag if existing else ""
        content = {**wanted.content, "labels": labels, "name": name, "etag": etag}
        board = checked(monitoring_dashboard_v1.Dashboard, content, wanted.key)
        if existing is None:
            parent = f"projects/{self.project}"
            create = monitoring_dashboard_v1.CreateDashboardRequest(parent=parent, dashboard=board)
            self.services.dashboards.create_dashboard(create)
        else:
            update = monitoring_dashboard_v1.UpdateDashboardRequest(dashboard=board)
            self.services.dashboards.update_dashboard(update)

    def _put_alert(self, wanted: Wanted, existing: Existing | None) -> None:
        labels = {**wanted.content["userLabels"], "content": fingerprint(wanted.content)}
        content = {**wanted.content, "userLabels": labels, **({"name": existing.name} if existing else {})}
        policy = checked(monitoring_v3.AlertPolicy, content, wanted.key)
        for attempt in range(1, PATIENCE + 1):
            try:
                if existing is None:
                    parent = f"projects/{self.project}"
                    self.services.alerts.create_alert_policy(name=parent, alert_policy=policy)
                else:
                    self.services.alerts.update_alert_policy(alert_policy=policy)
            except exceptions.NotFound as error:
                # The service does not know a new metric everywhere at once.
                if attempt == PATIENCE or "metric" not in str(error).lower():
                    raise
                self.sleep(PAUSE)
            else:
                return


@contextmanager
def _errors_of(what: str, refused: type[MigrationError] = MigrationError) -> Iterator[None]:
    """Turns the services' errors into this project's, with the operation that failed."""
    try:
        yield
    except (exceptions.PermissionDenied, exceptions.Unauthenticated, GoogleAuthError) as error:
        if isinstance(error, TransportError):  # the token server did not answer: not a missing right
            raise _unanswered(what, error) from error
        raise refused(
            f"this account may not {what}: {_line(error)}; it needs roles/logging.configWriter, "
            "roles/monitoring.dashboardEditor and roles/monitoring.alertPolicyEditor (to look only: the viewers)"
        ) from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        raise _unanswered(what, error) from error


def _unanswered(what: str, error: Exception) -> MigrationError:
    return MigrationError(f"could not {what}: {_line(error)}; run it again; it continues where it stopped")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _dict(kind: str, message: Any) -> dict[str, Any]:
    content: dict[str, Any] = json_format.MessageToDict(type(message).pb(message))
    for key in _KINDS[kind][1]:
        content.pop(key, None)
    for key in ("name", "type", "description"):
        content.get("metricDescriptor", {}).pop(key, None)
    return content


def _taken_out(labels: dict[str, str]) -> tuple[bool, str]:
    """Whether the labels are ours, and the fingerprint, which is removed from them."""
    return labels.get("managed-by") == MANAGED_BY, labels.pop("content", "")
