"""The words that the pages use for verdicts, states, levels and phases; one place, so that they agree everywhere."""

from shared.phase import Phase
from shared.verification import DayState, Level, Verdict

__all__ = [
    "LEVEL_WORDS",
    "PHASE_SENTENCES",
    "PHASE_WORDS",
    "STATE_LETTERS",
    "STATE_WORDS",
    "VERDICT_MEANINGS",
    "VERDICT_WORDS",
]

VERDICT_WORDS = {
    Verdict.EQUAL: "equal",
    Verdict.MISSING: "missing",
    Verdict.CONTENT_DIFFERS: "content differs",
    Verdict.METADATA_DIFFERS: "metadata differs",
    Verdict.EXTRA: "extra",
    Verdict.IN_FLIGHT: "in flight",
    Verdict.EXCLUDED: "excluded",
    Verdict.ERASED: "erased since",
}

VERDICT_MEANINGS = {
    Verdict.EQUAL: "same size, checksums and metadata on both sides",
    Verdict.MISSING: "at the source, not at the destination",
    Verdict.CONTENT_DIFFERS: "another size or checksum, or none to compare",
    Verdict.METADATA_DIFFERS: "same contents, other metadata",
    Verdict.EXTRA: "at the destination only",
    Verdict.IN_FLIGHT: "changed during the verification, not settled",
    Verdict.EXCLUDED: "left out on request, not compared",
    Verdict.ERASED: "deleted at the destination after a proven comparison, and not brought back",
}

STATE_WORDS = {
    DayState.EQUAL: "equal",
    DayState.DIFFERING: "differing",
    DayState.MISSING: "missing",
    DayState.IN_FLIGHT: "in flight",
    DayState.ABSENT: "without objects",
}

STATE_LETTERS = {
    DayState.EQUAL: "",
    DayState.DIFFERING: "D",
    DayState.MISSING: "M",
    DayState.IN_FLIGHT: "F",
    DayState.ABSENT: "",
}
"""So that no state is told by its colour alone."""

LEVEL_WORDS = {Level.CRITICAL: "critical", Level.WARNING: "warning", Level.NOTE: "note"}

PHASE_WORDS = {
    Phase.DUAL_WRITE: "Dual write",
    Phase.CUT_OVER: "Cut over",
    Phase.ROLLED_BACK: "Rolled back",
    Phase.DELETING: "Deleting",
    Phase.DELETED: "Deleted",
}

PHASE_SENTENCES = {
    Phase.DUAL_WRITE: "The legacy path has the last word; every new object is mirrored to the new path.",
    Phase.CUT_OVER: "The new path has the last word; what is new there is brought back to the legacy path.",
    Phase.ROLLED_BACK: "The legacy path has the last word again; new objects are mirrored to the new path.",
    Phase.DELETING: "The legacy path is being deleted, exactly the verified versions of its objects.",
    Phase.DELETED: "The legacy path is deleted.",
}
