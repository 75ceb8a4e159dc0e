"""The latest verification, as the gate accepts it: this migration's, and of everything. Pure.

A module of its own, so that tests can give it any file.
"""

from shared.errors import UsageError
from shared.report.next_steps import Target
from shared.verification import Verification, read_verification

__all__ = ["read_verification_record"]


def read_verification_record(contents: bytes, where: str, target: Target) -> Verification:
    """Read ``verification.json``.

    Args:
        contents: The file's.
        where: The file's name, for errors.
        target: The migration it must be of.

    Raises:
        UsageError: It is damaged, contradicts itself, is of a part only, or another migration's.
    """
    found = read_verification(contents, where)
    found.require_migration(target.source, target.destination, where)
    if found.narrowed is not None:
        raise UsageError(f"{where}: it is of a part only; run verify again, without --since")
    return found
