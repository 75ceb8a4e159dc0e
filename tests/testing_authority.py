"""An authority whose phase changes, for tests of code that asks for one."""

from dataclasses import dataclass, field

from shared.authority import Known
from shared.decision import Authority
from shared.erasures import NO_ERASURES, Erasures
from shared.errors import PhaseChanged, StorageError

__all__ = ["UntilAnotherPhase"]


@dataclass
class UntilAnotherPhase:
    """Allows so many writes. Then another command changes the phase, and every question raises `error`."""

    authority: Authority
    left: int
    error: StorageError = field(
        default_factory=lambda: PhaseChanged("gs://new/_migration/state.json", "the phase is another one now")
    )

    def current(self) -> Authority:
        if not self.left:
            raise self.error
        self.left -= 1
        return self.authority

    def known(self) -> Known | None:
        return None

    def erasures(self) -> Erasures:
        return NO_ERASURES
