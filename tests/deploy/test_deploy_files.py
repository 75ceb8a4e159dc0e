"""Image, uploads and build: what they are made of, held against the services' own schemas and against each other."""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import googleapiclient
import jsonschema
import pytest
import yaml
from gcloud_parser import documented_commands, mentioned_commands, needs_gcloud, not_understood

from backfill_job.commands import load
from deploy.__main__ import main as deploy_main
from deploy.parts import image, uploaded
from deploy.project import BUILD
from deploy.values import read_values
from shared.env_file import OPERATOR_FORMS
from shared.migration import Environment

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


def build() -> Any:
    return yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())


def steps() -> dict[str, Any]:
    return {step["id"]: step for step in build()["steps"]}


def ran(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **options)


class TestImage:
    """The Dockerfile."""

    def test_hadolint_has_nothing_to_say(self) -> None:
        """Not even at its lowest level."""
        done = ran(BIN / "hadolint", "Dockerfile")
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    def test_it_runs_as_nobody_and_without_a_shell(self) -> None:
        """A number that is not root's; the entry point in exec form, so that SIGTERM arrives."""
        lines = instructions()
        assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
        (entry,) = [line.removeprefix("ENTRYPOINT ") for line in lines if line.startswith("ENTRYPOINT ")]
        assert json.loads(entry) == ["python", "-m", "backfill_job"]
        assert lines.index("USER 10001:10001") > max(
            number for number, line in enumerate(lines) if line.startswith(("RUN ", "COPY "))
        )

    def test_its_python_is_the_one_of_the_lock_and_of_the_functions(self) -> None:
        """What the tests run on is what runs."""
        version = "3.11"
        assert instructions()[0].startswith(f"FROM python:{version}-slim")
        assert f"--python-version {version}" in (ROOT / "Makefile").read_text()
        assert steps()["test"]["name"].startswith(f"python:{version}")
        assert (
            f"--runtime=python{version.replace('.', '')}"
            in (ROOT / "tests/deploy/golden/prod.sh").read_text()
        )

    def test_no_compiler_and_no_system_package_is_installed(self) -> None:
        """Wheels by their hashes, and nothing else."""
        runs = " ".join(line for line in instructions() if line.startswith("RUN "))
        assert not re.search(r"apt|build-essential|gcc", runs)
        assert "--no-deps --require-hashes --only-binary=:all:" in runs

    def test_its_context_is_what_is_copied(self) -> None:
        """``.dockerignore`` leaves out everything that no COPY names."""
        kept = [
            line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
        ]
        copied = [line.split()[1] for line in instructions() if line.startswith("COPY ")]
        assert sorted(kept) == sorted(copied)

    def test_it_is_installed_and_starts_for_another_user_in_a_tree_that_is_read_only(self) -> None:
        """The Dockerfile's own install command in a bare environment without a compiler, and its own entry point."""
        python = next(filter(for_everybody, PYTHONS), None) if os.geteuid() == 0 else None
        nobody: dict[str, Any] = {"user": 10001, "group": 10001, "extra_groups": []} if python else {}
        with TemporaryDirectory() as name:
            folder = Path(name)
            install(folder, python or sys.executable)
            scratch = folder / "tmp"
            scratch.mkdir()
            for path in (folder, *folder.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444)
            scratch.chmod(0o777)
            environ = {"PATH": f"{folder / 'venv/bin'}:/usr/bin:/bin", "PYTHONPATH": str(folder / "app")}
            loaded = "import google.cloud.bigquery, backfill_job.delete_old_qpi_exports, backfill_job.commands.verify"
            for words in (
                ["-m", "backfill_job", "--help"],
                ["-m", "backfill_job", "import-test", "--help"],
                ["-c", loaded],
            ):
                done = subprocess.run(
                    [folder / "venv/bin/python", *words],
                    capture_output=True,
                    text=True,
                    check=False,
                    env=environ | {"PYTHONSAFEPATH": "1"},
                    cwd=scratch,
                    **nobody,
                )
                assert (done.returncode, done.stderr) == (0, ""), words
            for path in (folder, *folder.rglob("*")):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)


PYTHONS = (os.path.realpath(sys.executable), "/usr/bin/python3.11", "/usr/local/bin/python3.11")


def for_everybody(python: str) -> bool:
    """Whether another user can run it."""
    path = Path(python)
    return path.exists() and all(one.stat().st_mode & 0o001 for one in (path, *path.parents))


def instructions() -> list[str]:
    """The Dockerfile's instructions, one a line."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def install(folder: Path, python: str) -> None:
    """What the Dockerfile's COPY and RUN do, below a folder, in a bare environment of a Python."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    for line in instructions():
        kind, _, rest = line.partition(" ")
        if kind == "COPY":
            source, target = rest.split()
            place = folder / target.lstrip("/")
            if source.endswith("/"):
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
        elif kind == "RUN":
            words = [
                str(folder / word[1:]) if word.startswith("/app") else word for word in shlex.split(rest)
            ]
            environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            environ |= {"PATH": f"{folder / 'venv' / 'bin'}:/usr/bin:/bin", "CC": "/bin/false"}
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ)
            assert done.returncode == 0, done.stderr


class TestUploads:
    """What gcloud uploads: asked of gcloud."""

    @needs_gcloud
    def test_a_function_is_uploaded_with_just_what_runs(self, tmp_path: Path) -> None:
        """As ``gcloud meta list-files-for-upload`` says; without pyproject.toml, which the buildpack would follow."""
        done = ran(
            "gcloud", "meta", "list-files-for-upload", env={**os.environ, "CLOUDSDK_CONFIG": str(tmp_path)}
        )
        assert sorted(done.stdout.split()) == [*uploaded(ROOT)]

    def test_the_rules_of_the_two_uploads(self) -> None:
        """A function leaves out everything but what is named; a build, what git leaves out."""
        rules = [
            line for line in (ROOT / ".gcloudignore").read_text().splitlines() if not line.startswith("# ")
        ]
        assert rules == [
            "/*",
            "!/main.py",
            "!/requirements.txt",
            "!/shared/",
            "!/mirror_function/",
            "__pycache__/",
            "*.pyc",
        ]
        whole = (ROOT / ".gcloudignore-build").read_text()
        assert "#!include:.gitignore" in whole
        for name in ("cloudbuild.yaml", "docs/deploy.md", ".gcloudignore"):
            text = (ROOT / name).read_text()
            assert "builds submit" in text
            assert "--ignore-file=.gcloudignore-build" in text

    def test_everything_a_build_needs_is_in_the_checkout(self) -> None:
        """Neither ignored by git nor left for somebody's machine."""
        needed = [
            "Dockerfile",
            "cloudbuild.yaml",
            "deploy/dev.env",
            "deploy/stg.env",
            "deploy/prod.env",
            ".ci/run",
        ]
        done = ran("git", "check-ignore", *needed)
        assert done.stdout == ""
        assert all((ROOT / name).exists() for name in needed)


@cache
def cloud_build_schema() -> dict[str, Any]:
    """Cloud Build's own description of a build as a JSON schema that knows nothing beyond it."""
    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    document = json.loads((folder / "cloudbuild.v1.json").read_text())
    definitions = {name: strict(schema) for name, schema in document["schemas"].items()}
    return {"$ref": "#/definitions/Build", "definitions": definitions}


def strict(schema: Any) -> dict[str, Any]:
    """A schema of a discovery document as a JSON schema."""
    if "$ref" in schema:
        return {"$ref": f"#/definitions/{schema['$ref']}"}
    match schema.get("type"):
        case "object":
            properties = {name: strict(one) for name, one in schema.get("properties", {}).items()}
            more = schema.get("additionalProperties")
            return {
                "type": "object",
                "properties": properties,
                "additionalProperties": strict(more) if more else False,
            }
        case "array":
            return {"type": "array", "items": strict(schema["items"])}
        case "string" if "enum" in schema:
            return {"enum": schema["enum"]}
        case "any":
            return {}
        case kind:
            return {"type": kind}


class TestBuild:
    """``cloudbuild.yaml``."""

    def test_the_vendored_schema_takes_it(self) -> None:
        """check-jsonschema's, without a network."""
        done = ran(BIN / "check-jsonschema", "--builtin-schema", "vendor.cloudbuild", "cloudbuild.yaml")
        assert done.returncode == 0, done.stdout

    def test_cloud_build_s_own_description_takes_it(self) -> None:
        """And refuses a field that it does not know."""
        jsonschema.validate(build(), cloud_build_schema())
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(build() | {"substitution": {}}, cloud_build_schema())

    @needs_gcloud
    def test_gcloud_s_own_loader_takes_it(self, tmp_path: Path) -> None:
        """The very check of ``builds submit``; and it refuses a misspelt field."""
        misspelt = tmp_path / "wrong.yaml"
        misspelt.write_text((ROOT / "cloudbuild.yaml").read_text().replace("\ntimeout:", "\ntimeuot:"))
        for path, code in ((ROOT / "cloudbuild.yaml", 0), (misspelt, 3)):
            assert ran("/usr/bin/env", "python3", "-c", LOADER, str(path), gcloud_root()).returncode == code

    def test_the_order_is_test_build_push_deploy_monitor(self) -> None:
        """Nothing is deployed that was not tested; alerts come after the metrics they read, which monitoring.apply sees to."""
        assert [*steps()] == ["test", "build", "push", "jobs", "functions", "scheduler", "monitoring"]

    def test_every_substitution_is_known_and_used(self) -> None:
        """An unused one fails the build, an unknown one is empty."""
        content = build()
        text = json.dumps({key: value for key, value in content.items() if key != "substitutions"})
        values = " ".join(content["substitutions"].values())
        used = set(re.findall(r"\$\{(_[A-Z]+)\}", text + values))
        assert used == set(content["substitutions"])
        # $$NAME is the shell's; everything else with a dollar is Cloud Build's.
        assert set(re.findall(r"(?<!\$)\$\{?([A-Z]\w*)", text + values)) == {"BUILD_ID"}

    @pytest.mark.parametrize("env", Environment, ids=lambda env: env.value)
    def test_the_image_that_is_pushed_is_the_one_the_jobs_run(self, env: Environment) -> None:
        """And the account is the one that was made for builds."""
        values = read_values(env, ROOT / "deploy")
        given = {"_ENV": env.value, "_PROJECT": values.project, "_REGION": values.region, "_TAG": "abc"}
        content = build()

        def filled(text: str) -> str:
            for name, value in given.items():
                text = text.replace(f"${{{name}}}", value)
            return text

        assert filled(content["substitutions"]["_IMAGE"]) == image(values, "abc")
        assert filled(content["serviceAccount"]).endswith(f"/{values.account(BUILD)}")

    def test_a_build_of_its_own_account_logs_to_cloud_logging(self) -> None:
        """Without that a build with an account of its own is refused."""
        assert build()["options"]["logging"] == "CLOUD_LOGGING_ONLY"

    def test_the_steps_deploy_what_there_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each step's own arguments, printed instead of performed."""
        found = []
        for name in ("jobs", "functions", "scheduler"):
            words = [word.replace("${_ENV}", "dev").replace("${_TAG}", "t") for word in steps()[name]["args"]]
            assert words[:2] == ["-m", "deploy"]
            assert deploy_main([*words[2:], "--print"]) == 0
            found += words[-1:]
            assert "gcloud" in capsys.readouterr().out
        assert found == ["jobs", "functions", "scheduler"]

    def test_its_shell_is_good(self) -> None:
        """As shellcheck sees it after Cloud Build has put its values in."""
        for step in steps().values():
            if step["args"][0] == "-euc":
                text = re.sub(r"(?<!\$)\$\{(_[A-Z]+)\}", "dev", step["args"][1]).replace("$$", "$")
                command = [BIN / "shellcheck", "--shell=bash", "--exclude=SC1091,SC2154,SC2016", "-"]
                done = ran(*command, input=text)
                assert (done.returncode, done.stdout) == (0, ""), step["id"]

    @pytest.mark.skipif(find_spec("monitoring") is None, reason="the package monitoring is not here yet")
    @pytest.mark.parametrize("env", Environment, ids=lambda env: env.value)
    def test_the_monitoring_step_s_arguments_are_taken(self, env: Environment, tmp_path: Path) -> None:
        """Run by bash with the environment's own values, up to the command, which a stand-in prints; then parsed."""
        text = steps()["monitoring"]["args"][1].replace("${_ENV}", env.value).replace("$$", "$")
        stand_in = tmp_path / "python"
        stand_in.write_text("#!/bin/sh\nshift 2\nprintf '%s\\n' \"$@\"\n")
        stand_in.chmod(0o755)
        (command,) = [line for line in re.sub(r"\\\n", " ", text).splitlines() if "monitoring.apply" in line]
        script = f"set -eu\n. deploy/{env.value}.env\n{re.sub(r'^ *[^ ]*python', str(stand_in), command)}"
        given = ran("bash", "-c", script).stdout.splitlines()
        apply = import_module("monitoring.apply")
        parser = argparse.ArgumentParser()
        apply.add_value_arguments(parser)
        parser.add_argument("--channel")
        apply.resources_of(parser.parse_args(given))


def gcloud_root() -> str:
    return ran("gcloud", "info", "--format=value(installation.sdk_root)").stdout.strip()


LOADER = """
import sys, yaml
path, root = sys.argv[1:]
sys.path[:0] = [root + "/lib", root + "/lib/third_party"]
from googlecloudsdk.api_lib.cloudbuild import cloudbuild_util, config
try:
    config.LoadCloudbuildConfigFromPath(path, cloudbuild_util.GetMessagesModule())
except Exception as error:
    print(error)
    sys.exit(3)
"""


class TestDocumentation:
    """``docs/deploy.md``: its commands."""

    @needs_gcloud
    def test_gcloud_understands_them(self, tmp_path: Path) -> None:
        """Each command and flag exists."""
        commands = [words for words in documented_commands() if words[0] == "gcloud"]
        assert len(commands) >= 10
        commands += mentioned_commands()
        assert not_understood(commands, tmp_path) == []

    def test_our_own_commands_take_their_arguments(self) -> None:
        """Those typed here, and those that a job is given."""
        typed = [words[2:] for words in documented_commands() if words[0] == ".venv/bin/python"]
        given = [
            ["backfill_job", *word.removeprefix("--args=").split(",")]
            for words in documented_commands()
            for word in words
            if word.startswith("--args=")
        ]
        assert {words[0] for words in typed} == {"deploy", "backfill_job"}
        for module, *words in (*typed, *given):
            if module == "deploy":
                assert deploy_main([*words, "--print"]) == 0
            else:
                parser = argparse.ArgumentParser(exit_on_error=False)
                load(words[0]).prepare(parser)
                parser.parse_args(words[1:])

    def test_the_canary_waits_longer_than_a_new_trigger_takes(self) -> None:
        """Up to two minutes (gcloud, ``api_lib/eventarc/triggers.py``); the usual 60 seconds would be too short here."""
        (smoke,) = [words for words in documented_commands() if "--canary" in words]
        assert int(smoke[smoke.index("--canary") + 1]) >= 2 * 60

    def test_what_a_block_uses_is_set_before(self) -> None:
        """Pasted from the top to the bottom: no variable is used before a block sets it."""
        text = (ROOT / "docs" / "deploy.md").read_text()
        values = re.findall(r"^([A-Z_]+)=", (ROOT / "deploy" / "dev.env").read_text(), re.MULTILINE)
        known: set[str] = set()
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                assert set(re.findall(r"\$([A-Z_]+)", line)) <= known, line
                known |= {*re.findall(r"^([A-Z_]+)=", line)}
                known |= {*values, *OPERATOR_FORMS} if line.startswith(". deploy/") else set()

    def test_every_value_is_explained(self) -> None:
        """And no other."""
        text = (ROOT / "docs" / "deploy.md").read_text()
        rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", text, re.MULTILINE)
        names = {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
        lines = (ROOT / "deploy" / "dev.env").read_text().splitlines()
        assert names == {line.partition("=")[0] for line in lines if not line.startswith("#")} | {
            *OPERATOR_FORMS
        }
