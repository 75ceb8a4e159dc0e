"""Whose word counts just now: the phase decides it, and the phase can change while a run goes on.

A run that lists millions of objects outlives a cutover. So nobody who replicates keeps an authority; they keep a `Ruling`
and ask it when they decide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.decision import Authority
from shared.phase import Phase, PhaseReader

__all__ = ["Always", "ByPhase", "Ruling"]


class Ruling(Protocol):
    """Tells whose word counts. For any number of threads."""

    def ask(self) -> Authority:
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

    def ask(self) -> Authority:
        """See `Ruling.ask`."""
        return self.authority

    def known(self) -> Authority | None:
        """See `Ruling.known`."""
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

    def ask(self) -> Authority:
        """See `Ruling.ask`."""
        return self.authority(self.phases.phase())

    def known(self) -> Authority | None:
        """See `Ruling.known`."""
        phase = self.phases.known()
        return None if phase is None else self.authority(phase)
