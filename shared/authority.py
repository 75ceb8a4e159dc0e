"""Whose word counts just now: the phase decides it, and the phase can change while a run goes on.

A run that lists millions of objects outlives a cutover. So nobody who replicates keeps an authority; they keep a `AuthoritySource`
and ask it when they decide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.decision import Authority
from shared.phase import Phase, PhaseReader

__all__ = ["Always", "AuthoritySource", "ByPhase"]


class AuthoritySource(Protocol):
    """Tells whose word counts. For any number of threads."""

    def current(self) -> Authority:
        """Whose word counts now; may have to read the phase.

        Raises:
            StorageError: It could not be read.
        """
        ...

    def known(self) -> Authority | None:
        """Whose word counts now, where that is known without waiting."""
        ...


@dataclass(frozen=True, slots=True)
class Always:
    """The same word counts throughout.

    Attributes:
        authority: Whose.
    """

    authority: Authority

    def current(self) -> Authority:
        """See `AuthoritySource.current`."""
        return self.authority

    def known(self) -> Authority | None:
        """See `AuthoritySource.known`."""
        return self.authority


@dataclass(frozen=True, slots=True)
class ByPhase:
    """The phase decides.

    Attributes:
        phases: Reads it.
        authority: Whose word counts in a phase.
    """

    phases: PhaseReader
    authority: Callable[[Phase], Authority]

    def current(self) -> Authority:
        """See `AuthoritySource.current`."""
        return self.authority(self.phases.phase())

    def known(self) -> Authority | None:
        """See `AuthoritySource.known`."""
        phase = self.phases.known()
        return None if phase is None else self.authority(phase)
