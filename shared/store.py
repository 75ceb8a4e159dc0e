"""The few things the replication rule asks of Cloud Storage, each saying what is atomic and what "absent" is.

``shared.gateway`` keeps these promises over the network; the race tests' model keeps them in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.objects import ObjectRef, ObjectState

__all__ = ["ContentsStore", "DeletingStore", "ListingPage", "ListingStore", "ObjectStore"]


class ObjectStore(Protocol):
    """Reading and copying single objects."""

    def look(self, at: ObjectRef) -> ObjectState | None:
        """Read one object's live version. Strongly consistent.

        Returns:
            Its state; None only when the bucket is there and has no such object.

        Raises:
            StorageError: Anything else that is not an answer to the question.
        """
        ...

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        """Copy server-side, contents and metadata, if both sides are still what they were.

        The commit at the destination is atomic with its condition. The source condition asks for the *live*
        generation: an overwritten version is not copied even where it could still be read.

        Args:
            source: What to copy.
            destination: Where to.
            if_source: The source's live generation must be this.
            if_destination: The destination's live generation must be this; 0 = it must be absent.

        Returns:
            The destination as it was right after the copy.

        Raises:
            ConditionFailed: One of the two was something else; or it was our own copy whose answer was lost and
                repeated. Look again to find out.
            ObjectNotFound: There is no source object.
            StorageError: Anything else; the copy may or may not have happened.
        """
        ...


class DeletingStore(ObjectStore, Protocol):
    """Deleting single objects, too."""

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """Delete one object's live version, atomically with its condition.

        Args:
            at: What to delete.
            if_generation: The live generation must be this.

        Raises:
            ConditionFailed: It was something else; nothing was deleted.
            ObjectNotFound: There is no such object; perhaps it was our own deletion, repeated after a lost answer.
            StorageError: Anything else; the deletion may or may not have happened.
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
            bucket: Bucket name.
            prefix: Only names that start with this, byte for byte.
            start: Only names from this on (complete names, inclusive); empty for no bound.
            end: Only names before this (complete names, exclusive); empty for no bound.

        Yields:
            Pages of at most 1,000 objects; none for an empty prefix.

        Raises:
            BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: The listing is incomplete and must not
                be used for a verdict.
        """
        ...


class ContentsStore(Protocol):
    """Reading and writing small objects as a whole, such as the migration's own."""

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        """Read an object's contents, and which generation they are. Strongly consistent; the two belong together.

        Returns:
            The generation and its contents; None only when the bucket is there and has no such object.

        Raises:
            StorageError: Anything else that is not an answer to the question.
        """
        ...

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        """Write an object as a whole, atomically with its condition.

        Args:
            at: Where.
            data: Its contents.
            if_generation: The live generation must be this; 0 = it must be absent.

        Raises:
            ConditionFailed: It was something else; or it was our own write, repeated after a lost answer. Read it.
            StorageError: Anything else; it may or may not have been written.
        """
        ...
