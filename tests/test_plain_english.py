"""Documents and production code are in plain English: no banned form, no sentence of more than 25 words."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("shared", "backfill_job", "mirror_function", "local_gcs", "monitoring", "demo", "deploy", "bench")
    for path in [*(ROOT / folder).rglob("*.py")]
) + ["main.py"]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "docs/*.svg", "deploy/*.md", "monitoring/*.md")
    for path in ROOT.glob(pattern)
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
"""Forms that a reader must read twice. The field's own words replace them: source of truth, overridden, retry, accounted for."""

EXCEPTIONS: dict[str, str] = {}
"""Phrases that may hold a banned form, each with its reason."""

NOT_YET: frozenset[str] = frozenset()
"""Files that are still to be rewritten. Take a file out as soon as its test passes unexpectedly."""


def banned_forms(text: str) -> list[str]:
    """The banned forms in a file, also where a line or a comment breaks one in two."""
    joined = re.sub(r"\s*\n[ \t]*(?:#:?[ \t]|\* )?[ \t]*", " ", text)
    for phrase in EXCEPTIONS:
        joined = joined.replace(phrase, "")
    return [match.group() for match in BANNED.finditer(joined)]


def long_sentences(block: str) -> list[str]:
    """The sentences of one paragraph that have too many words."""
    plain = re.sub(r"(`+).+?\1", "Code", block)
    plain = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", plain)
    sentences = re.split(r"(?<=[.!?])[)\"'”*_]*\s+(?=[^a-z\s])", plain)
    return [
        " ".join(sentence.split())
        for sentence in sentences
        if sum(1 for word in sentence.split() if re.search(r"[^\W_]", word)) > LONGEST
    ]


def document_blocks(text: str) -> Iterator[str]:
    """The paragraphs, list items and table cells of a Markdown document, without its code blocks."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", text):
        block: list[str] = []
        for line in paragraph.splitlines():
            if line.startswith("|"):
                yield from re.split(r"(?<!\\)\|", line)
            elif re.match(r"\s*(?:[-*]|\d+\.)\s|#", line):
                yield "\n".join(block)
                block = [re.sub(r"^\s*(?:[-*]|\d+\.|#+)\s", "", line)]
            else:
                block.append(line)
        yield "\n".join(block)


def docstrings(tree: ast.AST) -> Iterator[str]:
    """Every docstring of a module, those of attributes too."""
    for node in ast.walk(tree):
        for statement in getattr(node, "body", None) or [] if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            match statement:
                case ast.Expr(ast.Constant(str() as text)):
                    yield inspect.cleandoc(text)


def docstring_blocks(text: str) -> Iterator[str]:
    """The paragraphs, list items and section entries of a docstring, without literal blocks and tables."""
    literal: int | None = None
    block: list[str] = []
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
        elif re.match(r"\s*(?:[-*]\s|\d+\.\s|[\w`*, ]+(?: \([^)]*\))?:(?:\s|$))", line):
            yield "\n".join(block)
            block = [re.sub(r"^\s*(?:[-*]|\d+\.)\s", "", line)]
        else:
            block.append(line)


def svg_blocks(text: str) -> Iterator[str]:
    """The texts of a drawing."""
    yield from re.findall(r">([^<>]+)<", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))


def faults(path: str) -> list[str]:
    """What is to be rewritten in a file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".py"):
        blocks = (block for docstring in docstrings(ast.parse(text)) for block in docstring_blocks(docstring))
    else:
        blocks = svg_blocks(text) if path.endswith(".svg") else document_blocks(text)
    return [*banned_forms(text), *(sentence for block in blocks for sentence in long_sentences(block))]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.xfail(strict=False, reason="not rewritten yet"))
        if path in NOT_YET
        else path
        for path in [*DOCUMENTS, *CODE]
    ],
)
def test_a_file_is_in_plain_english(path: str) -> None:
    """Neither a banned form, nor a sentence that is too long."""
    assert faults(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "It asks whose word counts.",
        "Whoever finds it first",
        "The answer is no success.",
        "# A check that was passed\n#   over is on record.",
        "Nobody wrote there.",
        "If it ends with 1, give it again.",
        "the books balance",
    ],
)
def test_a_banned_form_is_found(text: str) -> None:
    """In any case, and across two lines."""
    assert len(banned_forms(text)) == 1


@pytest.mark.parametrize("text", ["There is no other one.", "It is no longer there.", "a second pass of both sides"])
def test_ordinary_english_is_not_banned(text: str) -> None:
    """What only looks like it."""
    assert banned_forms(text) == []


def test_only_a_sentence_that_is_too_long_is_found() -> None:
    """In paragraphs, list items and cells, but not across them; code is one word."""
    words = " ".join(["word"] * LONGEST)
    assert [*map(long_sentences, document_blocks(f"{words}. {words}.\n\n- {words}\n- {words}\n"))].count([]) == 4
    assert sum((long_sentences(block) for block in document_blocks(f"| a | b {words} |")), []) == [f"b {words}"]
    assert long_sentences(f"Run `{words}`, then stop.") == []
    entry = f"Reads.\n\nArgs:\n    one: {words}\n    two: It {words}"
    assert [len(long_sentences(block)) for block in docstring_blocks(entry) if "two" in block] == [1]
    assert "two" in faults_of_docstring(entry)


def faults_of_docstring(text: str) -> str:
    """The long sentences of a docstring in a module, as one text."""
    found = [block for whole in docstrings(ast.parse(f'"""{text}"""\n')) for block in docstring_blocks(whole)]
    return " ".join(sentence for block in found for sentence in long_sentences(block))


def test_every_exception_is_needed() -> None:
    """Else it goes."""
    texts = " ".join(" ".join((ROOT / path).read_text().split()) for path in [*DOCUMENTS, *CODE])
    assert [phrase for phrase in EXCEPTIONS if phrase not in texts] == []
