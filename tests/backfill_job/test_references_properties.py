"""Random forms of code: a false "clean" never comes out, and changing is done once."""

import ast
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from testing_references import MIGRATIONS, apply_changes, write_tree

from backfill_job.references.findings import ScanResult
from backfill_job.references.scan import scan

BUCKETS = {
    '"data-bucket-dev"': "legacy",
    'f"data-bucket-{env}"': "legacy",
    '"data-bucket-" + env': "legacy",
    '"data-bucket-{}".format(env)': "legacy",
    '"data-bucket-%s" % env': "legacy",
    'os.environ.get("QPI", f"data-bucket-{env}")': "legacy",
    '"data-bucket-{{ var.value.env }}"': "legacy",
    '"de-bigquery-data-export-prod"': "new",
    '"-".join(["de-bigquery", "data-export", env])': "new",
    '("de-bigquery-" "data-export-prod")': "new",
    'f"airflow-data-bucket-{env}"': "other",
    '"data-bucket-ml-temp-prod"': "other",
    'os.environ["QPI"]': "unknown",
    "settings.bucket()": "unknown",
}
PREFIXES = {
    '"QPI_exports/"': "old",
    '"QPI_exports"': "old",
    '"QPI_" + "exports/"': "old",
    'f"QPI_exports/qpi_answers_{day}/"': "old",
    '"QPI_exports/%s/" % day': "old",
    '"/".join(["QPI_exports", day])': "old",
    '"qpi_exports/"': "new",
    '"qpi_exports/{{ ds_nodash }}/*.jsonl"': "new",
    '"qpi_EXPORTS/"': "neither",
}
PLACES = ["{}", "NAME", "config.NAME", "imported NAME", 'D["x"]', "C.x", "give()", "C().x"]
SINKS = [
    "Operator(task_id='t', bucket={b}, source_objects=[{p}])",
    "GCSHook().exists({b}, {p})",
    "GCSHook().list(bucket_name={b}, prefix={p})",
    "client.bucket({b}).blob({p})",
    "client.list_blobs({b}, prefix={p})",
    'read(f"gs://{{{b}}}/{{{p}}}")',
    'read("gs://" + {b} + "/" + {p})',
    'read(os.path.join("gs://", {b}, {p}))',
    "run(dict(bucket={b}, prefix={p}))",
    'run({{"bucket": {b}, "prefix": {p}}})',
    "sync(src={p}, place={b})",
    "check({b}, {p})",
]
Tree = tuple[str, str, tuple[str, ...], tuple[str, ...], str]
HEAD = "import os\n\nimport config\nfrom config import *\n\n\ndef check(where, what):\n    return GCSHook().list(where, prefix=what)\n\n\n"
RIGHT = {
    ("legacy", "old"): "legacy",
    ("legacy", "new"): "mixed",
    ("legacy", "neither"): "mixed",
    ("new", "old"): "mixed",
    ("new", "new"): "migrated",
    ("new", "neither"): "mixed",
}


def placed(value: str, where: str, name: str) -> tuple[str, str, str]:
    """A value at a place: lines of the config module, lines before the use, and what the use says."""
    match where:
        case "NAME":
            return "", f"{name} = {value}\n", name
        case "config.NAME":
            return f"{name} = {value}\n", "", f"config.{name}"
        case "imported NAME":
            return f"{name} = {value}\n", f"from config import {name} as {name}_\n", f"{name}_"
        case 'D["x"]':
            return "", f"{name} = {{'x': {value}, 'y': 'z'}}\n", f"{name}['x']"
        case "C.x":
            return f"class {name}:\n    x = {value}\n", "", f"config.{name}.x"
        case "give()":
            return "", f"def {name}():\n    return {value}\n", f"{name}()"
        case "C().x":
            return (
                "",
                f"class {name}:\n    def __init__(self, x):\n        self.x = x\n{name}_ = {name}({value})\n",
                f"{name}_.x",
            )
        case _:
            return "", "", value


trees = st.builds(
    lambda b, p, at_b, at_p, sink: (b, p, placed(b, at_b, "B"), placed(p, at_p, "P"), sink),
    st.sampled_from(sorted(BUCKETS)),
    st.sampled_from(sorted(PREFIXES)),
    st.sampled_from(PLACES),
    st.sampled_from(PLACES),
    st.sampled_from(SINKS),
)


def written(root: Path, tree: Tree) -> Path:
    _, _, (config_b, before_b, use_b), (config_p, before_p, use_p), sink = tree
    # Within an f-string of Python 3.11 the other quotes have to be used.
    quote = {ord('"'): "'"} if "{{{b}}}" in sink else {}
    use = sink.format(b=use_b.translate(quote), p=use_p.translate(quote))
    if "{'" in use and sink.startswith("read(f"):
        use = "read('gs://%s/%s' % (" + use_b + ", " + use_p + "))"
    code = HEAD + before_b + before_p + use + "\n"
    return write_tree(root, {"config.py": "import os\n" + config_b + config_p, "dag.py": code})


def parses(root: Path) -> bool:
    try:
        for path in root.glob("*.py"):
            ast.parse(path.read_text())
    except SyntaxError:
        return False
    return True


@contextmanager
def checkout_with(tree: Tree) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        root = written(Path(folder), tree)
        assume(parses(root))
        yield root


def in_code(result: ScanResult) -> set[str]:
    return {finding.kind.value for finding in result.findings if finding.place.value == "code"}


@settings(max_examples=250, deadline=None)
@given(trees)
def test_any_form_is_right_or_left_to_a_person(
    tree: Tree,
) -> None:
    """Whatever expressions name bucket and prefix: the right class or unresolved; never nothing, never a wrong "migrated"."""
    with checkout_with(tree) as root:
        kinds = in_code(scan([root], MIGRATIONS))
    right = RIGHT.get((BUCKETS[tree[0]], PREFIXES[tree[1]]))
    if BUCKETS[tree[0]] == "other":
        right = "elsewhere"
    allowed = {"unresolved"} | ({right} if right else set())
    assert kinds, "nothing was found"
    assert kinds <= allowed


@settings(max_examples=120, deadline=None)
@given(trees)
def test_changing_leaves_nothing_that_it_changed_and_is_done_once(
    tree: Tree,
) -> None:
    """After a fix the files parse, what was changed is migrated, and a second fix changes nothing."""
    with checkout_with(tree) as root:
        before = {path: path.read_bytes() for path in root.iterdir()}
        changed, refused = apply_changes(root)
        assert parses(root)
        result = scan([root], MIGRATIONS)
        assert len(result.blocking) == len(refused)
        if changed and not refused:
            assert in_code(result) == {"migrated"}
        after = {path: path.read_bytes() for path in root.iterdir()}
        assert changed or after == before
        assert apply_changes(root)[0] == 0
        assert {path: path.read_bytes() for path in root.iterdir()} == after


NOISE = st.text(st.sampled_from(string.printable + "äß€\u2028"), max_size=40)
CASES = st.lists(st.booleans(), min_size=11, max_size=11).map(
    lambda upper: "".join(char.upper() if up else char for char, up in zip("qpi_exports", upper, strict=True))
)


@settings(max_examples=400, deadline=None)
@given(
    NOISE,
    CASES,
    NOISE,
    st.sampled_from([".py", ".yaml", ".json", ".sh", ".sql", ".tf", ".md", ".ipynb", ".js", "", ".bin"]),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_the_name_in_any_case_anywhere_is_always_a_finding(
    before: str, name: str, behind: str, suffix: str, encoding: str
) -> None:
    """Valid or not, in whatever language and encoding: a file that holds the prefix's name has a finding."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(f"{before}{name}{behind}".encode(encoding, "replace"))
        result = scan([path], MIGRATIONS)
        assert result.findings


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SINKS[:4]), CASES, NOISE)
def test_the_name_in_valid_code_is_always_a_finding(sink: str, name: str, behind: str) -> None:
    """A literal with anything behind the name, in a call, is found whatever the rest of the text is."""
    with TemporaryDirectory() as folder:
        code = sink.format(b="settings.bucket()", p=repr(name + behind))
        root = write_tree(Path(folder), {"dag.py": code + "\n"})
        assert scan([root], MIGRATIONS).findings
