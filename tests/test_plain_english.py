"""Documents and production code are in plain English: no banned form, no sentence of more than 25 words."""

import ast
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "backfill_job",
    "bench",
    "demo",
    "deploy",
    "docs",
    "local_gcs",
    "mirror_function",
    "monitoring",
    "shared",
)
KINDS = {".md", ".py", ".svg", ".sh", ".yaml", ".env"}
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for found in (ROOT.glob("*"), *((ROOT / folder).rglob("*") for folder in FOLDERS))
    for path in found
    if path.is_file() and (path.suffix in KINDS or path.name in {"Makefile", "Dockerfile"})
)

LONGEST = 25
"""Words in a sentence. Inline code, a path and a number count as one word each."""

BANNED = re.compile(
    r"""
    \b whose \s word \b
    | \b who (?: m | so )? ever \b
    | (?<! \b there \s ) \b (?: is | are | was | were ) \s no \s
      (?! (?: longer | more | less | fewer | later | earlier | such ) \b ) [a-z]+
    | \b nobody \b
    | \b (?: give | gives | given | giving ) \s it \s again \b
    | \b the \s books \b
    | \b (?: pass | passes | passed | passing ) \s over \b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""A reader must read these forms twice. The usual words: source of truth, which, is not, overridden, retry, accounted for."""

EXCEPTIONS: dict[str, str] = {}
"""Phrases that may hold a banned form, each with its reason: a word of a file format, for example."""

NOT_YET: frozenset[str] = frozenset()
"""Files that are still to be rewritten. Remove a file as soon as its test passes (pytest shows it as XPASS)."""


def banned_forms(text: str) -> list[str]:
    """The banned forms in a file, also where a line break or a comment sign is in the middle."""
    joined = re.sub(r"\s*\n[ \t]*(?:#:?[ \t])?[ \t]*", " ", text)
    for phrase in EXCEPTIONS:
        joined = joined.replace(phrase, "")
    return [match.group() for match in BANNED.finditer(joined)]


def long_sentences(block: str) -> list[str]:
    """The sentences of one paragraph with too many words."""
    plain = re.sub(r"(`+).+?\1", "Code", block, flags=re.DOTALL)
    plain = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", plain)
    sentences = re.split(r"(?<=[.!?])[)\"'”*_]*\s+(?=[^a-z\s])", plain)
    return [
        " ".join(sentence.split())
        for sentence in sentences
        if sum(bool(re.search(r"[^\W_]", word)) for word in sentence.split()) > LONGEST
    ]


def document_blocks(text: str) -> Iterator[str]:
    """The paragraphs, list items and table cells of a Markdown document, without its code blocks."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", text):
        block: list[str] = []
        for line in paragraph.splitlines():
            if line.startswith("|"):
                yield from line.split("|")
            elif re.match(r"\s*(?:[-*]|\d+\.)\s|#", line):
                yield "\n".join(block)
                block = [re.sub(r"^\s*(?:[-*]|\d+\.|#+)\s", "", line)]
            else:
                block.append(line)
        yield "\n".join(block)


def docstring_blocks(text: str) -> Iterator[str]:
    """The paragraphs, list items and section entries of a docstring, without literal blocks and tables."""
    block: list[str] = []
    literal: int | None = None
    for line in [*text.splitlines(), ""]:
        indent = len(line) - len(line.lstrip())
        if literal is not None and (not line.strip() or indent > literal):
            continue
        literal = None
        if not line.strip() or line.lstrip().startswith(("===", "---", "|", ">>>")):
            yield "\n".join(block)
            if block and block[-1].rstrip().endswith("::"):
                literal = len(block[-1]) - len(block[-1].lstrip())
            block = []
        elif re.match(r"\s*(?:[-*]|\d+\.)\s|\s+[\w*`]+(?:, [\w*`]+)*:\s|[A-Z]\w+:$", line):
            yield "\n".join(block)
            block = [re.sub(r"^\s*(?:[-*]|\d+\.)\s", "", line)]
        else:
            block.append(line)


def code_blocks(text: str) -> Iterator[str]:
    """The blocks of every docstring of a module, those of attributes too."""
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            match statement:
                case ast.Expr(ast.Constant(str() as docstring)):
                    yield from docstring_blocks(inspect.cleandoc(docstring))


def svg_blocks(text: str) -> Iterator[str]:
    """The texts of a drawing."""
    yield from re.findall(r">([^<>]+)<", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))


BLOCKS = {".md": document_blocks, ".py": code_blocks, ".svg": svg_blocks}


def faults(path: str) -> list[str]:
    """The forms and sentences in a file that must be rewritten."""
    text = (ROOT / path).read_text(encoding="utf-8")
    blocks = BLOCKS.get(Path(path).suffix, lambda _: iter(()))
    return [*banned_forms(text), *(found for block in blocks(text) for found in long_sentences(block))]


def marked(path: str) -> object:
    """The file as a parameter: it may fail as long as it is in `NOT_YET`."""
    not_yet = pytest.mark.xfail(strict=False, reason="not rewritten yet")
    return pytest.param(path, marks=not_yet) if path in NOT_YET else path


@pytest.mark.parametrize("path", [*map(marked, FILES)])
def test_a_file_is_in_plain_english(path: str) -> None:
    """It has no banned form, and no sentence that is too long."""
    assert faults(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "It asks whose word counts.",
        "Whoever finds it first",
        "The answer is no success.",
        "# A check that was passed\n    # over is on record.",
        "Nobody wrote there.",
        "If it ends with 1, give it again.",
        "THE BOOKS BALANCE",
    ],
)
def test_a_banned_form_is_found(text: str) -> None:
    """In upper and lower case, and across two lines."""
    assert len(banned_forms(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["There is no other one.", "It is no longer there.", "a second pass of both sides", "an overpass"],
)
def test_ordinary_english_is_not_banned(text: str) -> None:
    """Words that only look like a banned form."""
    assert banned_forms(text) == []


WORDS = "Word" + (LONGEST - 1) * " word"


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        (f"{WORDS}. {WORDS}!", 0),
        (f"{WORDS} word. {WORDS}", 1),
        (f"- {WORDS}\n- {WORDS}\n  word\n", 1),
        (f"| {WORDS} | {WORDS} word |", 1),
        (f"Run `{WORDS}`, then [stop]({WORDS}).", 0),
        (f"```\n{WORDS} word\n```\n", 0),
    ],
)
def test_a_long_sentence_of_a_document_is_found(text: str, longest: int) -> None:
    """In a paragraph, a list item and a cell; code and a link's address count as one word."""
    assert sum(len(long_sentences(block)) for block in document_blocks(text)) == longest


@pytest.mark.parametrize(
    ("docstring", "longest"),
    [
        (f"{WORDS}.\n\n{WORDS}", 0),
        (f"One.\n\n    Args:\n        one: {WORDS}\n        two: And {WORDS}\n            on.\n    ", 2),
        (f"One::\n\n        {WORDS} word\n\n    {WORDS} word", 1),
    ],
)
def test_a_long_sentence_of_a_docstring_is_found(docstring: str, longest: int) -> None:
    """In the text and in each entry of a section, but not in a literal block."""
    blocks = code_blocks(f'def f():\n    """{docstring}"""\n')
    assert sum(len(long_sentences(block)) for block in blocks) == longest


def test_every_exception_is_needed() -> None:
    """An exception that occurs nowhere is removed."""
    texts = [re.sub(r"\s+", " ", (ROOT / path).read_text(encoding="utf-8")) for path in FILES]
    assert [phrase for phrase in EXCEPTIONS if not any(phrase in text for text in texts)] == []


SCREENS = [path for path in FILES if path.endswith(".py") and not path.startswith(("bench", "local_gcs"))]
NO_NOUN = {"is", "was", "has", "as", "less", "this", "ms"}


def fixed_plurals(source: str) -> list[str]:
    """Numbers that a formatted text puts before a plural, whatever they are; one written as a constant is never 1."""
    found = []
    for text in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)):
        for value, after in pairwise(text.values):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            said = ast.unparse(value.value)
            spec = "" if value.format_spec is None else ast.unparse(value.format_spec)
            number = re.search(r",|\.0f|g'$", spec) or said.startswith(("len(", "sum("))
            noun = re.match(r" ([a-z]+s)\b(?!/)", str(after.value))
            if number and not said.isupper() and noun and noun[1] not in NO_NOUN:
                found.append(f"{{{said}}} {noun[1]}")
    return found


@pytest.mark.parametrize("path", SCREENS)
def test_a_number_before_a_noun_goes_by_the_function_that_knows_the_singular(path: str) -> None:
    """``1 objects`` was found on one screen after the other; `shared.text.counted` says ``1 object``."""
    assert fixed_plurals((ROOT / path).read_text(encoding="utf-8")) == []


def test_the_search_for_plurals_finds_them() -> None:
    """What a person would write without a second thought."""
    text = 'f"{n:,} objects are there" + f"{len(days)} days" + f"{MOST:,} names" + f"{n:,} is" + f"{name} s"'
    assert fixed_plurals(text) == ["{n} objects", "{len(days)} days"]
