"""What is looked for: the two locations of each migration, and what a bucket or a prefix found in code is to them.

A hole in a bucket's name stands for the environment and for nothing else: ``data-bucket-{…}`` is the legacy bucket.
``{…}`` alone could be anything and is *unknown*. A bucket that may be the legacy one is never called another one.

=============  ==============  =============  ==================  =======
bucket         old prefix      new prefix     prefix, other case  sibling
=============  ==============  =============  ==================  =======
legacy         legacy          mixed          mixed               --
new            mixed           migrated       mixed               --
another        elsewhere       elsewhere      elsewhere           --
unknown        unresolved      unresolved     unresolved          --
=============  ==============  =============  ==================  =======

The buckets of the preset's other environments are *other*. A name of a known layout (``qpi_answers_YYYYMMDD/``) in a bucket that is
read is *elsewhere*, too, unless it stands directly below a prefix.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from backfill_job.references.texts import HOLE, Text, with_holes
from shared.errors import UsageError
from shared.migration import Environment, Migration, qpi_exports
from shared.partitions import LAYOUTS

__all__ = ["SEPARATOR", "FindingKind", "NamedMigration", "Targets", "is_bucket_name"]

SEPARATOR = r"(?:\\?/|%2[Ff])"
"""A slash as URLs and JSON write it, too."""

MIN_WORD = 3
"""Characters of a name's word that are worth looking for."""

_QUOTE = r"\\?['\"]"
_JINJA_SETTING = re.compile(
    r"\{\{-?\s*(?:var\.value\.(?P<attribute>(?!get\()\w+)|(?:env_var|var|var\.value\.get)"
    rf"\(\s*{_QUOTE}(?P<name>\w+){_QUOTE}(?:\s*,\s*{_QUOTE}(?P<default>[^'\"\\{{}}]*){_QUOTE})?\s*\))\s*-?\}}\}}"
)
_PRINTF = re.compile(r"%[sdrv]")
_FROM_OUTSIDE = ("AIRFLOW_VAR_", "TF_VAR_")
"""How the environment names a variable of Airflow and of Terraform."""

_ENVIRONMENTS = frozenset(environment.value for environment in Environment)
_NAME_CHARACTERS = re.compile(rf"[a-z0-9._{HOLE}-]+")


class FindingKind(Enum):
    """What a place in the code is to the migration. The worst comes first."""

    MIXED = "mixed"
    LEGACY = "legacy"
    UNRESOLVED = "unresolved"
    ELSEWHERE = "elsewhere"
    MIGRATED = "migrated"
    OTHER = "other"

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(FindingKind).index(self)


class _Bucket(Enum):
    LEGACY = "legacy"
    NEW = "new"
    BOTH = "both"  # the prefix moves within one bucket
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NamedMigration:
    """One migration, as code names it: with the old and the new prefix without their final slashes."""

    migration: Migration
    old: str
    new: str

    @staticmethod
    def of(migration: Migration) -> "NamedMigration":
        """Read a migration.

        Raises:
            UsageError: The source is a whole bucket: code does not name its prefix.
        """
        old = migration.source.prefix.rstrip("/")
        if not old:
            why = "references are found by the name of a prefix, and it has none"
            raise UsageError(f"{migration.source.uri} is a whole bucket; {why}")
        return NamedMigration(migration, old, migration.destination.prefix.rstrip("/"))

    def kind(self, bucket: str, prefix: str) -> FindingKind:
        """What a bucket with holes and a prefix, as it is spelled without its final slash, are together."""
        side = self._side(bucket)
        if prefix.lower() not in {self.old.lower(), self.new.lower()}:
            return FindingKind.OTHER
        if side is _Bucket.OTHER:
            return (
                FindingKind.OTHER if bucket.lower() in self._of_other_environments else FindingKind.ELSEWHERE
            )
        if side is _Bucket.UNKNOWN:
            return FindingKind.UNRESOLVED
        if prefix == self.old and side in {_Bucket.LEGACY, _Bucket.BOTH}:
            return FindingKind.LEGACY
        return (
            FindingKind.MIGRATED if prefix == self.new and side is not _Bucket.LEGACY else FindingKind.MIXED
        )

    @property
    def is_preset(self) -> bool:
        """Whether it is the QPI migration of an environment, whose layouts are known."""
        return self.migration.label in _ENVIRONMENTS

    @property
    def _of_other_environments(self) -> frozenset[str]:
        presets = [qpi_exports(environment) for environment in Environment] if self.is_preset else []
        return frozenset(path.bucket for one in presets for path in (one.source, one.destination))

    def is_either_bucket(self, bucket: str) -> bool:
        """Tell whether a name is certainly the legacy or the new bucket."""
        return self._side(bucket) in {_Bucket.LEGACY, _Bucket.NEW, _Bucket.BOTH}

    def captures(self, bucket: str, *, legacy: bool) -> tuple[str, ...] | None:
        """What each hole of a bucket's name stands for if it is the legacy (or else the new) bucket; None if it is not."""
        name = (self.migration.source if legacy else self.migration.destination).bucket
        pattern = "(.*?)".join(map(re.escape, bucket.lower().split(HOLE)))
        match = re.fullmatch(pattern, name)
        return None if match is None else match.groups()

    def _side(self, bucket: str) -> _Bucket:
        legacy, new = self.captures(bucket, legacy=True), self.captures(bucket, legacy=False)
        if legacy is None and new is None:
            return _Bucket.OTHER
        if any(found is not None and not _only_environments(found) for found in (legacy, new)):
            return _Bucket.UNKNOWN
        if legacy is not None and new is not None:
            one_bucket = self.migration.source.bucket == self.migration.destination.bucket
            return _Bucket.BOTH if one_bucket else _Bucket.UNKNOWN
        return _Bucket.LEGACY if legacy is not None else _Bucket.NEW


class Targets:
    """Everything one scan looks for.

    Args:
        settings: The values that settings have where the code is deployed, by name.

    Raises:
        UsageError: There is not one migration, or one of them cannot be looked for.
    """

    def __init__(self, migrations: Sequence[Migration], settings: Mapping[str, str] | None = None) -> None:
        self.settings = settings or {}
        if not migrations:
            raise UsageError("no migration to look for references to")
        self.targets = tuple(map(NamedMigration.of, migrations))
        self.old_prefixes = {target.old for target in self.targets}
        self.prefixes = tuple(dict.fromkeys(name for one in self.targets for name in (one.old, one.new)))
        keys = {max(prefix.split("/"), key=len).lower() for prefix in self.prefixes}
        self.keys = tuple(sorted(keys, key=lambda key: (-len(key), key)))
        self.key_pattern = re.compile("|".join(map(re.escape, self.keys)), re.IGNORECASE)
        longest_first = sorted({prefix.lower() for prefix in self.prefixes}, key=len, reverse=True)
        spelled = [SEPARATOR.join(map(re.escape, prefix.split("/"))) for prefix in longest_first]
        self.prefix_pattern = re.compile("|".join(spelled), re.IGNORECASE)
        self.key_bytes = tuple(_ascii_part(key) for key in self.keys)
        """One of these stands in every file that holds a name in one piece."""
        words = {_ascii_part(word) for key in self.keys for word in _words(key)}
        self.word_bytes = tuple(sorted(words, key=len, reverse=True))
        """One of these stands in every program that puts a name together."""
        heads = dict.fromkeys(layout.template.partition("{")[0] for layout in LAYOUTS)
        layout = "|".join(map(re.escape, heads)) if any(one.is_preset for one in self.targets) else r"(?!)"
        day = rf"(?:[0-9{HOLE}][0-9{HOLE}*-]*)?"
        ends = rf"(?:{SEPARATOR}|\*|\.(?:jsonl|csv)\b)"
        self.layout_pattern = re.compile(rf"(?<![\w.-])(?:{layout}){day}(?={ends})")
        """Finds a name of a known layout, with a day or a hole for it."""
        seeds = "|".join((*map(_seed, self.keys), rf"(?:{layout})(?=\Z|[0-9{{%$*])"))
        self.seed_pattern = re.compile(seeds, re.IGNORECASE)
        """Finds literals that hold a name, or a part of one at the edge where another part can join it."""
        self.part_pattern = re.compile("|".join(map(_partial, self.keys)), re.IGNORECASE)
        self._add_settings()

    def has_every_word(self, chars: str) -> bool:
        """Tell whether a text holds every word of one of the names, so that it may put the name together."""
        lowered = chars.lower()
        return any(all(word in lowered for word in _words(key)) for key in self.keys)

    def has_a_word(self, chars: str) -> bool:
        """Tell whether a text holds a word of one of the names, or the beginning of a known layout's."""
        lowered = chars.lower()
        return any(word in lowered for key in self.keys for word in _words(key))

    def _add_settings(self) -> None:
        """Look for the settings that hold a name, too: where they are read, the name itself is not written."""
        found = {name for name, value in self.settings.items() if self.carries(value)}
        found |= {name.removeprefix(before) for name in found for before in _FROM_OUTSIDE}
        if found:
            self.word_bytes += tuple(name.lower().encode() for name in found)
            names = "|".join(map(re.escape, sorted(found)))
            self.seed_pattern = re.compile(rf"{self.seed_pattern.pattern}|\b(?:{names})\b", re.IGNORECASE)

    def setting(self, name: str) -> str | None:
        """The value that a setting has where the code is deployed; None where it is not given."""
        names = (name, *(before + each for before in _FROM_OUTSIDE for each in (name, name.upper())))
        return next((self.settings[each] for each in names if each in self.settings), None)

    def read(self, text: Text, lookup: Callable[[re.Match[str]], Text | None] = lambda _: None) -> Text:
        """A text with a hole for each placeholder; with its value for one that is known, or is a setting of Jinja's."""
        return with_holes(
            text,
            self._may_carry,
            lambda match: lookup(match) or self._of_jinja(text, match) or self._of_printf(text, match),
        )

    def _of_printf(self, text: Text, placeholder: re.Match[str]) -> Text | None:
        """A placeholder in which a name is filled in: ``{{ printf "%s_exports" x }}``; None for any other."""
        filled = text.cut(*placeholder.span()).replaced(_PRINTF, lambda _: Text(HOLE))
        return filled if self.carries(filled.chars) and not self.carries(placeholder.group()) else None

    def _may_carry(self, placeholder: str) -> bool:
        """Tell whether what is written in a placeholder may come to a name."""
        return self.carries(placeholder) or self.has_every_word(placeholder)

    def _of_jinja(self, text: Text, placeholder: re.Match[str]) -> Text | None:
        match = _JINJA_SETTING.fullmatch(placeholder.group())
        if match is None:
            return None
        name = match["attribute"] or match["name"]
        if (given := self.setting(name)) is not None:
            return Text(given)
        if match["default"] is None:
            return None if self.carries(placeholder.group()) else Text(HOLE).decided_by([name])
        start = placeholder.start()
        return text.cut(start + match.start("default"), start + match.end("default")).decided_by([name])

    def kinds(self, bucket: str, prefix: str) -> tuple[FindingKind, tuple[NamedMigration, ...]]:
        """The worst of what a bucket and a prefix are to any of the migrations, and to which."""
        kinds = [(target.kind(bucket, prefix), target) for target in self.targets]
        if any(kind not in {FindingKind.ELSEWHERE, FindingKind.OTHER} for kind, _ in kinds):
            # It is another migration's bucket.
            kinds = [(kind, target) for kind, target in kinds if kind is not FindingKind.ELSEWHERE]
        worst = min((kind for kind, _ in kinds), key=lambda kind: kind.rank)
        return worst, tuple(target for kind, target in kinds if kind is worst)

    def may_be_bucket(self, bucket: str) -> bool:
        """Tell whether a name is certainly one of the buckets."""
        return any(target.is_either_bucket(bucket) for target in self.targets)

    def carries(self, chars: str) -> bool:
        """Tell whether a text holds the name of a prefix, whole or in part, or a name of a known layout."""
        patterns = (self.key_pattern, self.part_pattern, self.layout_pattern)
        return any(pattern.search(chars) for pattern in patterns)


def is_bucket_name(bucket: str) -> bool:
    """Tell whether a text with holes can be a bucket's name at all."""
    return bool(_NAME_CHARACTERS.fullmatch(bucket.lower()))


def _words(key: str) -> list[str]:
    """The words of a name that are worth looking for; the name itself if there is none."""
    return [word for word in re.split(r"[\W_]+", key) if len(word) >= MIN_WORD] or [key]


def _only_environments(captured: tuple[str, ...]) -> bool:
    return all(not word.strip("-._") or word.strip("-._") in _ENVIRONMENTS for word in captured)


def _ascii_part(word: str) -> bytes:
    """The longest stretch of a word that looks the same in every encoding; empty, which is everywhere, if it has none."""
    stretches: list[str] = re.findall(r"[\x20-\x7e]+", word)
    return max(stretches, key=len, default="").encode().lower()


def _heads_and_tails(key: str) -> tuple[list[str], list[str]]:
    """The beginnings of a name that hold its first word, and the ends that hold more than its last one."""
    first, last = _words(key)[0], _words(key)[-1]
    heads = [key[:end] for end in range(len(key) - 1, key.index(first) + len(first) - 1, -1)]
    return heads, [key[start:] for start in range(1, key.rindex(last))]


def _partial(key: str) -> str:
    """A pattern for a name that holes cut short: its beginning before a hole, or its end behind one."""
    heads, tails = _heads_and_tails(key)
    alternatives = [rf"(?<![\w.-]){re.escape(head)}{HOLE}" for head in heads]
    alternatives += [rf"{HOLE}{re.escape(tail)}(?![\w-])" for tail in tails]
    return "|".join(alternatives) or r"(?!)"


def _seed(key: str) -> str:
    heads, tails = _heads_and_tails(key)
    alternatives = [re.escape(key)]
    alternatives += [rf"{re.escape(head)}(?=\Z|[{{%$])" for head in heads]
    alternatives += [rf"(?:\A|[}})\w]){re.escape(tail)}" for tail in tails]
    return "|".join(alternatives)
