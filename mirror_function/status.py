"""The status page's entry: takes an HTTP request, returns the page. Deployed behind IAM, beside the mirror.

It has the same environment variables as the mirror. Each request reads two small objects of the migration's own, so
read permission is enough. The first request makes the application, in the worker that serves it.
"""

import functools
import os
from datetime import UTC, datetime

import flask
import functions_framework
from werkzeug.wrappers import Response

from mirror_function.settings import MirrorSettings
from shared.gateway import Gateway
from shared.report.loading import Status, read_status
from shared.report.web import create_app

__all__ = ["status_page"]

RETRY_DEADLINE = 10.0
"""Seconds for which the client repeats a read. A person waits for the page, and can reload it."""


@functions_framework.http
def status_page(request: flask.Request) -> Response:
    """Answer one request, of any method and path, with the application's answer."""
    # A copy: the framework keeps its own request in the original.
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
        UsageError: The environment does not name the migration, or has no credentials. The cache does not keep the
            error: the next request tries again.
    """
    settings = MirrorSettings.from_environ(os.environ)
    gateway = Gateway(
        connections=settings.connections,
        billing_project=settings.billing_project,
        retry_deadline=RETRY_DEADLINE,
        retry_initial=0.2,
        request_timeout=10.0,
    )
    return settings, gateway


def _now() -> datetime:
    return datetime.now(UTC)
