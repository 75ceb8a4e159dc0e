"""A real local Cloud Storage process for the tests, and pairs of prefixes in it."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import local_gcs
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import ObjectState

# A deadline would assert a timing, and machines differ.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Paths:
    """A source and a destination prefix of their own, on a server that other tests use too."""

    server: local_gcs.LocalServer
    client: storage.Client
    migration: Migration

    def bucket(self, side: str) -> Any:
        return self.client.bucket(getattr(self.migration, side).bucket)

    def put(self, relative: str, data: bytes = b"{}\n", *, side: str = "source", **attributes: Any) -> int:
        """Upload an object below a prefix, as its writer would; gives its generation."""
        blob = self.bucket(side).blob(getattr(self.migration, side).prefix + relative)
        content_type = attributes.pop("content_type", "application/json")
        for name, value in attributes.items():
            setattr(blob, name, value)
        blob.upload_from_string(data, content_type=content_type)
        return int(blob.generation)

    def read(self, relative: str, *, side: str = "destination") -> bytes:
        blob = self.bucket(side).blob(getattr(self.migration, side).prefix + relative)
        return bytes(blob.download_as_bytes())

    def delete(self, relative: str, *, side: str = "source") -> None:
        self.bucket(side).blob(getattr(self.migration, side).prefix + relative).delete()

    def names(self, *, side: str = "destination") -> list[str]:
        prefix = getattr(self.migration, side).prefix
        return [blob.name[len(prefix) :] for blob in self.bucket(side).list_blobs(prefix=prefix)]

    def look(self, relative: str, *, side: str = "destination") -> ObjectState | None:
        blob = self.bucket(side).get_blob(getattr(self.migration, side).prefix + relative)
        return None if blob is None else ObjectState.from_resource(blob._properties)

    def requests(self, method: str) -> int:
        """Requests of one API method since the server's counts were last reset."""
        return self.server.count(method)


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
    server.reset_stats()
    yield Paths(server, client, Migration(*pair))
    server.clear_faults()


@pytest.fixture
def gateway(server: local_gcs.LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    gateway = Gateway(retry_deadline=5.0, retry_initial=0.01)
    yield gateway
    gateway.close()


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
