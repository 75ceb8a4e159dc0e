"""What is code in a file that is no Python, and what is not: comments, documentation, quoted texts.

When in doubt it is code, which blocks: a comment is one only where its mark stands outside of quotes.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from backfill_job.references.findings import Place

__all__ = ["Language", "Layout", "language_of", "layout"]

_DOCUMENTATION = re.compile(
    r".*\.(md|markdown|rst|txt|adoc|mdx)|(readme|changelog|changes|license|notice|contributing|authors)(\..*)?"
)
_HASH = re.compile(
    r".*\.(sh|bash|zsh|ksh|ya?ml|toml|ini|cfg|conf|env|properties|rb?|pl|dockerfile|mk|nix|jl)"
    r"|.*dockerfile.*|makefile|\.env(\..*)?|\.?bashrc|procfile|vagrantfile|gemfile|\.gitignore|\.gcloudignore"
)
_QUOTED_VALUES = re.compile(r".*\.(toml|rb?|pl|nix|jl)")
_SLASH = re.compile(
    r".*\.([jt]sx?|[mc]js|java|scala|go|kts?|c|h|cc|[ch]pp|cs|swift|rs|proto|groovy|gradle|tf|tfvars|hcl|json[c5]"
    r"|bzl|php|dart|scss)"
)
_SQL = re.compile(r".*\.(sql|bq|hql|ddl|psql|sqlx)")
_DATA = re.compile(r".*\.(json[c5]?|ya?ml|tf|tfvars|hcl|toml)")

_SLASH_TOKENS = re.compile(
    r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|(?P<comment>//[^\n]*|/\*.*?\*/|(?m:^)[ \t]*#[^\n]*)",
    re.DOTALL,
)
_SQL_TOKENS = re.compile(
    r"'''.*?'''|\"\"\".*?\"\"\"|'(?:''|\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`\n]*`"
    r"|(?P<comment>--[^\n]*|/\*.*?\*/|\{#.*?#\}|(?m:^)[ \t]*#[^\n]*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Language:
    """What is known of a kind of file.

    Attributes:
        documentation: It is for people as a whole.
        hash: ``#`` begins a comment.
        slash: ``//`` and ``/*`` do.
        sql: ``--`` does, and names of tables stand in no quotes.
        bare_values: Values need no quotes: shell, YAML, INI.
        blocks: Its structure is its indentation: YAML.
        data: What stands in the same braces or block belongs together.
    """

    documentation: bool = False
    hash: bool = False
    slash: bool = False
    sql: bool = False
    bare_values: bool = False
    blocks: bool = False
    data: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file's comments and quoted texts are, each as start and end, in order."""

    comments: Sequence[tuple[int, int]] = ()
    quoted: Sequence[tuple[int, int]] = ()

    def place(self, offset: int) -> Place:
        """Whether a character is in a comment."""
        return Place.COMMENT if _within(self.comments, offset) else Place.CODE

    def is_quoted(self, offset: int) -> bool:
        """Whether a character is in a quoted text."""
        return _within(self.quoted, offset)


def language_of(path: PurePath, text: str) -> Language:
    """Tell a file's language by its name, or by its first line."""
    name = path.name.lower()
    data = _DATA.fullmatch(name) is not None
    if _DOCUMENTATION.fullmatch(name):
        return Language(documentation=True)
    if _SQL.fullmatch(name):
        return Language(sql=True)
    if _SLASH.fullmatch(name):
        return Language(slash=True, data=data)
    if _HASH.fullmatch(name) or (not path.suffix and text.startswith("#!")):
        bare = _QUOTED_VALUES.fullmatch(name) is None
        return Language(hash=True, bare_values=bare, blocks=name.endswith(("yaml", "yml")), data=data)
    return Language(data=data)


def layout(language: Language, text: str) -> Layout:
    """Find a file's comments and quoted texts."""
    if language.hash:
        return Layout(list(_hash_comments(text)))
    if not (language.slash or language.sql):
        return Layout()
    comments, quoted = [], []
    for match in (_SQL_TOKENS if language.sql else _SLASH_TOKENS).finditer(text):
        if match.group("comment") is not None:
            comments.append(match.span())
        elif not match.group().startswith("`"):
            quoted.append(match.span())
    return Layout(comments, quoted)


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


def _within(spans: Sequence[tuple[int, int]], offset: int) -> bool:
    index = bisect_right(spans, (offset, float("inf"))) - 1
    return index >= 0 and spans[index][0] <= offset < spans[index][1]
