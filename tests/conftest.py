"""A real local Cloud Storage process for the tests, and pairs of prefixes in it."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from testing_commands import Commands
from testing_deletion import Scene
from testing_paths import Paths

import local_gcs
from shared.gateway import Gateway
from shared.migration import Location, Migration

# A deadline would assert a timing, and machines differ.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[local_gcs.LocalServer]:
    with local_gcs.running() as running:
        yield running


@pytest.fixture(scope="session")
def client(server: local_gcs.LocalServer) -> Iterator[storage.Client]:
    client = storage.Client(
        project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url}
    )
    yield client
    client._http.close()


@pytest.fixture
def paths(server: local_gcs.LocalServer, client: storage.Client) -> Iterator[Paths]:
    number = next(_numbers)
    pair = [Location(f"legacy-{number}", "QPI_exports/"), Location(f"new-{number}", "qpi_exports/")]
    for location in pair:
        client.create_bucket(location.bucket)
    paths = Paths(server, client, Migration(*pair))
    paths.begin()
    server.reset_stats()
    server.forget_dead_letters()  # of the tests before
    yield paths
    server.clear_faults()


@pytest.fixture
def gateway(server: local_gcs.LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    gateway = Gateway(retry_deadline=60.0, retry_initial=0.01)
    yield gateway
    gateway.close()


@pytest.fixture
def commands(paths: Paths, gateway: Gateway, tmp_path: Path) -> Commands:
    """The operator's commands, on the test's own pair of prefixes."""
    return Commands(paths, tmp_path, gateway)


@pytest.fixture
def scene(paths: Paths, commands: Commands, tmp_path: Path) -> Scene:
    """A pair of prefixes with the operator's commands, for deletions and undos."""
    return Scene(paths, commands, tmp_path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``-n auto``: one worker more than cores, because half of a test's time is waiting for other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, so that the other workers do the rest meanwhile."""
    items.sort(key=lambda item: "test_e2e_whole_story" not in item.nodeid)
