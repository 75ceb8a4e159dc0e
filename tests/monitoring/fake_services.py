"""The three services in this process, over a real local gRPC channel: they keep, refuse and add what the real ones do.

What they add to a resource (names, times, defaults) is what makes an application that is not careful change everything again.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud import monitoring_dashboard_v1 as boards
from google.cloud import monitoring_v3
from google.cloud.logging_v2 import types as logs
from google.cloud.logging_v2.services.metrics_service_v2 import MetricsServiceV2Client
from google.cloud.logging_v2.services.metrics_service_v2.transports import MetricsServiceV2GrpcTransport
from google.cloud.monitoring_dashboard_v1.services.dashboards_service.transports import (
    DashboardsServiceGrpcTransport,
)
from google.cloud.monitoring_v3.services.alert_policy_service.transports import (
    AlertPolicyServiceGrpcTransport,
)
from google.protobuf import empty_pb2

from monitoring.services import Services

PROJECT = "projects/proj-1"
USER = "logging.googleapis.com/user/"


@dataclass
class FakeProject:
    """What the services hold, and what was asked of them."""

    metrics: dict[str, Any] = field(default_factory=dict)
    dashboards: dict[str, Any] = field(default_factory=dict)
    alerts: dict[str, Any] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    unknown_for: int = 0
    """How many times a policy's log-based metric is not known yet."""
    may_read: bool = True
    may_write: bool = True
    page: int = 5
    """Resources in a page of a list."""

    def reading(self, context: Any) -> None:
        if not self.may_read:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "logging.logMetrics.list denied")

    def writing(self, context: Any, what: str) -> None:
        if not self.may_write:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{what} denied")
        self.writes.append(what)

    def paged(self, items: list[Any], token: str) -> tuple[list[Any], str]:
        start = int(token or 0)
        end = start + self.page
        return items[start:end], str(end) if end < len(items) else ""

    def alert(self, stem: str) -> Any:
        """The policy that a file made."""
        (found,) = [policy for policy in self.alerts.values() if policy.user_labels.get("policy") == stem]
        return found

    # Log-based metrics

    def list_metrics(self, request: Any, context: Any) -> Any:
        self.reading(context)
        items, token = self.paged(list(self.metrics.values()), request.page_token)
        return logs.ListLogMetricsResponse(metrics=items, next_page_token=token)

    def create_metric(self, request: Any, context: Any) -> Any:
        metric = request.metric
        self.writing(context, f"create metric {metric.name}")
        if metric.name in self.metrics:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, metric.name)
        self.metrics[metric.name] = self.completed(metric)
        return self.metrics[metric.name]

    def update_metric(self, request: Any, context: Any) -> Any:
        metric = request.metric
        self.writing(context, f"update metric {metric.name}")
        before = self.metrics[metric.name].metric_descriptor
        now = metric.metric_descriptor
        if (before.metric_kind, before.value_type) != (now.metric_kind, now.value_type):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the kind cannot be changed")
        self.metrics[metric.name] = self.completed(metric)
        return self.metrics[metric.name]

    def completed(self, metric: Any) -> Any:
        metric.metric_descriptor.type = USER + metric.name
        metric.metric_descriptor.name = f"{PROJECT}/metricDescriptors/{USER}{metric.name}"
        metric.metric_descriptor.description = metric.description
        metric.create_time = metric.update_time = {"seconds": 1_700_000_000}
        metric.version = logs.LogMetric.ApiVersion.V2
        return metric

    # Dashboards

    def list_dashboards(self, request: Any, context: Any) -> Any:
        self.reading(context)
        items, token = self.paged(list(self.dashboards.values()), request.page_token)
        return boards.ListDashboardsResponse(dashboards=items, next_page_token=token)

    def create_dashboard(self, request: Any, context: Any) -> Any:
        self.writing(context, "create dashboard")
        board = request.dashboard
        # The service answers with the project's number where it was asked with its id.
        board.name = board.name.replace(PROJECT, "projects/1234567")
        if board.name in self.dashboards:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, board.name)
        return self.stored(board)

    def update_dashboard(self, request: Any, context: Any) -> Any:
        self.writing(context, "update dashboard")
        if self.dashboards[request.dashboard.name].etag != request.dashboard.etag:
            context.abort(grpc.StatusCode.ABORTED, "the etag is not the dashboard's")
        return self.stored(request.dashboard)

    def stored(self, board: Any) -> Any:
        board.etag = f"etag-{len(self.writes)}"
        for tile in board.mosaic_layout.tiles:
            tile.widget.id = tile.widget.id or "made-up"
            for one in tile.widget.xy_chart.data_sets if "xy_chart" in tile.widget else ():
                one.min_alignment_period = one.min_alignment_period or {"seconds": 60}
        self.dashboards[board.name] = board
        return board

    # Alert policies

    def list_alerts(self, request: Any, context: Any) -> Any:
        self.reading(context)
        items, token = self.paged(list(self.alerts.values()), request.page_token)
        return monitoring_v3.ListAlertPoliciesResponse(alert_policies=items, next_page_token=token)

    def create_alert(self, request: Any, context: Any) -> Any:
        policy = request.alert_policy
        self.require_metrics(policy, context)
        self.require_one_condition(policy, context)
        self.writing(context, f"create alert {policy.user_labels['policy']}")
        policy.name = f"{PROJECT}/alertPolicies/{len(self.alerts) + 1}"
        return self.kept(policy)

    def update_alert(self, request: Any, context: Any) -> Any:
        policy = request.alert_policy
        self.require_metrics(policy, context)
        self.require_one_condition(policy, context)
        self.writing(context, f"update alert {policy.user_labels['policy']}")
        if policy.name not in self.alerts:
            context.abort(grpc.StatusCode.NOT_FOUND, policy.name)
        return self.kept(policy)

    def kept(self, policy: Any) -> Any:
        for number, condition in enumerate(policy.conditions):
            condition.name = f"{policy.name}/conditions/{number}"
        policy.creation_record = {"mutate_time": {"seconds": 1_700_000_000}, "mutated_by": "me"}
        policy.alert_strategy.notification_prompts = [
            monitoring_v3.AlertPolicy.AlertStrategy.NotificationPrompt.OPENED
        ]
        self.alerts[policy.name] = policy
        return policy

    def require_one_condition(self, policy: Any, context: Any) -> None:
        """As the service does for PromQL; and it refuses a query for a metric that has no data yet, where it validates metrics."""
        for condition in policy.conditions:
            query = condition.condition_prometheus_query_language
            if query.query and (len(policy.conditions) > 1 or not query.disable_metric_validation):
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, "can only have a single condition, or an unknown metric"
                )

    def require_metrics(self, policy: Any, context: Any) -> None:
        for condition in policy.conditions:
            text = condition.condition_threshold.filter
            name = text.partition(USER)[2].partition('"')[0]
            if name and (self.unknown_for > 0 or name not in self.metrics):
                self.unknown_for -= 1
                context.abort(
                    grpc.StatusCode.NOT_FOUND, f'Cannot find metric that matches type = "{USER}{name}".'
                )


def _serving(method: Any, request: Any, response: Any) -> Any:
    read = request.deserialize if hasattr(request, "deserialize") else request.FromString
    write = response.serialize if hasattr(response, "serialize") else response.SerializeToString
    return grpc.unary_unary_rpc_method_handler(method, request_deserializer=read, response_serializer=write)


@contextmanager
def serving(project: FakeProject) -> Iterator[Services]:
    """Serve a project; gives the official clients, connected to it."""
    server = grpc.server(ThreadPoolExecutor(4))
    for name, methods in {
        "google.logging.v2.MetricsServiceV2": {
            "ListLogMetrics": _serving(
                project.list_metrics, logs.ListLogMetricsRequest, logs.ListLogMetricsResponse
            ),
            "CreateLogMetric": _serving(project.create_metric, logs.CreateLogMetricRequest, logs.LogMetric),
            "UpdateLogMetric": _serving(project.update_metric, logs.UpdateLogMetricRequest, logs.LogMetric),
        },
        "google.monitoring.dashboard.v1.DashboardsService": {
            "ListDashboards": _serving(
                project.list_dashboards, boards.ListDashboardsRequest, boards.ListDashboardsResponse
            ),
            "CreateDashboard": _serving(
                project.create_dashboard, boards.CreateDashboardRequest, boards.Dashboard
            ),
            "UpdateDashboard": _serving(
                project.update_dashboard, boards.UpdateDashboardRequest, boards.Dashboard
            ),
        },
        "google.monitoring.v3.AlertPolicyService": {
            "ListAlertPolicies": _serving(
                project.list_alerts,
                monitoring_v3.ListAlertPoliciesRequest,
                monitoring_v3.ListAlertPoliciesResponse,
            ),
            "CreateAlertPolicy": _serving(
                project.create_alert, monitoring_v3.CreateAlertPolicyRequest, monitoring_v3.AlertPolicy
            ),
            "UpdateAlertPolicy": _serving(
                project.update_alert, monitoring_v3.UpdateAlertPolicyRequest, monitoring_v3.AlertPolicy
            ),
            "DeleteAlertPolicy": _serving(
                lambda *_: project.writes.append("delete"),
                monitoring_v3.DeleteAlertPolicyRequest,
                empty_pb2.Empty,
            ),
        },
    }.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)])
    try:
        yield Services(
            MetricsServiceV2Client(transport=MetricsServiceV2GrpcTransport(channel=channel)),
            boards.DashboardsServiceClient(transport=DashboardsServiceGrpcTransport(channel=channel)),
            monitoring_v3.AlertPolicyServiceClient(
                transport=AlertPolicyServiceGrpcTransport(channel=channel)
            ),
        )
    finally:
        channel.close()
        server.stop(None).wait()
