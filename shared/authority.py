"""Which side wins at this moment: source, destination or the later write. Read again before every decision.

The phase decides it, and a run that lists millions of objects outlives a cutover. So code that replicates never keeps an
`Authority`: it keeps an `AuthoritySource` and reads it for each decision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.decision import Authority
from shared.phase import Phase, PhaseReader

__all__ = ["Always", "AuthoritySource", "ByPhase"]


class AuthoritySource(Protocol):
    """Tells which side wins. Any number of threads may use it."""

    def current(self) -> Authority:
        """Which side wins now. May have to read the phase.

        Raises:
            StorageError: The phase could not be read.
        """
        ...

    def known(self) -> Authority | None:
        """Which side wins now, without waiting; None if the phase has to be read first."""
        ...


@dataclass(frozen=True, slots=True)
class Always:
    """The same authority in every phase."""

    authority: Authority

    def current(self) -> Authority:
        """See `AuthoritySource.current`."""
        return self.authority

    def known(self) -> Authority | None:
        """See `AuthoritySource.known`."""
        return self.authority


@dataclass(frozen=True, slots=True)
class ByPhase:
    """The authority that `authority` gives for the phase that `phases` reads."""

    phases: PhaseReader
    authority: Callable[[Phase], Authority]

    def current(self) -> Authority:
        """See `AuthoritySource.current`."""
        return self.authority(self.phases.phase())

    def known(self) -> Authority | None:
        """See `AuthoritySource.known`."""
        phase = self.phases.known()
        return None if phase is None else self.authority(phase)
