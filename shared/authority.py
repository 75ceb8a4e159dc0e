"""Which side wins at this moment: source, destination or the later write. Read again before every decision.

The phase decides it, and a run that lists millions of objects outlives a cutover. So code that replicates never keeps an
`Authority`: it keeps an `AuthoritySource` and reads it for each decision. Some passes belong to certain phases, for example
the one that a cutover makes. `InPhases` stops such a pass where the phase is another one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from shared.decision import Authority
from shared.erasures import NO_ERASURES, Erasures
from shared.errors import PhaseChanged
from shared.phase import Phase, PhaseReader

__all__ = ["Always", "AuthoritySource", "ByPhase", "InPhases", "Known", "current_authority"]


class Known(NamedTuple):
    """Which side wins, and since when an absence at the destination is an erasure: of one look at the record."""

    authority: Authority
    erasures: Erasures


class AuthoritySource(Protocol):
    """Tells which side wins. Any number of threads may use it."""

    def current(self) -> Authority:
        """Which side wins now. May have to read the phase.

        Raises:
            PhaseChanged: The phase no longer allows what the caller does.
            StorageError: The phase could not be read.
        """
        ...

    def known(self) -> Known | None:
        """What `current` and `erasures` say now, without waiting; None if the phase has to be read first.

        Raises:
            PhaseChanged: As in `current`.
        """
        ...

    def erasures(self) -> Erasures:
        """Since when an absence at the destination is an erasure.

        Raises:
            StorageError: The phase could not be read.
        """
        ...


async def current_authority(source: AuthoritySource) -> Authority:
    """Which side wins now; where the phase has to be read, a thread reads it. Raises as `AuthoritySource.current`."""
    known = source.known()
    return await asyncio.to_thread(source.current) if known is None else known.authority


@dataclass(frozen=True, slots=True)
class Always:
    """The same authority in every phase: for an analysis, which writes nothing. A pass that writes asks for the phase."""

    authority: Authority

    def current(self) -> Authority:
        """See `AuthoritySource.current`."""
        return self.authority

    def known(self) -> Known | None:
        """See `AuthoritySource.known`."""
        return Known(self.authority, NO_ERASURES)

    def erasures(self) -> Erasures:
        """See `AuthoritySource.erasures`."""
        return NO_ERASURES


@dataclass(frozen=True, slots=True)
class ByPhase:
    """The authority that `authority` gives for the phase that `phases` reads, from the legacy path to the new one.

    Attributes:
        include_erased: Whether what was erased is brought back; not what was erased by name on record.
    """

    phases: PhaseReader
    authority: Callable[[Phase], Authority]
    include_erased: bool = False

    def current(self) -> Authority:
        """See `AuthoritySource.current`."""
        return self.authority(self.phases.phase())

    def known(self) -> Known | None:
        """See `AuthoritySource.known`."""
        known = self.phases.known_with_erasures(reverse=False)
        return known and Known(self.authority(known[0]), self._counting(known[1]))

    def erasures(self) -> Erasures:
        """See `AuthoritySource.erasures`."""
        return self._counting(self.phases.erasures(reverse=False))

    def _counting(self, found: Erasures) -> Erasures:
        return replace(found, proven_at=None) if self.include_erased else found


@dataclass(frozen=True, slots=True)
class InPhases:
    """The authority of a pass that only some phases allow. In every other phase it raises `PhaseChanged`.

    Attributes:
        uri: The state, for the error.
        reverse: Whether the pass goes from the new path to the legacy path.
    """

    phases: PhaseReader
    allowed: frozenset[Phase]
    authority: Authority
    uri: str
    reverse: bool = False

    def current(self) -> Authority:
        """See `AuthoritySource.current`."""
        return self._in(self.phases.phase())

    def known(self) -> Known | None:
        """See `AuthoritySource.known`."""
        known = self.phases.known_with_erasures(reverse=self.reverse)
        return known and Known(self._in(known[0]), known[1])

    def erasures(self) -> Erasures:
        """See `AuthoritySource.erasures`."""
        return self.phases.erasures(reverse=self.reverse)

    def _in(self, phase: Phase) -> Authority:
        if phase not in self.allowed:
            allowed = " or ".join(each.value for each in Phase if each in self.allowed)
            raise PhaseChanged(
                self.uri, f"the phase is {phase.value} now, and this pass writes only in phase {allowed}"
            )
        return self.authority
