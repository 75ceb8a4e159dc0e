"""What operators repeat comes from ``deploy/ENV.env``; an argument always wins."""

import argparse
from pathlib import Path

import pytest

from backfill_job.run.operator_values import fill_in, in_force
from deploy.values import read_values
from shared.errors import UsageError
from shared.migration import Environment

ROOT = Path(__file__).parent.parent.parent
LINES = 'CONSUMER_FILE=my.toml\nCHECKOUTS="../dags ../more"\nTABLE=p.d.t\nDEAD_LETTERS=l.json\nSKIP="tmp/* x"\nAUDIT_LOG=p-1\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of this repository with such lines in its file."""
    (tmp_path / "deploy").mkdir()
    usual = (ROOT / "deploy" / "dev.env").read_text()
    (tmp_path / "deploy" / "dev.env").write_text(usual + LINES)
    return tmp_path


def filled(root: Path, **given: object) -> dict[str, object]:
    arguments = argparse.Namespace(**given)
    fill_in(arguments, root)
    return vars(arguments)


def test_what_is_left_out_is_filled_in(checkout: Path) -> None:
    """Only what the command has; the deployment reads the same file, and takes no notice."""
    left_out = {
        "consumer": None,
        "repo": [],
        "table": None,
        "dead_letters": None,
        "skip": [],
        "audit_log": "",
    }
    left_out |= {"writer": [], "reader": []}
    assert filled(checkout, env="dev", **left_out) == {
        "env": "dev",
        "consumer": checkout / "my.toml",
        "repo": [checkout / "../dags", checkout / "../more"],
        "table": "p.d.t",
        "dead_letters": checkout / "l.json",
        "skip": ["tmp/*", "x"],
        "audit_log": "p-1",
        "writer": ["serviceAccount:qpi-exporter@example-app-dev.iam.gserviceaccount.com"],
        "reader": ["serviceAccount:airflow@example-composer-dev.iam.gserviceaccount.com"],
    }
    assert (
        read_values(Environment.DEV, checkout / "deploy").project
        == read_values(Environment.DEV, ROOT / "deploy").project
    )


def test_an_argument_wins_and_so_does_what_contradicts_a_value(checkout: Path) -> None:
    """A DuckDB file's table is not BigQuery's; where no mirror runs there are no dead letters; a pair has no file."""
    assert filled(checkout, env="dev", table="x.y.z")["table"] == "x.y.z"
    assert filled(checkout, env="dev", table=None, database=Path("f"))["table"] is None
    assert filled(checkout, env="dev", dead_letters=None, no_mirror=True)["dead_letters"] is None
    assert filled(checkout, env=None, table=None)["table"] is None
    assert filled(checkout, env="stg", table=None)["table"] is None


def test_the_status_says_which_are_in_force(checkout: Path) -> None:
    """And which are not set; without a file, or with a wrong one, that."""
    (checkout / "deploy" / "stg.env").write_text("TABLE=p.d.t\n")
    (checkout / "deploy" / "prod.env").write_text("TABLE=two words\n")
    assert in_force("stg", checkout) == (
        "settings in force, of deploy/stg.env: TABLE=p.d.t; not set: "
        "CONSUMER_FILE, CHECKOUTS, DEAD_LETTERS, SKIP, AUDIT_LOG, WRITER, CONSUMER"
    )
    assert in_force("dev", checkout).endswith("TABLE=p.d.t; DEAD_LETTERS=l.json; SKIP=tmp/* x; AUDIT_LOG=p-1")
    assert "; CONSUMER=serviceAccount:airflow@" in in_force("dev", checkout)
    assert "prod.env, line 1: 'two words' is not a possible value of TABLE" in in_force("prod", checkout)
    assert "there is no deploy/dev.env here" in in_force("dev", checkout / "deploy")
    assert not in_force(None, checkout)


def test_a_wrong_value_cannot_start(checkout: Path) -> None:
    """One line that names it, for the deployment and for every command."""
    file = checkout / "deploy" / "dev.env"
    file.write_text(file.read_text().replace("TABLE=p.d.t", "TABLE=p d"))
    with pytest.raises(UsageError, match=r"not a possible value of TABLE"):
        filled(checkout, env="dev", table=None)
    with pytest.raises(UsageError, match=r"not a possible value of TABLE"):
        read_values(Environment.DEV, checkout / "deploy")
