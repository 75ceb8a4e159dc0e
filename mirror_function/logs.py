"""The function's log: JSON lines on stdout, which Cloud Logging reads."""

import functools
import logging
import sys
from collections.abc import Mapping

from shared.events_log import LOGGER_NAME, JsonFormatter

__all__ = ["start_logging", "trace_fields"]


class _Stdout(logging.Handler):
    """Writes each record as one line in one call to whatever is stdout *then*.

    The functions framework puts its own stdout in place while it serves a request, to label lines with the execution;
    lines written in pieces would become several entries.
    """

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")
        sys.stdout.flush()


@functools.cache
def start_logging() -> None:
    """Send this process's log to stdout as JSON lines, once. Without this the framework drops everything below warning."""
    handler = _Stdout()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger(LOGGER_NAME).setLevel(logging.INFO)


def trace_fields(headers: Mapping[str, str], project: str) -> dict[str, str]:
    """The fields by which Cloud Logging ties a line to its request (Cloud Logging documentation, "Structured logging").

    Args:
        headers: The request's; ``X-Cloud-Trace-Context: TRACE/SPAN;o=1`` or ``traceparent: 00-TRACE-SPAN-01``.
        project: The Google Cloud project the trace belongs to.

    Returns:
        The fields; none when the project or the trace is unknown.
    """
    trace = headers.get("X-Cloud-Trace-Context", "").partition("/")[0]
    if not trace:
        parts = headers.get("Traceparent", "").split("-")
        trace = parts[1] if len(parts) > 1 else ""
    if not project or not trace:
        return {}
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{trace}"}
