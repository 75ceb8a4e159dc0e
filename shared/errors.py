"""Every error that this project raises: `MigrationError`, its own kinds, and below `StorageError` what Cloud Storage answers.

Each error says what happened, to which object, what it means and what to do. ``transient`` says whether a retry can
help. Loops read ``transient`` and never the class. ``cause`` says why in a few words, and what mends it.
"""

from enum import Enum
from typing import ClassVar

__all__ = [
    "BucketNotFound",
    "CannotWrite",
    "Cause",
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
    "Refused",
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


class Cause(Enum):
    """Why a request failed, for the end of a run, which groups the failures. The values are for people."""

    NO_ANSWER = "no answer, a fault of the service, or too many requests"
    OBJECT_RATE = "too many writes to one object name"
    CHANGED = "the object changed during the attempts"
    CONFLICT = "another operation is in the way"
    STOPPED = "the run was stopped before an answer came"
    HOLD = "a hold forbids it"
    RETENTION = "a retention policy forbids it"
    KEY = "the encryption key cannot be used"
    PAYER = "the bucket wants a project that pays"
    BILLING = "the project's billing account is not in order"
    ORGANIZATION = "a policy of the organization forbids it"
    PERMISSION = "permission denied"
    BUCKET = "the bucket does not exist"
    SOFT_DELETE = "the bucket has no soft delete policy"
    STATE = "the migration's state is damaged"
    PHASE = "the migration's phase changed"
    NAME = "the name is not possible at the destination"
    NOT_PROVEN = "the copy differs from its source"
    ODD_ANSWER = "an answer that cannot be read"
    REFUSED = "Cloud Storage refused it"

    @property
    def again(self) -> bool:
        """Whether the same command may succeed although nothing was mended."""
        return self in _AGAIN

    @property
    def fix(self) -> str:
        """What a person does about it."""
        return "" if self in _AGAIN else _FIXES[self]


_AGAIN = {Cause.NO_ANSWER, Cause.OBJECT_RATE, Cause.CHANGED, Cause.CONFLICT, Cause.STOPPED}

_FIXES = {
    Cause.HOLD: "Release the hold, or leave the object as it is. `gcloud storage objects describe` shows which hold it has.",
    Cause.RETENTION: "Wait until the retention period is over, or have the policy changed. "
    "`gcloud storage objects describe` shows until when.",
    Cause.KEY: "Enable the key version in Cloud KMS, and let the Cloud Storage service agent use the key.",
    Cause.PAYER: "Name the project that pays with --billing-project (the mirror: MIRROR_BILLING_PROJECT). "
    "The account needs serviceusage.services.use there.",
    Cause.BILLING: "Have the billing account of the project that the answer names put in order.",
    Cause.ORGANIZATION: "Ask the organization's administrators: the answer names the policy.",
    Cause.PERMISSION: "Give the account the permission that the answer names. `smoke` shows all that are missing.",
    Cause.BUCKET: "Check the bucket's name, or create the bucket.",
    Cause.SOFT_DELETE: "Give the bucket a soft delete policy.",
    Cause.STATE: "Repair the state: the error says what is damaged.",
    Cause.PHASE: "See `status`: another command changed the phase.",
    Cause.NAME: "Rename the object at the source, or leave it behind with --exclude.",
    Cause.NOT_PROVEN: "Compare the two objects by hand.",
    Cause.ODD_ANSWER: "See the answer: something between here and Cloud Storage may have changed it.",
    Cause.REFUSED: "See the answer, and change what it names.",
}


class StorageError(MigrationError):
    """Cloud Storage refused, or did not answer.

    Attributes:
        uri: The bucket or object, as ``gs://bucket/name``.
        detail: What happened and what it means, for a person.
        transient: Whether the same request may succeed later.
        cause: Why, for a run that groups its failures; the class's own, or a closer one.
    """

    transient = False
    usual: ClassVar[Cause] = Cause.REFUSED

    def __init__(self, uri: str, detail: str, cause: Cause | None = None) -> None:
        super().__init__(f"{uri}: {detail}")
        self.uri = uri
        self.detail = detail
        self.cause = cause or self.usual


class ConditionFailed(StorageError):
    """Precondition failed: the generation changed since our look. Look again."""

    usual = Cause.CHANGED


class ObjectNotFound(StorageError):
    """The object does not exist, or not any more."""

    usual = Cause.CHANGED


class BucketNotFound(StorageError):
    """The bucket does not exist."""

    usual = Cause.BUCKET


class PermissionDenied(StorageError):
    """The account may not do this, or not without a project that pays.

    IAM changes take minutes to take effect, so a caller may still wait.
    """

    usual = Cause.PERMISSION


class ObjectProtected(StorageError):
    """A hold or a retention policy forbids replacing or deleting this object."""

    usual = Cause.HOLD


class Refused(StorageError):
    """Cloud Storage refused it with a reason. The same request succeeds when somebody has changed what the reason names."""


class Unavailable(StorageError):
    """No answer, throttled, or a fault of the service, after the gateway's own retries."""

    transient = True
    usual = Cause.NO_ANSWER


class Contended(StorageError):
    """The object changed during each of our attempts."""

    transient = True
    usual = Cause.CHANGED


class NotSettled(StorageError):
    """The version would replace another one, and is too young to tell a later write from a late copy for so many seconds."""

    transient = True
    usual = Cause.CHANGED

    def __init__(self, uri: str, seconds: float) -> None:
        super().__init__(
            uri, f"too young to be taken for a later write; in {seconds:.1f} seconds it can be told"
        )
        self.seconds = seconds


class PhaseUnknown(StorageError):
    """The migration's state is damaged, so the source of truth is unknown. Nothing is done until it is repaired."""

    transient = True
    usual = Cause.STATE


class PhaseChanged(StorageError):
    """The phase is no longer one that allows this pass. The whole pass stops, and a retry does not help."""

    usual = Cause.PHASE


class CopyNotProven(StorageError):
    """A copy was made, but its answer does not show the object that was to be copied."""

    usual = Cause.NOT_PROVEN


class UnexpectedAnswer(StorageError):
    """An answer that the code does not know."""

    usual = Cause.ODD_ANSWER
