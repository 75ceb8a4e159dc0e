"""Fixtures of the tests of the local Cloud Storage."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import requests
from local_gcs_lab import Http, Lab, Subscriber, subscribing

import local_gcs
from local_gcs.errors import RequestRefused

NUMBERS = count(1)


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def refused() -> Callable[..., tuple[int, str]]:
    """Call something that must be refused; gives status and reason."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[int, str]:
        with pytest.raises(RequestRefused) as caught:
            function(*args, **kwargs)
        return caught.value.status, caught.value.reason

    return call


@pytest.fixture(scope="module")
def server() -> Iterator[local_gcs.LocalServer]:
    """One real process for a module; each test has buckets of its own."""
    with local_gcs.running(arguments=["--event-first-pause=0.02", "--event-attempts=3"]) as running:
        yield running


@pytest.fixture
def http(server: local_gcs.LocalServer) -> Iterator[Http]:
    server.reset_stats()
    with requests.Session() as session:
        session.trust_env = False
        yield Http(server.url, session)
    server.clear_faults()


@pytest.fixture
def bucket(http: Http) -> str:
    """An empty bucket."""
    return http.bucket(f"bucket-{next(NUMBERS)}")


@pytest.fixture
def other(http: Http) -> str:
    """A second one."""
    return http.bucket(f"other-{next(NUMBERS)}")


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with subscribing() as subscriber:
        yield subscriber
