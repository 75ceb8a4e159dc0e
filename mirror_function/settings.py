"""The function's configuration: environment variables, read once, at the first event."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.decision import Authority
from shared.errors import UsageError
from shared.migration import DEFAULT_EXCLUDES, Environment, Location, Migration, qpi_exports
from shared.phase import Phase

__all__ = ["MirrorSettings"]

GIVE_UP_AFTER = 23 * 3600.0
"""Seconds. Eventarc delivers an event for 24 hours at most (Eventarc documentation, "Retry events"). The last hour is
left for the delivery that drops the event and logs it."""


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """The mirror's configuration.

    Attributes:
        migration: From the legacy path to the new one, also for the reverse mirror.
        deletes: Whether the mirror follows deletions at the source (``MIRROR_DELETES``).
        reverse: Whether this mirror copies the new path's events back to the legacy path (``MIRROR_REVERSE``).
        give_up_after: Seconds after which a failing event is dropped, and an alert fires.
        project: The Google Cloud project, for the log's trace links; empty if unknown.
        retry_deadline: Seconds for which the client repeats one request within one delivery.
        connections: The most requests under way at once, for each of the two clients; and the threads of one instance.
        billing_project: Pays for the requests to a requester-pays bucket; empty for none (``MIRROR_BILLING_PROJECT``).
    """

    migration: Migration
    deletes: bool = False
    reverse: bool = False
    give_up_after: float = GIVE_UP_AFTER
    project: str = ""
    retry_deadline: float = 30.0
    connections: int = 16
    billing_project: str = ""

    @property
    def way(self) -> Migration:
        """The migration in the direction in which this mirror copies."""
        return self.migration.reversed() if self.reverse else self.migration

    def authority(self, phase: Phase) -> Authority | None:
        """Which side wins in a phase, in this mirror's direction; None where it copies nothing."""
        return phase.reverse_authority if self.reverse else phase.forward_authority

    @staticmethod
    def from_environ(environ: Mapping[str, str]) -> "MirrorSettings":
        """Read ``MIRROR_*`` and ``GOOGLE_CLOUD_PROJECT``.

        Args:
            environ: The process's environment. It has either ``MIRROR_ENV`` (dev, stg, prod: the QPI preset), or both
                ``MIRROR_SOURCE`` and ``MIRROR_DESTINATION`` (``gs://bucket/prefix/``). Optional:

                - ``MIRROR_EXCLUDE``: shell patterns, one on each line, instead of the default;
                - ``MIRROR_DELETES``, ``MIRROR_REVERSE``: true or false;
                - ``MIRROR_GIVE_UP_AFTER_S``, ``MIRROR_RETRY_DEADLINE_S``: seconds;
                - ``MIRROR_BILLING_PROJECT``: the project that pays for requests to a requester-pays bucket.

        Raises:
            UsageError: A variable is missing or invalid.
        """
        deletes, reverse = _switch(environ, "MIRROR_DELETES"), _switch(environ, "MIRROR_REVERSE")
        if deletes and reverse:
            raise UsageError(
                "MIRROR_DELETES and MIRROR_REVERSE are both true: deletions are followed from the legacy path only"
            )
        return MirrorSettings(
            migration=_migration(environ),
            deletes=deletes,
            reverse=reverse,
            give_up_after=_seconds(environ, "MIRROR_GIVE_UP_AFTER_S", GIVE_UP_AFTER),
            project=environ.get("GOOGLE_CLOUD_PROJECT", ""),
            retry_deadline=_seconds(environ, "MIRROR_RETRY_DEADLINE_S", 30.0),
            billing_project=environ.get("MIRROR_BILLING_PROJECT", ""),
        )


def _migration(environ: Mapping[str, str]) -> Migration:
    patterns = environ.get("MIRROR_EXCLUDE")
    excludes = (
        DEFAULT_EXCLUDES if patterns is None else tuple(filter(None, map(str.strip, patterns.splitlines())))
    )
    name, source, destination = (
        environ.get(f"MIRROR_{part}", "") for part in ("ENV", "SOURCE", "DESTINATION")
    )
    if name and (source or destination):
        raise UsageError("set either MIRROR_ENV or both MIRROR_SOURCE and MIRROR_DESTINATION, not a mixture")
    if name:
        known = [environment.value for environment in Environment]
        if name not in known:
            raise UsageError(f"MIRROR_ENV is {name!r}; one of {', '.join(known)} is wanted")
        return qpi_exports(Environment(name), excludes)
    if not source or not destination:
        raise UsageError("set MIRROR_ENV, or both MIRROR_SOURCE and MIRROR_DESTINATION (gs://bucket/prefix/)")
    return Migration(Location.parse(source), Location.parse(destination), excludes)


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "").lower()
    if text not in {"", "true", "false"}:
        raise UsageError(f"{name} is {text!r}; true or false is wanted")
    return text == "true"


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{name} is {text!r}; a number of seconds above 0 is wanted")
    return seconds
