"""Preconditions: do it only if the object is still the one I saw.

Cloud Storage documentation, "Request preconditions". An absent object has generation 0 and no metageneration: so
``ifGenerationMatch=0`` asks for absence, and ``ifMetagenerationMatch`` never holds on an absent object.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from local_gcs.errors import condition_failed, invalid, not_modified
from local_gcs.objects import ObjectVersion

__all__ = ["NONE", "Conditions", "integer", "parse_conditions", "parse_source_conditions"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Up to four conditions on one object; None asks nothing."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def require(self, version: ObjectVersion | None, *, reading: bool = False) -> None:
        """Let the operation go on only if all hold.

        Args:
            version: What is there, None when nothing is.
            reading: The operation only reads: a failed not-match then means "not modified".

        Raises:
            Refused: 412, or 304 for a failed not-match while reading.
        """
        if self is NONE:
            return
        generation = version.generation if version else 0
        metageneration = version.metageneration if version else None
        if self.generation_match not in {None, generation}:
            raise condition_failed()
        if self.metageneration_match is not None and self.metageneration_match != metageneration:
            raise condition_failed()
        if self.generation_not_match == generation or (
            self.metageneration_not_match is not None and self.metageneration_not_match == metageneration
        ):
            raise not_modified() if reading else condition_failed()


NONE = Conditions()
"""No condition at all."""

OF_OBJECT = (
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
)
OF_SOURCE = tuple(name.replace("if", "ifSource", 1) for name in OF_OBJECT)


def integer(params: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a whole number, None when it is not given.

    Raises:
        Refused: 400; it is something else.
    """
    text = params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise invalid(f"Invalid long value: '{text}'.", location=name) from error


def parse_conditions(params: Mapping[str, str]) -> Conditions:
    """The conditions of a query on the object written, read or deleted.

    Raises:
        Refused: 400; one is not a number.
    """
    return _parse(params, OF_OBJECT)


def parse_source_conditions(params: Mapping[str, str]) -> Conditions:
    """The conditions of a query on the object copied.

    Raises:
        Refused: 400; one is not a number.
    """
    return _parse(params, OF_SOURCE)


def _parse(params: Mapping[str, str], names: tuple[str, ...]) -> Conditions:
    if params.keys().isdisjoint(names):
        return NONE
    return Conditions(*[integer(params, name) for name in names])
