"""Everything that can go wrong, as a small tree.

::

    MigrationError
    ├── UsageError             the question itself is wrong: arguments, names, configuration   (exit code 2)
    ├── CannotWrite            a report or log cannot be written here: disk full, say
    ├── Interrupted            somebody stopped it; nothing is lost, the same command goes on
    └── StorageError           Cloud Storage said no, or said nothing
        ├── ConditionFailed    a generation condition did not hold: somebody wrote since we looked; look again
        ├── ObjectNotFound     the object named is not there (never raised by a look, which returns None)
        ├── BucketNotFound     the bucket is not there
        ├── PermissionDenied   this account may not
        ├── ObjectProtected    a hold or a retention policy forbids it
        ├── Unavailable        no answer, throttled, or a fault of the service: another try can help
        ├── Contended          the object changed under every one of our attempts: another try can help
        ├── NotSettled         the version is too young to tell a write from a late copy: wait, then try again
        ├── PhaseUnknown       the migration's state is damaged: nothing is done until it is mended; then another try helps
        ├── CopyNotProven      the copy's answer does not show what was to be copied
        └── UnexpectedAnswer   an answer nobody has planned for

Each says what happened, to which object, what it means and what to do; ``transient`` says whether another try can
help. Loops ask that, never the class.
"""

__all__ = [
    "BucketNotFound",
    "CannotWrite",
    "ConditionFailed",
    "Contended",
    "CopyNotProven",
    "Interrupted",
    "MigrationError",
    "NotSettled",
    "ObjectNotFound",
    "ObjectProtected",
    "PermissionDenied",
    "PhaseUnknown",
    "StorageError",
    "Unavailable",
    "UnexpectedAnswer",
    "UsageError",
]


class MigrationError(Exception):
    """Base of every error this project raises on purpose. Its text is one line for an operator."""


class UsageError(MigrationError):
    """The question itself is wrong; nothing was started. The commands end with exit code 2."""


class CannotWrite(MigrationError):
    """A report cannot be written to its end. What was copied stays; the report is not complete."""


class Interrupted(MigrationError):
    """Somebody stopped it. Nothing is lost: the same command goes on where it was."""


class StorageError(MigrationError):
    """Cloud Storage said no, or said nothing.

    Attributes:
        uri: The bucket or object it is about, as ``gs://bucket/name``.
        detail: What happened and what it means, for a person.
        transient: Whether the same request may succeed later.
    """

    transient = False

    def __init__(self, uri: str, detail: str) -> None:
        super().__init__(f"{uri}: {detail}")
        self.uri = uri
        self.detail = detail


class ConditionFailed(StorageError):
    """A generation condition did not hold: somebody wrote since we looked. Look again."""


class ObjectNotFound(StorageError):
    """The object named is not there (any more)."""


class BucketNotFound(StorageError):
    """The bucket is not there."""


class PermissionDenied(StorageError):
    """The account in use may not do this. IAM changes take minutes to arrive, so a caller may still choose to wait."""


class ObjectProtected(StorageError):
    """A hold or a retention policy forbids replacing or deleting this object."""


class Unavailable(StorageError):
    """No answer, throttled, or a fault of the service, after the gateway's own tries."""

    transient = True


class Contended(StorageError):
    """The object changed under every one of our attempts."""

    transient = True


class NotSettled(StorageError):
    """The version would replace another one, and is too young to tell a later write from a late copy.

    Attributes:
        seconds: After which it can be told.
    """

    transient = True

    def __init__(self, uri: str, seconds: float) -> None:
        super().__init__(
            uri, f"too young to be taken for a later write; in {seconds:.1f} seconds it can be told"
        )
        self.seconds = seconds


class PhaseUnknown(StorageError):
    """The migration's state is damaged, so nobody knows whose word counts. Nothing is done until it is mended."""

    transient = True


class CopyNotProven(StorageError):
    """A copy was made, but its answer does not show what was to be copied."""


class UnexpectedAnswer(StorageError):
    """An answer nobody has planned for."""
