"""What the rule and the record need from Cloud Storage; each method says what is atomic and what "absent" means.

``shared.gateway`` keeps these promises over the network. The model of the race tests keeps them in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.objects import ObjectRef, ObjectState
from shared.server_time import ServerTime

__all__ = ["ContentsStore", "DeletingStore", "ListingPage", "ListingStore", "ObjectStore", "RecordStore"]


class ObjectStore(Protocol):
    """Reading and copying single objects."""

    def look(self, at: ObjectRef) -> ObjectState | None:
        """Read one object's live version. Strongly consistent.

        Returns:
            Its state; None only if the bucket exists and the object does not.

        Raises:
            StorageError: Every other answer, and a missing one.
        """
        ...

    def copy(
        self,
        source: ObjectRef,
        destination: ObjectRef,
        *,
        if_source: int,
        if_destination: int,
        like: ObjectState | None = None,
    ) -> ObjectState:
        """Copy contents and metadata server-side, if both sides are still at the generations seen.

        The commit at the destination is atomic with its condition. The source condition requires the *live*
        generation: an overwritten version is not copied, even where it could still be read.

        Args:
            if_destination: The destination's live generation must be this; 0 = it must be absent.
            like: The source as it was seen, with the storage class that the copy shall have. Its metadata must still be the
                same. None for the source's metadata and the default class of the destination's bucket.

        Returns:
            The destination right after the copy.

        Raises:
            ConditionFailed: One side has another generation. Or our own copy succeeded, its answer was lost, and this
                is the answer to the repetition. Look again to find out.
            ObjectNotFound: The source is absent.
            StorageError: Every other failure; the copy may or may not have happened.
        """
        ...


class DeletingStore(ObjectStore, Protocol):
    """Also deletes single objects."""

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """Delete one object's live version, atomically with its condition.

        Raises:
            ConditionFailed: The live generation is not `if_generation`; nothing was deleted.
            ObjectNotFound: The object is absent; perhaps after our own deletion, repeated after a lost answer.
            StorageError: Every other failure; the deletion may or may not have happened.
        """
        ...


@dataclass(frozen=True, slots=True)
class ListingPage:
    """One page of a listing, in the order of the names' UTF-8 bytes."""

    objects: Sequence[ObjectState]


class ListingStore(Protocol):
    """Listing a prefix."""

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        """List live objects in the order of their names' UTF-8 bytes. Not a snapshot.

        Args:
            prefix: Only names that start with this, byte for byte.
            start: Only names from this on (complete names, inclusive); empty for no bound.
            end: Only names before this (complete names, exclusive); empty for no bound.

        Yields:
            Pages of at most 1,000 objects; none for an empty prefix.

        Raises:
            BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: The listing is incomplete, and a verdict
                must not rest on it.
        """
        ...


class ContentsStore(Protocol):
    """Reading and writing small objects as a whole, such as the migration's own."""

    def read(self, at: ObjectRef) -> bytes | None:
        """The contents that `read_version` gives. Raises as it does."""
        ...

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        """Read an object's generation and the contents of that generation. Strongly consistent.

        Returns:
            Both; None only if the bucket exists and the object does not.

        Raises:
            StorageError: Every other answer, and a missing one.
        """
        ...

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        """Write an object as a whole, atomically with its condition.

        Args:
            if_generation: The live generation must be this; 0 = it must be absent.

        Raises:
            ConditionFailed: It is another one; or our own write, repeated after a lost answer. Read it.
            StorageError: Every other failure; the object may or may not have been written.
        """
        ...


class RecordStore(ContentsStore, ListingStore, Protocol):
    """What reads and writes the migration's record, and reads the phase."""

    server_time: ServerTime
