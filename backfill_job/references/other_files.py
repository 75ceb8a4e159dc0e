"""Every file that is not Python: each place that holds the name of a prefix is judged by what is written around it.

The bucket that belongs to a prefix stands on its line, in its braces, in its YAML block, or in a variable of the file. Only
what is written is read: in most languages a value without quotes is a name, and its value is unknown.
When in doubt a place is code, which blocks: a comment is one only where its mark stands outside of quotes.
Also for the parts of a Python file that are not expressions, and for Python that cannot be parsed.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath

from backfill_job.references.findings import ELSEWHERE, LONGEST, CodePlace, Finding, Resolution, unread
from backfill_job.references.mentions import (
    Mention,
    bucket_for,
    bucket_name,
    is_bucket_like,
    may_name_a_folder,
    mentions,
    names_a_thing,
    names_objects,
    resolve_mention,
)
from backfill_job.references.pieces import (
    CONTINUED,
    OPERANDS,
    PUT_TOGETHER,
    joins_by_call,
    put_together,
    side_by_side,
)
from backfill_job.references.sites import in_text
from backfill_job.references.targets import FindingKind, Targets
from backfill_job.references.texts import UNKNOWN, SourceText, Text, joined

__all__ = ["finding_at", "is_code", "scan_text", "within"]

LEVELS = 4
"""Braces and blocks around a prefix that are looked at."""

MAX_NESTING = 4
"""Variables within variables that are followed."""

MAX_NAMES = 400
"""Variables of one file that are looked up; the value of any other is unknown."""

STATEMENT = 8
"""Lines above and below one that its statement may have."""

_DOCUMENTATION = re.compile(
    r".*\.(md|markdown|rst|txt|adoc|mdx)|readme|changelog|changes|license|notice|contributing|authors"
)
_HASH = re.compile(
    r".*\.(sh|bash|zsh|ksh|ya?ml|toml|ini|cfg|conf|env|properties|rb?|pl|dockerfile|mk|nix|jl)"
    r"|.*dockerfile.*|makefile|\.env(\..*)?|\.?bashrc|procfile|vagrantfile|gemfile|\.gitignore|\.gcloudignore"
)
_MAKE = re.compile(r"(?:gnu)?makefile|.*\.mk")
_QUOTED_VALUES = re.compile(r".*\.(toml|rb?|pl|nix|jl)")
_SLASH = re.compile(
    r".*\.([jt]sx?|[mc]js|java|scala|go|kts?|c|h|cc|[ch]pp|cs|swift|rs|proto|groovy|gradle|tf|tfvars|hcl|json[c5]"
    r"|bzl|php|dart|scss)"
)
_SQL = re.compile(r".*\.(sql|bq|hql|ddl|psql|sqlx)")
_DEPLOYED = re.compile(r".*\.(env|properties|dockerfile)|.*dockerfile.*|\.env(\..*)?")
_NO_CODE = re.compile(r".*\.(csv|tsv|jsonl|ndjson|log|lock)")
_DATA = re.compile(r".*\.(json[c5]?|ya?ml|tf|tfvars|hcl|toml)")

_BLOCK = r"(?<![\w/*})$.-])/\*.*?\*/"
"""A comment's ``/*``: not the end of a path with a wildcard, ``gs://bucket/*``, which a text in several lines can hold."""

_SLASH_TOKENS = re.compile(
    r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"
    rf"|(?P<comment>(?<![:\w])//[^\n]*|{_BLOCK}|(?m:^)[ \t]*#[^\n]*)",
    re.DOTALL,
)
_SQL_TOKENS = re.compile(
    r"'''.*?'''|\"\"\".*?\"\"\"|'(?:''|\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`\n]*`"
    rf"|(?P<comment>--[^\n]*|{_BLOCK}|\{{#.*?#\}}|(?m:^)[ \t]*#[^\n]*)",
    re.DOTALL,
)

_QUOTE = r"\\?[\"'`]"
_BARE = r"(?:\{\{[^}\n]*\}\}|\$\{[^{}\s\"']*\}|[^\s\"'`,;)\]}\\(])"
_VALUE = rf"(?:&\w+[ \t]+)?(?:{_QUOTE}(?P<quoted>[^\"'`\\\n]*){_QUOTE}|(?P<bare>(?!-){_BARE}+))"
_ASSIGNED = r"(?:\\?[\"'`])?[ \t]*(?:=>|:=|[:=(])[ \t]*"
_PAIR = re.compile(rf"(?P<name>[A-Za-z_][\w.-]*){_ASSIGNED}{_VALUE}")
_CALLED = re.compile(rf"(?P<name>\b\w*[Bb]uckets?)\([ \t]*{_VALUE}")
"""Also where the call is the value of another name: ``it := client.Bucket("x")``."""
_FLAG = re.compile(rf"(?<![\w-])--?(?P<name>[A-Za-z][\w-]*)[ \t]+{_VALUE}")
_ENTRY = re.compile(
    rf"\bname[\"']?\s*[:=]\s*[\"']?(?P<entry>[A-Za-z_]\w*)[\"']?\s*,?\s*[\"']?(?P<name>value)[\"']?\s*[:=]\s*{_VALUE}"
)
_NOTHING_BETWEEN = re.compile(r"(?:[\s{}\[\],\"'-]|#[^\n]*|\benv\b)*")
_ARGUMENTS = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|[()]")
_OWN_NAME = re.compile(rf".*(?<![\w.-])(?P<name>[A-Za-z_][\w.-]*){_ASSIGNED}[\[{{(]*[^\n:=,;(]*\Z")
_OWN_FLAG = re.compile(r"(?<![\w-])--?(?P<name>[A-Za-z][\w-]*)[ \t]+[^\s]*\Z")
_FLAT = re.compile(r"^[ \t]*(?:export[ \t]+|ENV[ \t]+|ARG[ \t]+|set[ \t]+)?[A-Za-z_][\w.-]*[ \t]*=")
_KEY = re.compile(r"^[ ]*(?P<dashes>(?:-[ ]+)*)(?P<name>[\"']?[\w.$/-]+[\"']?)[ ]*:(?=\s|$)")
_NAME = re.compile(
    r"\$\{\{\s*env\.(?P<workflow>\w+)\s*\}\}|\$\((?P<make>\w+)\)"
    r"|\$\{(?:var\.|local\.)?(?P<braced>\w+)(?::?[-=](?P<default>[^{}]*))?\}|\$(?P<plain>\w+)"
    r"|\{\{\s*(?P<jinja>\w+)\s*\}\}|#?\{(?P<field>\w+)\}|%(?P<batch>\w+)%|\\\((?P<swift>\w+)\)"
)
_NO_STRUCTURE = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\$\{[^{}\n]*\}|\{\w*\}|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL
)
"""Braces in it mean something else."""

_OF_A_SHELL = re.compile(r"[ \t]*(?:(?:local|readonly)[ \t]+)?(?P<name>[A-Za-z_]\w*)[ \t]*[:?]?=[^;&|]*")
_PRIVATE = re.compile(
    r"[ \t]*private\b[\w \t<>:]*?\b(?P<name>[A-Za-z_]\w*)[ \t]*(?::[ \t]*\w+[ \t]*)?=[^;]*;?[ \t]*"
)
_OF_A_MODULE = re.compile(
    r"[ \t]*(?:const|let|var)[ \t]+(?P<name>[A-Za-z_]\w*)[ \t]*(?::[ \t]*\w+[ \t]*)?=[^;]*;?[ \t]*"
)
"""Lines that give a value to a variable of a shell, of a class, of a module, and do nothing else."""
_MODULES = frozenset({".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx"})
"""Files whose variables other files read only where they are exported."""
_EXPORTS = re.compile(
    r"\bset[ \t]+-\w*a|\bset[ \t]+-o[ \t]+allexport|\bdeclare[ \t]+-\w*x|(?<![\w-])(?:export|eval)[ \t]|\$\{!"
)
"""What hands a shell's variables to other programs, or reads them by a name that is computed."""
_PRINTED = re.compile(r"[ \t]*@?(?:echo|printf|log|logger)\b[^|>`]*\Z")
_DBT = re.compile(r"(?m)^(?:sources|models|seeds|snapshots|exposures):[ \t]*$")
_REFERS = re.compile(r"\b(?:source|ref)\(\s*(?:[\"'][^\"']*[\"']\s*,\s*)?[\"']\Z")
"""The functions of dbt and Dataform that name a dataset and a table."""
_DATAFORM = re.compile(r"^[ \t]*config[ \t]*\{[^}]*\b(?:name|schema)[ \t]*:[ \t]*[\"']\Z")
_NAME_KEY = re.compile(r"[ ]*(?:- )?name:[ ]")
_COMMAND = re.compile(r"\$\((?![^()]*\))|`")
"""A command whose output is the value; its words are cut off."""
_ADJACENT = frozenset({".c", ".h", ".cc", ".cpp", ".hpp"})
_ASSIGNS = re.compile(r"\bvariable\s+\"(\w+)\"|([A-Za-z_]\w*)(?:\\?[\"'])?[ \t]*(?::=|[+?]?=|:|<-)")
_GIVEN_BY_A_LOOP = re.compile(r"\bfor\b[^\n=]*")
_GIVEN_BY_A_SHELL = re.compile(r"\b(?:read|for|getopts|mapfile)\b[^\n=]*")
_WORD_IN_A_LOOP = re.compile(r"(?<![\w$])[A-Za-z_]\w*")
_GOES_ON = re.compile(r"(?:\+|\|\||<>)\n|\n(?:\+(?!\+)|\|\||<>)")
"""An operator before or behind a line's end: the statement goes on."""
_SETTING = re.compile(r"(?:\$\{?)(?P<name>\w*)\Z")
_TERRAFORM_LABEL = re.compile(
    r"[ \t]*(?:resource|data|module|variable|output|provider|backend|moved|locals)\b"
)


def scan_text(
    source: SourceText, targets: Targets, note: str = "", *, is_alone: Callable[[], bool] = lambda: False
) -> Iterator[Finding]:
    """Judge every name of a prefix in a file.

    Args:
        note: Said of every finding, before its own note.
        is_alone: Tells whether no other file can read the variables of this one.
    """
    numbers = {source.line_of(match.start()) for match in targets.seed_pattern.finditer(source.text)}
    pieces = {source.line_of(match.start()) for match in PUT_TOGETHER.finditer(source.text)}
    if not targets.has_every_word(source.text):
        pieces = {number for number in pieces if targets.has_a_word(source.line(number))}
    if not numbers and not pieces:
        return
    file = _JudgedFile(source, targets)
    found: list[Finding] = []
    used: dict[int, set[int]] = {}
    for number in sorted(numbers | pieces):
        start, line = source.starts[number - 1], source.line(number)
        text = file.text(start, start + len(line))
        here = list(_judged(file, text, number)) if number in numbers else []
        if number in pieces:
            here = _better(here, list(_judged(file, file.put_together(text, number), number)))
        for one in here:
            found.append(in_text(replace(one, note="; ".join(filter(None, (note, one.note)))), line))
            if one.buckets and one.kind is not FindingKind.UNRESOLVED:
                used.setdefault(one.offset, set()).add(number)
    blocked = {one.offset for one in found if one.buckets and one.blocks}
    for one in _distinct(found):
        is_open = not one.buckets and one.kind is FindingKind.UNRESOLVED
        if is_open and (one.offset in blocked or file.has_only_uses(one.offset, used, is_alone)):
            continue
        yield one


def _distinct(found: Iterable[Finding]) -> Iterator[Finding]:
    """One finding of those that several lines give of a variable's value."""
    said: set[tuple[object, ...]] = set()
    for one in found:
        what = (one.offset, one.kind, one.buckets, one.prefixes)
        if what not in said:
            said.add(what)
            yield one


def _judged(file: "_JudgedFile", text: Text, number: int) -> Iterator[Finding]:
    """What a line names; `text` is what it comes to."""
    start, line = file.source.starts[number - 1], file.source.line(number)
    for mention in mentions(text, file.targets):
        spans = text.cut(mention.start, mention.end).spans
        # A value that a setting has from outside is written nowhere.
        offset = spans[0].offset if spans else start + len(line) - len(line.lstrip())
        found = file.judge(text, mention, offset)
        counts = found.kind in {FindingKind.ELSEWHERE, FindingKind.UNRESOLVED} and (
            found.buckets or mention.is_open
        )
        if counts or not mention.weak:
            yield found


def _better(written: Sequence[Finding], made: Sequence[Finding]) -> list[Finding]:
    """What a line names as it is written, and what only its parts put together name, or resolve."""
    resolved = {one.offset: one for one in made if one.buckets}
    kept = [resolved.pop(one.offset, one) if one.kind is FindingKind.UNRESOLVED else one for one in written]
    known = {one.offset for one in (*kept, *resolved.values())}
    opened = (one for one in made if one.offset not in known)
    return [*kept, *(one for offset, one in resolved.items() if one not in kept), *opened]


def finding_at(
    source: SourceText, offset: int, resolution: Resolution, place: CodePlace, note: str
) -> Finding:
    """A finding that shows the whole line."""
    line = source.line(source.line_of(offset))
    written = line.strip()
    if len(written) > LONGEST:
        column = source.column_of(offset)
        written = "…" + line[max(0, column - LONGEST // 2) : column + LONGEST // 2].strip() + "…"
    return Finding.at(source, offset, written, [resolution], place=place, note=note)


# --- languages ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Language:
    """What is known of a kind of file.

    Attributes:
        documentation: It is for people as a whole.
        hash: ``#`` begins a comment.
        slash: ``//`` and ``/*`` do.
        sql: ``--`` does, and names of tables stand in no quotes.
        bare_values: Values need no quotes: shell, YAML, INI.
        blocks: Its structure is its indentation: YAML.
        data: What stands in the same braces or block belongs together.
        deployed: Its values are settings of a deployment, which another deployment may override.
    """

    documentation: bool = False
    hash: bool = False
    slash: bool = False
    sql: bool = False
    bare_values: bool = False
    blocks: bool = False
    data: bool = False
    deployed: bool = False


def _language_of(path: PurePath, text: str) -> _Language:
    name = path.name.lower()
    data = _DATA.fullmatch(name) is not None
    if _DOCUMENTATION.fullmatch(name):
        return _Language(documentation=True)
    if _SQL.fullmatch(name):
        return _Language(sql=True)
    if _SLASH.fullmatch(name):
        return _Language(slash=True, data=data)
    if _HASH.fullmatch(name) or (not path.suffix and text.startswith("#!")):
        bare = _QUOTED_VALUES.fullmatch(name) is None
        blocks = name.endswith(("yaml", "yml"))
        deployed = blocks or _DEPLOYED.fullmatch(name) is not None
        return _Language(hash=True, bare_values=bare, blocks=blocks, data=data, deployed=deployed)
    return _Language(data=data)


def is_code(path: PurePath, data: bytes) -> bool:
    """Tell whether a file can read objects at all: it is neither empty nor, by its name, for people or a table."""
    name = path.name.lower()
    if not data.strip() or _DOCUMENTATION.fullmatch(name) or _NO_CODE.fullmatch(name):
        return False
    return bool(path.suffix or _HASH.fullmatch(name) or data.startswith(b"#!"))


_Spans = Sequence[tuple[int, int]]


def _comments_and_quoted(language: _Language, text: str) -> tuple[_Spans, _Spans]:
    """Where a file's comments and quoted texts are, each as start and end, in order."""
    comments: list[tuple[int, int]] = []
    quoted: list[tuple[int, int]] = []
    if language.hash:
        comments += _hash_comments(text)
    elif language.slash or language.sql:
        for match in (_SQL_TOKENS if language.sql else _SLASH_TOKENS).finditer(text):
            if match.group("comment") is not None:
                comments.append(match.span())
            elif not match.group().startswith("`"):
                quoted.append(match.span())
    return comments, quoted


def _hash_comments(text: str) -> Iterator[tuple[int, int]]:
    """From a ``#`` behind white space, with every quote on its line closed, to the line's end."""
    start = 0
    for line in text.splitlines(keepends=True):
        quote = ""
        for index, char in enumerate(line):
            if quote:
                quote = "" if char == quote else quote
            elif char in "\"'`":
                quote = char
            elif char == "#" and (index == 0 or line[index - 1] in " \t"):
                yield start + index, start + len(line)
                break
        start += len(line)


def within(spans: _Spans, offset: int) -> bool:
    """Tell whether an offset is in one of some spans, which are in order and apart."""
    index = bisect_right(spans, (offset, float("inf"))) - 1
    return index >= 0 and spans[index][0] <= offset < spans[index][1]


# --- one file ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Beside:
    """The bucket found beside a prefix, and whether it certainly is the one.

    Attributes:
        alone: Whether it belongs to nothing else: other objects are not named beside it.
        start: Where what both stand in begins.
    """

    bucket: Text
    certain: bool
    alone: bool
    start: int


@dataclass(frozen=True, slots=True)
class _Named:
    """What a part of the file names.

    Attributes:
        buckets: The values of names that are buckets'; `UNKNOWN` where one has several.
        alone: Whether every value of a name that is an object's holds the name of a prefix.
    """

    buckets: dict[str, Text]
    alone: bool = True

    def beside(self, other: "_Named") -> "_Named":
        """What both parts name."""
        buckets = dict(self.buckets)
        for name, value in other.buckets.items():
            buckets[name] = value if buckets.get(name, value).chars == value.chars else UNKNOWN
        return _Named(buckets, self.alone and other.alone)


@dataclass
class _JudgedFile:
    """One file, and the judge of its mentions. What does not depend on the mention is found once, because a file may have thousands."""

    source: SourceText
    targets: Targets
    _values: dict[str, Text | None] = field(default_factory=dict)
    _read: dict[tuple[int, ...], _Named] = field(default_factory=dict)
    _blocks: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._language = _language_of(self.source.path, self.source.text)
        self._comments, self._quoted = _comments_and_quoted(self._language, self.source.text)

    def text(self, start: int, end: int, nesting: int = 0) -> Text:
        """A part of the file, with its placeholders resolved where the file says what they stand for."""

        def lookup(match: re.Match[str]) -> Text | None:
            found = self._placeholder(match.group(), nesting, start + match.start())
            return None if found is None else found.through({(self.source.path, start + match.end())})

        return self.targets.read(self.source.piece(start, end), lookup)

    def put_together(self, text: Text, number: int) -> Text:
        """What a line's parts come to together; `text` is the line. A statement may go on in the lines around it."""
        if self._language.bare_values:
            text = side_by_side(text)
            return put_together(text, lambda _: None) if joins_by_call(text) else text
        first, last = number, number
        while first > 1 and number - first < STATEMENT and _GOES_ON.search(self._between(first - 1, first)):
            first -= 1
        end = min(number + STATEMENT, len(self.source.starts))
        while last < end and _GOES_ON.search(self._between(last, last + 1)):
            last += 1
        if first < last:
            text = self.text(self.source.starts[first - 1], self._span(last)[1])
        adjacent = self.source.path.suffix in _ADJACENT
        return put_together(text, lambda name: self._assigned(name.rpartition(".")[2]), adjacent=adjacent)

    def has_only_uses(
        self, offset: int, used: Mapping[int, Collection[int]], is_alone: Callable[[], bool]
    ) -> bool:
        """Tell whether a variable that no other file can read is used in lines that are resolved, or printed, and nowhere else.

        Args:
            offset: Where its value is written.
            used: The numbers of the lines that resolve a value, by where that is written.
            is_alone: See `scan_text`.
        """
        resolved = used.get(offset)
        if resolved is None:
            return False
        own = self.source.line_of(offset)
        line = self.source.line(own)
        is_script = self._language.bare_values and not (self._language.deployed or self._language.data)
        forms = [_OF_A_SHELL] if is_script else [_PRIVATE] if self._language.slash else []
        if self.source.path.suffix in _MODULES:
            forms.append(_OF_A_MODULE)
        match = next(filter(None, (form.fullmatch(line) for form in forms)), None)
        if match is None or (is_script and (_EXPORTS.search(self.source.text) or not is_alone())):
            return False
        name = re.compile(rf"(?<![\w-]){re.escape(match['name'])}(?!\w)")
        others = {self.source.line_of(one.start()) for one in name.finditer(self.source.text)} - {own}
        return all(number in resolved or _PRINTED.match(self.source.line(number)) for number in others)

    def _between(self, above: int, below: int) -> str:
        """The end of a line and the beginning of the next one."""
        return f"{self.source.line(above).rstrip()[-3:]}\n{self.source.line(below).lstrip()[:2]}"

    def judge(self, text: Text, mention: Mention, offset: int) -> Finding:
        """Say what a mention is."""
        place = CodePlace.COMMENT if within(self._comments, offset) else CodePlace.CODE
        if self._language.documentation and not self._is_listed(offset):
            place = CodePlace.DOCUMENTATION
        beside = None if mention.bucket is not None or mention.other else self._bucket(offset)
        resolution, note = self._resolution(text, mention, offset, beside)
        found = finding_at(self.source, offset, resolution, place, note)
        if beside is None:
            return replace(found, together=self.source.starts[found.line - 1])
        return replace(found, shares_bucket=not beside.alone, together=beside.start)

    def _resolution(
        self, text: Text, mention: Mention, offset: int, beside: _Beside | None
    ) -> tuple[Resolution, str]:
        prefix = text.cut(mention.start, mention.end)
        if mention.other:
            if self._is_setting(offset):
                return Resolution(
                    FindingKind.UNRESOLVED, None, prefix
                ), "the setting's value is not in this file"
            return resolve_mention(text, mention, None, self.targets), mention.other
        if mention.bucket is None and mention.bare and self._is_a_name(prefix, offset):
            is_old = prefix.chars in self.targets.old_prefixes
            if is_old and beside is not None and may_name_a_folder(self._own_name(offset)):
                note = "a name, or the folder of the bucket beside it"
                return Resolution(FindingKind.UNRESOLVED, None, prefix), note
            return Resolution(FindingKind.OTHER, None, prefix), "a name, not a path"
        name = None if beside is None else beside.bucket
        found = resolve_mention(text, mention, name, self.targets, certain=beside is None or beside.certain)
        if found.kind is FindingKind.UNRESOLVED:
            missing = "no bucket was found for it"
            return found, missing if found.bucket is None else unread([found], self.targets)
        return found, {FindingKind.OTHER: "another bucket", FindingKind.ELSEWHERE: ELSEWHERE}.get(
            found.kind, ""
        )

    def _is_listed(self, offset: int) -> bool:
        """Whether the line of a ``.txt`` is one word: a list, which a program reads."""
        line = self.source.line(self.source.line_of(offset))
        return self.source.path.suffix == ".txt" and len(line.split()) == 1

    def _is_setting(self, offset: int) -> bool:
        """Whether a name is a variable's that the file does not set."""
        match = _SETTING.search(self.source.text[max(0, offset - 100) : offset])
        behind = re.compile(r"\w*").match(self.source.text, offset)
        if match is None or behind is None:
            return False
        return self._assigned(match.group("name") + behind.group()) is None

    def _is_a_name(self, prefix: Text, offset: int) -> bool:
        before = self.source.text[max(0, offset - 1) : offset]
        if self._language.sql and not within(self._quoted, offset) and before not in {"'", '"'}:
            return True
        line = self.source.line(self.source.line_of(offset))
        column = self.source.column_of(offset) - 1
        is_label = self._language.slash and _TERRAFORM_LABEL.match(line) and "{" not in line[:column]
        if is_label or names_a_thing(self._own_name(offset)):
            return True
        if self._language.sql and (_REFERS.search(line[:column]) or _DATAFORM.search(line[:column])):
            return True
        if self._is_of_dbt and prefix.chars not in self.targets.old_prefixes and _NAME_KEY.match(line):
            return self._bucket(offset) is None
        behind = self.source.text[offset + len(prefix.chars) : offset + len(prefix.chars) + 8]
        is_key = re.match(r"\\?[\"']?[ \t]*(?::(?!//)|=(?![=>]))", behind) is not None
        return is_key and prefix.chars not in self.targets.old_prefixes

    @cached_property
    def _is_of_dbt(self) -> bool:
        """Whether it describes sources and models of dbt, whose names are those of datasets and tables."""
        return self._language.blocks and _DBT.search(self.source.text) is not None

    # --- the bucket that belongs to a prefix -----------------------------------------------------------------------

    def _own_name(self, offset: int) -> str:
        """What the text at an offset is called: the key or variable before it on its line; empty for nothing."""
        before = self.source.text[self.source.starts[self.source.line_of(offset) - 1] : offset]
        match = _OWN_FLAG.search(before) or _OWN_NAME.match(before)
        return "" if match is None else match.group("name").rpartition(".")[2]

    def _bucket(self, offset: int) -> _Beside | None:
        """The bucket that belongs to the prefix at an offset; None for none, or for several candidates."""
        number = bisect_right(self._entries, offset, key=lambda each: each[0]) - 1
        start, end, entry, named = self._entries[number] if number >= 0 else (0, 0, "", _Named({}))
        if offset < end and (found := bucket_for(entry, named.buckets)) is not None:
            return _Beside(found[0], certain=found[1], alone=named.alone, start=start)
        name = self._own_name(offset) or "prefix"
        if self._language.blocks and (number := self._key_lines[self.source.line_of(offset)]):
            name = self._keys[number][0]
        for start, named, certain in self._surroundings(offset):
            found = bucket_for(name, named.buckets)
            if found is not None:
                return _Beside(
                    found[0], certain=found[1] and certain, alone=certain and named.alone, start=start
                )
        return self._given_before(offset)

    def _given_before(self, offset: int) -> _Beside | None:
        """One of our buckets, given before a prefix to the same function; None for none, or for several."""
        start, _ = self._span(self.source.line_of(offset))
        opened: list[dict[str, Text]] = [{}]
        for match in _ARGUMENTS.finditer(self.source.text, start, max(start, offset - 1)):
            if match.group() == "(":
                opened.append({})
            elif match.group() == ")":
                opened = opened[:-1] or [{}]
            else:
                text = bucket_name(self.text(match.start() + 1, match.end() - 1), self.targets)
                if self.targets.may_be_bucket(text.chars):
                    opened[-1][text.chars] = text
        buckets = list(opened[-1].values()) if len(opened) > 1 else []
        return _Beside(buckets[0], certain=False, alone=False, start=start) if len(buckets) == 1 else None

    @cached_property
    def _entries(self) -> list[tuple[int, int, str, _Named]]:
        """Every value that stands beside its name, as in a container's environment: where it is, its name, what the list names."""
        found: list[tuple[int, int, str, _Named]] = []
        group: list[re.Match[str]] = []
        matches = list(_ENTRY.finditer(self.source.text)) if self._language.data else []
        for number, match in enumerate(matches):
            group.append(match)
            behind = matches[number + 1].start() if number + 1 < len(matches) else -1
            if behind >= 0 and _NOTHING_BETWEEN.fullmatch(self.source.text, match.end(), behind):
                continue
            named = _Named({})
            for one in group:
                if is_bucket_like(one["entry"]):
                    named = named.beside(_Named({one["entry"]: self._value(one, 0)}))
                elif names_objects(one["entry"]):
                    named = replace(named, alone=named.alone and self.targets.carries(one.group()))
            found += [(one.start(), one.end(), one["entry"], named) for one in group]
            group = []
        return found

    def _surroundings(self, offset: int) -> Iterator[tuple[int, _Named, bool]]:
        """The parts of the file around an offset, the nearest first.

        Yields:
            Where it begins, the names and values in it, and whether they certainly belong to the offset.
        """
        around = self._around(offset)
        for level, (start, end) in enumerate(around[:LEVELS]):
            yield start, self._named((start + 1, end), offset), level == 0 and self._language.data
        number, blocks = self.source.line_of(offset), False
        for level, lines in enumerate(self._mappings(number) if self._language.blocks else ()):
            blocks = True
            yield self._span(lines[0])[0], self._named_in_block(lines, number, offset), level == 0
        if blocks or (around and self._language.data):
            return
        yield self._span(number)[0], self._named(self._span(number), offset), True
        if self._language.hash and _FLAT.match(self.source.line(number)):
            yield 0, self._named((0, len(self.source.text)), offset), False

    def _span(self, number: int) -> tuple[int, int]:
        start = self.source.starts[number - 1]
        return start, start + len(self.source.line(number))

    def _named_in_block(self, lines: list[int], own: int, offset: int) -> _Named:
        """What the lines of a mapping name, and the braces around the offset on its own line."""
        found = self._read.get((lines[0],))
        if found is None:
            found = _Named({})
            for number in lines:
                found = found.beside(self._named(self._span(number), -1))
            self._read[lines[0],] = found
        if self._blocks.get(own) is lines and self._around(offset):
            return found.beside(self._named(self._span(own), offset))
        return found

    def _named(self, span: tuple[int, int], offset: int) -> _Named:
        """What a part of the file names, without what is in inner braces that do not hold the offset."""
        start, end = span
        held = [brace for brace in self._around(offset) if start <= brace[0] and brace[1] < end]
        key = (start, end, held[0][0] if held else -1)
        if key not in self._read:
            visible = list(self.source.text[start:end])
            for first, last in self._braces[
                bisect_left(self._braces, (start, 0)) : bisect_left(self._braces, (end, 0))
            ]:
                if last < end and (first, last) not in held:
                    visible[first - start : last + 1 - start] = " " * (last + 1 - first)
            self._read[key] = self._pairs("".join(visible), start)
        return self._read[key]

    def _pairs(self, text: str, start: int) -> _Named:
        found, objects = _Named({}), dict[str, Text]()
        for match in (*_PAIR.finditer(text), *_FLAG.finditer(text), *_CALLED.finditer(text)):
            name = match.group("name").rpartition(".")[2]
            if is_bucket_like(name):
                found = found.beside(_Named({name: self._value(match, start)}))
            elif names_objects(name):
                objects[name] = self._value(match, start)
        return _Named(found.buckets, all(self.targets.carries(text.chars) for text in objects.values()))

    def _value(self, match: re.Match[str], start: int) -> Text:
        group = "quoted" if match.group("quoted") is not None else "bare"
        bare = self._language.bare_values and not match.group(group).startswith("*")  # a reference of YAML
        if group == "bare" and not bare:
            return UNKNOWN
        if self._language.deployed and (given := self.targets.setting(match.group("name"))) is not None:
            return Text(given)
        return self.text(start + match.start(group), start + match.end(group))

    def _around(self, offset: int) -> list[tuple[int, int]]:
        """The pairs of braces that hold an offset, the innermost first."""
        number = bisect_left(self._braces, (offset, 0)) - 1
        found: list[tuple[int, int]] = []
        while number >= 0:
            if self._braces[number][1] > offset:
                found.append(self._braces[number])
            number = self._outer[number]
        return found

    @cached_property
    def _outer(self) -> list[int]:
        """For each pair of braces, where the pair around it is in `_braces`; -1 for none."""
        found: list[int] = []
        for number, (start, _) in enumerate(self._braces):
            outer = number - 1
            while outer >= 0 and self._braces[outer][1] < start:
                outer = found[outer]
            found.append(outer)
        return found

    @cached_property
    def _braces(self) -> list[tuple[int, int]]:
        """Every pair of braces that is structure: where it opens, where it closes; in order."""
        masked = _NO_STRUCTURE.sub(lambda match: " " * len(match.group()), self.source.text)
        opened: list[int] = []
        pairs: list[tuple[int, int]] = []
        for match in re.finditer(r"[{}]", masked):
            if match.group() == "{":
                opened.append(match.start())
            elif opened:
                pairs.append((opened.pop(), match.start()))
        return sorted(pairs)

    # --- YAML ----------------------------------------------------------------------------------------------------

    @cached_property
    def _keys(self) -> list[tuple[str, int, bool]]:
        """Each line's key, or nothing; the column where it begins; whether it begins an item of a list. The first stands for no line."""
        return [self._read_key(number) for number in range(len(self.source.starts) + 1)]

    def _read_key(self, number: int) -> tuple[str, int, bool]:
        match = _KEY.match(self.source.line(number))
        if match is None:
            return "", self._indent(number), False
        return match.group("name").strip("\"'"), match.start("name"), bool(match.group("dashes"))

    @cached_property
    def _key_lines(self) -> list[int]:
        """For each line, that of the key that it belongs to; 0 for none."""
        found = [0]
        for number in range(1, len(self._keys)):
            indent, above = self._indent(number), number - 1
            if self._keys[number][0]:
                above = number
            elif above and not self._keys[above][0] and self._indent(above) == indent:
                above = found[above]
            else:
                while above and not (self._keys[above][0] and self._indent(above) <= indent):
                    above = above - 1 if self._keys[above][0] else self._outer_keys[above]
            found.append(above)
        return found

    def _indent(self, number: int) -> int:
        line = self.source.line(number)
        return len(line) - len(line.lstrip(" "))

    def _mappings(self, number: int) -> Iterator[list[int]]:
        """The lines of the mapping around a line, then of those around it."""
        number = self._key_lines[number]
        for _ in range(LEVELS):
            if not number:
                return
            yield self._block(number)
            number = self._outer_keys[number]

    @cached_property
    def _outer_keys(self) -> list[int]:
        """For each key's line, that of the key above which begins further left; for another line, the key above. 0 for none."""
        found = [0]
        for number in range(1, len(self._keys)):
            key, level, _ = self._keys[number]
            above = number - 1
            while above and not (self._keys[above][0] and (not key or self._keys[above][1] < level)):
                above = found[above]
            found.append(above)
        return found

    def _block(self, number: int) -> list[int]:
        """The lines of a key's mapping."""
        if number not in self._blocks:
            level = self._keys[number][1]
            lines = sorted({number, *self._siblings(number, level, -1), *self._siblings(number, level, 1)})
            self._blocks |= dict.fromkeys(lines, lines)
        return self._blocks[number]

    def _siblings(self, number: int, level: int, step: int) -> Iterator[int]:
        """The lines of the same mapping above or below a key's: at its level, and within its item of a list."""
        is_item = self._keys[number][2]
        while step > 0 or not is_item:
            number += step
            if not 1 <= number <= len(self.source.starts):
                return
            if self.source.line(number).lstrip()[:1] in {"", "#"}:
                continue
            _, other, is_item = self._keys[number]
            if other < level or (other == level and step > 0 and is_item):
                return
            if other == level:
                yield number
            is_item = is_item and other == level

    # --- variables -----------------------------------------------------------------------------------------------

    def _placeholder(self, written: str, nesting: int, offset: int) -> Text | None:
        match = _NAME.fullmatch(written)
        has_default = match is not None and match["default"]
        keeps = self.targets.carries(written)
        if match is None or (keeps and not has_default) or nesting >= MAX_NESTING:
            return None
        if match["make"] and not _MAKE.fullmatch(self.source.path.name.lower()):
            return None  # a command of a shell
        named = (match[key] for key in _NAME.groupindex if key != "default")
        name = next(each for each in named if each)
        given = self.targets.setting(name)
        # A default that holds the name counts, although the file may give the variable another value.
        overridden = keeps or (given is not None and written.startswith("${var."))
        found = None if overridden else self._assigned(name, nesting)
        if found is None and given is not None:
            return Text(given)
        if not has_default:
            return found
        start = offset + match.start("default")
        default = self.text(start, start + len(match["default"]), nesting + 1).decided_by([name])
        return default if found is None or found.chars == default.chars else UNKNOWN

    def _assigned(self, name: str, nesting: int = 0) -> Text | None:
        """The one value that the file gives to a name; None for none, or for several."""
        if name not in self._assignments or (name not in self._values and len(self._values) >= MAX_NAMES):
            return None
        if name not in self._values:
            self._values[name] = None  # during the search: a name that refers to itself
            self._values[name] = self._read_assigned(name, nesting)
        return self._values[name]

    @cached_property
    def _assignments(self) -> Mapping[str, Sequence[int]]:
        """Where the file may give each name a value."""
        found: dict[str, list[int]] = {}
        for match in _ASSIGNS.finditer(self.source.text):
            found.setdefault(match[1] or match[2], []).append(match.start())
        return found

    @cached_property
    def _given_elsewhere(self) -> frozenset[str]:
        """The names to which a loop, or a shell, may give a value that is not written in the file."""
        given = _GIVEN_BY_A_SHELL if self._language.bare_values else _GIVEN_BY_A_LOOP
        spans = (match.group() for match in given.finditer(self.source.text))
        return frozenset(name for span in spans for name in _WORD_IN_A_LOOP.findall(span))

    def _given(self, name: str, pattern: str) -> list[re.Match[str]]:
        """The matches of a pattern that begins with a name, where the file may give that a value; none within another."""
        found: list[re.Match[str]] = []
        end, begins = 0, re.compile(pattern)
        for offset in self._assignments[name]:
            if offset >= end and (match := begins.match(self.source.text, offset)):
                found.append(match)
                end = match.end()
        return found

    def _read_assigned(self, name: str, nesting: int) -> Text | None:
        if name in self._given_elsewhere:
            return None
        bare = r"|(?P<bare>(?:\$\{\{[^}\n]*\}\}|[^\s\"'#;,\\])+)" if self._language.bare_values else ""
        value = rf"(?:{_QUOTE}(?P<quoted>[^\"'\\\n]*){_QUOTE}{bare})"
        before = rf"(?<![\w.${{-]){name}(?:\\?[\"'])?[ \t]*"
        terraform = rf"\bvariable\s+\"{name}\"\s*\{{[^{{}}]*?\bdefault\s*=\s*\"(?P<quoted>[^\"\n]*)\""
        matches = [
            *self._given(name, rf"{before}(?::=|\??=|:)[ \t]*(?:&\w+[ \t]+)?{value}"),
            *self._given(name, terraform),
        ]
        found: dict[str, Text] = {}
        for match in matches:
            group = "quoted" if match.group("quoted") is not None else "bare"
            text = self.text(match.start(group), match.end(group), nesting + 1)
            if self._language.bare_values and _COMMAND.search(match.group()):
                text = UNKNOWN
            elif group == "quoted" and (more := CONTINUED.match(self.source.text, match.end())):
                text += self._operands(more, nesting)
            found[text.chars] = text
        if len(found) != 1 or len(self._given(name, rf"{before}(?::=|=(?!=))")) > len(matches):
            return None
        texts = [next(iter(found.values()))]
        for match in self._given(name, rf"{before}\+={value}"):
            group = "quoted" if match.group("quoted") is not None else "bare"
            texts.append(self.text(match.start(group), match.end(group), nesting + 1))
        return joined(texts) if len(self._given(name, rf"{before}\+=")) < len(texts) else None

    def _operands(self, more: re.Match[str], nesting: int) -> Text:
        """The texts that are added to another one; what is not a text is a hole, unless the file says what it is."""
        parts: list[Text] = []
        for match in OPERANDS.finditer(self.source.text, *more.span()):
            written = match.group()
            if written[0] in "\"'`":
                parts.append(self.text(match.start() + 1, match.end() - 1, nesting + 1))
            else:
                parts.append(self._assigned(written, nesting + 1) or UNKNOWN)
        return joined(parts)
