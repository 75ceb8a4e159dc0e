"""The status page's function entry: an HTTP request in, the page out. Deployed behind IAM, beside the mirror.

Configured by the same environment variables as the mirror. It reads two small objects of the migration's own per request;
reading is all the permission it needs. The application is made at the first request, in the worker that serves it.
"""

import functools
import os
from datetime import UTC, datetime

import flask
import functions_framework
from werkzeug.wrappers import Response

from mirror_function.settings import MirrorSettings
from mirror_function.unreadable import entered
from shared.gateway import Gateway
from shared.report.loading import Status, read_status
from shared.report.web import create_app

__all__ = ["status_page"]

RETRY_DEADLINE = 10.0
"""Seconds over which a read is repeated. Somebody is waiting for the page, and can ask again."""


@functions_framework.http
def status_page(request: flask.Request) -> Response:
    """Answer one request.

    Args:
        request: As the framework took it: any method, any path.

    Returns:
        The application's answer.
    """
    entered()
    # A copy: the framework's own request is kept in the original.
    return Response.from_app(_app().wsgi_app, dict(request.environ))


@functools.cache
def _app() -> flask.Flask:
    return create_app(_load, now=_now)


def _load() -> Status:
    settings, gateway = _worker()
    return read_status(gateway, settings.migration, _now())


@functools.cache
def _worker() -> tuple[MirrorSettings, Gateway]:
    """Configure this worker.

    Raises:
        UsageError: The environment does not say whose status is wanted, or there are no credentials. Not kept: the
            next request tries again.
    """
    settings = MirrorSettings.from_environ(os.environ)
    gateway = Gateway(
        connections=settings.connections,
        retry_deadline=RETRY_DEADLINE,
        retry_initial=0.2,
        request_timeout=10.0,
    )
    return settings, gateway


def _now() -> datetime:
    return datetime.now(UTC)
