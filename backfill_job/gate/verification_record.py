"""The latest verification's report, read for the gate: this migration's, and of everything, or not at all. Pure."""

from shared.errors import UsageError
from shared.report.advice import Target
from shared.report.facts import Verification
from shared.report.reading import read_verification, require_migration
from shared.strict_json import parse_json

__all__ = ["read_verification_record"]


def read_verification_record(contents: bytes, where: str, target: Target) -> Verification:
    """Read a verification's report.

    Args:
        contents: The file's.
        where: Its name, for errors.
        target: Whose it should be.

    Returns:
        What it says.

    Raises:
        UsageError: It is damaged, contradicts itself, is of a part only, or another migration's.
    """
    try:
        content = parse_json(contents)
        found = read_verification(content)
        require_migration(content, "the verification", target.source, target.destination)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{where}: no JSON ({error}); run verify again") from error
    if content.get("narrowed", "unknown") is not None:
        raise UsageError(f"{where}: it is not known to be of everything; run verify again, without --since")
    return found
