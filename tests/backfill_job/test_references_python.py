"""Names that lead from one Python file to another, and a person's word for what cannot be resolved."""

from pathlib import Path
from textwrap import dedent

import pytest
from testing_references import MIGRATIONS, classes, write_tree

from backfill_job.references.scan import scan


def found(root: Path, tree: dict[str, str]) -> list[tuple[str, int, str]]:
    result = scan([write_tree(root, tree)], MIGRATIONS)
    return [(finding.path.name, finding.line, finding.kind.value) for finding in result.findings]


USE = "import config\nfrom config import PREFIX\n\nhook.list(config.BUCKET, prefix=PREFIX)\n"


def test_a_file_without_the_name_is_read_when_it_imports_it(tmp_path: Path) -> None:
    """The prefix's constant lies in one module and every use of it in another, which never spells it."""
    config = 'BUCKET = "data-bucket-dev"\nPREFIX = "QPI_exports/"\n'
    assert found(tmp_path, {"config.py": config, "use.py": USE}) == [("use.py", 4, "legacy")]


def test_a_constant_that_is_exported_again_is_followed(tmp_path: Path) -> None:
    """config re-exports it from its own package, the DAG imports it under another name."""
    tree = {
        "config/__init__.py": "from .paths import PREFIX\n",
        "config/paths.py": 'PREFIX = "QPI_exports/"\n',
        "use.py": 'from config import PREFIX as P\nhook.list("data-bucket-dev", prefix=P)\n',
    }
    assert found(tmp_path, tree) == [("use.py", 2, "legacy")]


def test_the_nearest_module_of_a_name_is_meant(tmp_path: Path) -> None:
    """Two projects in one checkout have a module config each; each DAG reads its own."""
    use = 'from config import BUCKET\nhook.list(BUCKET, prefix="QPI_exports/")\n'
    tree = {
        "a/config.py": 'BUCKET = "data-bucket-dev"\n',
        "a/use.py": use,
        "b/config.py": 'BUCKET = "de-bigquery-data-export-dev"\n',
        "b/use.py": use,
    }
    assert [kind for _, _, kind in found(tmp_path, tree)] == ["legacy", "mixed"]


def test_a_config_module_outside_of_the_scanned_path_is_read_within_the_checkout(tmp_path: Path) -> None:
    """Only the DAGs' folder is scanned; the bucket's constant lies beside it."""
    (tmp_path / ".git").mkdir()
    tree = {
        "config.py": 'BUCKET = "data-bucket-dev"\n',
        "dags/use.py": 'from config import BUCKET\nhook.list(BUCKET, prefix="QPI_exports/")\n',
    }
    result = scan([write_tree(tmp_path, tree) / "dags"], MIGRATIONS)
    assert [finding.kind.value for finding in result.findings] == ["legacy"]


def test_a_helper_s_callers_in_other_files_are_followed(tmp_path: Path) -> None:
    """The literal lies in a helper, the bucket comes from a file that never names the prefix."""
    tree = {
        "helper.py": 'def check(hook, bucket):\n    return hook.list(bucket, prefix="QPI_exports/")\n',
        "dag.py": 'from helper import check\n\ncheck(None, "data-bucket-prod")\n',
    }
    assert [kind for _, _, kind in found(tmp_path, tree)] == ["legacy"]


def test_an_unknown_caller_leaves_a_helper_unresolved(tmp_path: Path) -> None:
    """The helper is also handed around as a value: an unknown caller may give it any bucket."""
    code = 'def check(bucket):\n    h.list(bucket, prefix="QPI_exports/")\n\ncheck("de-bigquery-data-export-dev")\nrun(check)\n'
    assert "unresolved" in classes(write_tree(tmp_path, {"a.py": code}))


def test_only_an_unresolved_finding_can_be_reviewed(tmp_path: Path) -> None:
    """A person's word lets an unresolved name pass and no legacy one; it needs a reason."""
    code = dedent("""\
        foo("QPI_exports")  # references: reviewed the name of a dashboard
        # references: reviewed a label
        bar("QPI_exports")
        baz("QPI_exports")  # references: reviewed
        read("gs://data-bucket-dev/QPI_exports/")  # references: reviewed no
    """)
    result = scan([write_tree(tmp_path, {"a.py": code})], MIGRATIONS)
    reviewed = [
        (finding.line, finding.reviewed, finding.blocks)
        for finding in result.findings
        if finding.place.value == "code"
    ]
    assert reviewed == [
        (1, "the name of a dashboard", False),
        (3, "a label", False),
        (4, "", True),
        (5, "", True),
    ]


def test_a_constant_that_another_file_sets_is_not_believed(tmp_path: Path) -> None:
    """Somewhere else the config module's bucket is replaced: what the module itself says is not all."""
    tree = {
        "config.py": 'BUCKET = "de-bigquery-data-export-dev"\n',
        "setup_local.py": 'import config\n\nconfig.BUCKET = "data-bucket-dev"\n',
        "use.py": 'import config\nhook.list(config.BUCKET, prefix="qpi_exports/")\n',
    }
    assert found(tmp_path, tree) == [("use.py", 2, "unresolved")]


BUCKET = "de-bigquery-data-export-dev"
SETTINGS_CLASS = "class S(BaseSettings):\n    {field}\ns = S()\nh.list('{bucket}', prefix=s.{name})"
PREFIX_FROM_OUTSIDE = {
    "a.py": f'h.list("{BUCKET}", prefix=os.environ["QPI_PREFIX"])',
    "b.py": f'h.list("{BUCKET}", prefix=Variable.get("qpi_prefix", default_var="qpi_exports/"))',
    "c.py": f'Op(bucket="{BUCKET}", source_objects=["{{{{ var.value.qpi_prefix }}}}x"])',
    "d.py": SETTINGS_CLASS.format(field="qpi_prefix: str", bucket=BUCKET, name="qpi_prefix"),
    "e.py": SETTINGS_CLASS.format(
        field='model_config = Config(env_prefix="QPI_")\n    prefix: str = "qpi_exports/"',
        bucket=BUCKET,
        name="prefix",
    ),
    "f.sh": f"gsutil ls gs://{BUCKET}/$QPI_PREFIX/",
    "g.sql": f"SELECT 'gs://{BUCKET}/{{{{ env_var(\"QPI_PREFIX\") }}}}/*'",
    "h.tf": f'x = "gs://{BUCKET}/${{var.qpi_prefix}}/"',
}


@pytest.mark.parametrize("file", PREFIX_FROM_OUTSIDE)
def test_a_prefix_that_is_only_given_from_outside_is_found(file: str, tmp_path: Path) -> None:
    """The code does not name the old prefix: the value that it is deployed with does."""
    given = dict.fromkeys(["QPI_PREFIX", "AIRFLOW_VAR_QPI_PREFIX", "TF_VAR_qpi_prefix"], "QPI_exports/")
    root = write_tree(tmp_path, {file: PREFIX_FROM_OUTSIDE[file] + "\n"})
    assert "mixed" in [finding.kind.value for finding in scan([root], MIGRATIONS, settings=given).blocking]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("Dockerfile", "ENV QPI_BUCKET=de-bigquery-data-export-dev QPI_PREFIX=qpi_exports/"),
        ("compose.yml", "environment:\n  QPI_BUCKET: de-bigquery-data-export-dev\n  PREFIX: qpi_exports/"),
        (
            "a.tf",
            'variable "QPI_BUCKET" { default = "de-bigquery-data-export-dev" }\nx = "gs://${var.QPI_BUCKET}/qpi_exports/"',
        ),
        (
            "a.py",
            'class S(BaseSettings):\n    b: str = Field("de-bigquery-data-export-dev", env="QPI_BUCKET")\ns = S()\nh.list(s.b, prefix="qpi_exports/")',
        ),
        ("a.sql", "SELECT 'gs://{{ env_var('QPI_BUCKET', 'de-bigquery-data-export-dev') }}/qpi_exports/'"),
    ],
)
def test_a_bucket_given_from_outside_overrides_what_is_written(file: str, code: str, tmp_path: Path) -> None:
    """It is right as it is written, and reads a dead path as it is deployed."""
    root = write_tree(tmp_path, {file: code + "\n"})
    assert scan([root], MIGRATIONS).clean
    given = {"QPI_BUCKET": "data-bucket-dev"}
    assert [one.kind.value for one in scan([root], MIGRATIONS, settings=given).blocking] == ["mixed"]


def test_what_decides_a_folder_is_said(tmp_path: Path) -> None:
    """The bucket is read, a known layout stands below a variable: the variable decides which path it is."""
    code = 'h.list("data-bucket-dev", prefix=f"{os.environ[\'X\']}/qpi_answers_{day}/")\n'
    (finding,) = scan([write_tree(tmp_path, {"a.py": code})], MIGRATIONS).blocking
    assert (finding.kind.value, finding.note, finding.variables) == (
        "unresolved",
        "the folder could not be read",
        ("X",),
    )
