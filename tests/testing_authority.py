"""An authority that no phase changes, for tests of code that asks for one."""

from dataclasses import dataclass

from shared.decision import Authority

__all__ = ["Always"]


@dataclass(frozen=True)
class Always:
    """The same authority in every phase."""

    authority: Authority

    def current(self) -> Authority:
        return self.authority

    def known(self) -> Authority | None:
        return self.authority
