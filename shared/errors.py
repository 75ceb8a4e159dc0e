"""Every error that this project raises, as a small tree.

::

    MigrationError
    ├── UsageError             wrong input: arguments, names, configuration   (exit code 2)
    ├── CannotWrite            a report or log cannot be written: disk full, for example
    ├── Interrupted            somebody stopped the command; nothing is lost, and the same command continues
    └── StorageError           Cloud Storage refused, or did not answer
        ├── ConditionFailed    precondition failed: somebody wrote since our look; look again
        ├── ObjectNotFound     the object does not exist (a look never raises it, but returns None)
        ├── BucketNotFound     the bucket does not exist
        ├── PermissionDenied   the account lacks the permission
        ├── ObjectProtected    a hold or a retention policy forbids it
        ├── Unavailable        no answer, throttled, or a fault of the service: a retry can help
        ├── Contended          the object changed during each of our attempts: a retry can help
        ├── NotSettled         the version is too young to tell a write from a late copy: wait, then retry
        ├── PhaseUnknown       the migration's state is damaged: repair it, then a retry helps
        ├── PhaseChanged       the phase no longer allows this pass: the pass stops
        ├── CopyNotProven      the answer to a copy does not show the object that was to be copied
        └── UnexpectedAnswer   an answer that the code does not know

Each error says what happened, to which object, what it means and what to do. ``transient`` says whether a retry can
help. Loops read ``transient`` and never the class.
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
    "PhaseChanged",
    "PhaseUnknown",
    "StorageError",
    "Unavailable",
    "UnexpectedAnswer",
    "UsageError",
]


class MigrationError(Exception):
    """Base of every error that this project raises on purpose. Its text is one line for an operator."""


class UsageError(MigrationError):
    """The input is wrong, and nothing was started. The commands end with exit code 2."""


class CannotWrite(MigrationError):
    """A report cannot be written completely. The objects that were copied stay."""


class Interrupted(MigrationError):
    """Somebody stopped the command. Nothing is lost: the same command continues where it stopped."""


class StorageError(MigrationError):
    """Cloud Storage refused, or did not answer.

    Attributes:
        uri: The bucket or object, as ``gs://bucket/name``.
        detail: What happened and what it means, for a person.
        transient: Whether the same request may succeed later.
    """

    transient = False

    def __init__(self, uri: str, detail: str) -> None:
        super().__init__(f"{uri}: {detail}")
        self.uri = uri
        self.detail = detail


class ConditionFailed(StorageError):
    """Precondition failed: the generation changed since our look. Look again."""


class ObjectNotFound(StorageError):
    """The object does not exist, or not any more."""


class BucketNotFound(StorageError):
    """The bucket does not exist."""


class PermissionDenied(StorageError):
    """The account lacks the permission. IAM changes take minutes to take effect, so a caller may still wait."""


class ObjectProtected(StorageError):
    """A hold or a retention policy forbids replacing or deleting this object."""


class Unavailable(StorageError):
    """No answer, throttled, or a fault of the service, after the gateway's own retries."""

    transient = True


class Contended(StorageError):
    """The object changed during each of our attempts."""

    transient = True


class NotSettled(StorageError):
    """The version would replace another one, and is too young to tell a later write from a late copy.

    Attributes:
        seconds: After this time, a retry can tell.
    """

    transient = True

    def __init__(self, uri: str, seconds: float) -> None:
        super().__init__(
            uri, f"too young to be taken for a later write; in {seconds:.1f} seconds it can be told"
        )
        self.seconds = seconds


class PhaseUnknown(StorageError):
    """The migration's state is damaged, so the source of truth is unknown. Nothing is done until it is repaired."""

    transient = True


class PhaseChanged(StorageError):
    """The phase is no longer one that allows this pass. The whole pass stops, and a retry does not help."""


class CopyNotProven(StorageError):
    """A copy was made, but its answer does not show the object that was to be copied."""


class UnexpectedAnswer(StorageError):
    """An answer that the code does not know."""
