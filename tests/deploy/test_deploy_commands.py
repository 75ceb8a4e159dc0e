"""What the deployment would do in each environment, and whether it is what the migration needs."""

import argparse
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gcloud_parser import documented_commands, needs_gcloud, not_understood

from backfill_job.commands import load
from backfill_job.rights import Part, Role
from deploy.__main__ import WHAT, steps_of
from deploy.parts import function_steps, job_steps, release, scheduler_steps, uploaded
from deploy.project import SERVICES, project_steps, table
from deploy.steps import Ask, CommandEnd, Ensure, Failed, RunCommand, Step, Words, perform, script
from deploy.values import EnvironmentValues, read_values
from mirror_function.settings import MirrorSettings
from shared.migration import Environment

ROOT = Path(__file__).parent.parent.parent
GOLDEN = Path(__file__).parent / "golden"
BIN = Path(sys.executable).parent
ENVIRONMENTS = pytest.mark.parametrize("env", Environment, ids=lambda env: env.value)

WITHOUT_OBJECTS = {
    "roles/artifactregistry.writer",
    "roles/bigquery.jobUser",
    "roles/cloudbuild.builds.editor",
    "roles/cloudfunctions.developer",
    "roles/cloudscheduler.admin",
    "roles/eventarc.developer",
    "roles/eventarc.eventReceiver",
    "roles/eventarc.serviceAgent",
    "roles/iam.serviceAccountTokenCreator",
    "roles/iam.serviceAccountUser",
    "roles/logging.configWriter",
    "roles/logging.logWriter",
    "roles/logging.privateLogViewer",
    "roles/logging.viewer",
    "roles/monitoring.alertPolicyEditor",
    "roles/monitoring.dashboardEditor",
    "roles/monitoring.viewer",
    "roles/pubsub.editor",
    "roles/pubsub.publisher",
    "roles/pubsub.serviceAgent",
    "roles/pubsub.subscriber",
    "roles/run.admin",
    "roles/run.developer",
    "roles/run.invoker",
    "roles/run.viewer",
    "roles/serviceusage.serviceUsageConsumer",
}
"""Predefined roles, looked through: none writes or deletes objects of Cloud Storage."""


def values_of(env: Environment = Environment.DEV) -> EnvironmentValues:
    return read_values(env, ROOT / "deploy")


def words_of(steps: Any) -> list[Words]:
    """Every command of steps."""
    found: list[Words] = []
    for step in steps:
        match step:
            case RunCommand(command) | Ask(_, command):
                found.append(command)
            case Ensure(listing, create, update):
                found += [command for command in (listing, create, update) if command]
    return found


def all_steps(env: Environment = Environment.DEV) -> list[Step]:
    """Every step, with a release that does not change with the source."""
    values = values_of(env)
    return [
        *project_steps(values),
        *job_steps(values, "0123abc"),
        *function_steps(values, "0" * 40),
        *scheduler_steps(values),
    ]


def option(command: Words, name: str) -> str:
    (value,) = [word.partition("=")[2] for word in command if word.startswith(f"--{name}=")]
    return value


def command_of(steps: Any, *start: str) -> Words:
    (found,) = [words for words in words_of(steps) if words[1 : len(start) + 1] == start]
    return found


@ENVIRONMENTS
def test_the_commands_are_those_that_were_reviewed(env: Environment, request: pytest.FixtureRequest) -> None:
    """Every command of every environment, as ``--print`` shows it; a change is seen as a difference of a file."""
    # The functions' label is a digest, of which a reviewer sees nothing.
    lines = re.sub(r"(?<=release=)[0-9a-f]{40}", "RELEASE", "\n".join(script(all_steps(env))) + "\n")
    assert lines == (GOLDEN / f"{env.value}.sh").read_text()


@ENVIRONMENTS
def test_the_printed_script_is_good_bash(env: Environment) -> None:
    """It can be run as it is; shellcheck has nothing to say."""
    text = "\n".join(script(all_steps(env))) + "\n"
    done = subprocess.run(
        [BIN / "shellcheck", "--shell=bash", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@needs_gcloud
def test_gcloud_understands_every_command(tmp_path: Path) -> None:
    """gcloud's own parser, without any network: each command and flag exists, and each value has the form it wants."""
    by_shape = {
        tuple(
            word.partition("=")[0] if word.startswith("--") else word for word in words if "gs://" not in word
        ): words
        for words in words_of(all_steps(Environment.PROD))
    }
    # Names differ, flags do not: one command of each kind is enough.
    kinds = {
        tuple(word for word in shape if "qpi" not in word.lower()): words for shape, words in by_shape.items()
    }
    wrong = not_understood(kinds.values(), tmp_path)
    assert wrong == []
    assert len(kinds) > 30
    broken = [("gcloud", "run", "jobs", "deploy", "j", "--retries=3")]
    assert [what for what, _ in not_understood(broken, tmp_path)] == ["gcloud run jobs deploy j --retries=3"]


def test_environments_differ_in_their_values_only() -> None:
    """What was tried in dev is what happens in prod."""

    def with_names_of_dev(env: Environment) -> str:
        text = "\n".join(script(all_steps(env)))
        text = text.replace(f"data-platform-{env.value}", "data-platform-dev").replace(
            f"env={env.value}", "env=dev"
        )
        text = text.replace(f"-{env.value}", "-dev").replace(f"ENV={env.value}", "ENV=dev")
        return re.sub(r"(?<=release=)[0-9a-f]{40}", "", re.sub(r"--tasks=\d+", "", text))

    dev, stg, prod = (with_names_of_dev(env) for env in Environment)
    assert dev == stg == prod


class TestIam:
    """Who may do what."""

    def test_no_predefined_role_reaches_the_objects(self) -> None:
        """Else the rights by prefix would mean nothing. The exceptions are on buckets of builds."""
        given = {
            (option(words, "role"), words)
            for words in words_of(all_steps())
            if "add-iam-policy-binding" in words and option(words, "role").startswith("roles/")
        }
        reaching = {(role, words) for role, words in given if role not in WITHOUT_OBJECTS}
        assert {role for role, _ in reaching} == {
            "roles/storage.legacyBucketReader",
            "roles/storage.objectUser",
            "roles/storage.objectViewer",
        }
        for role, words in reaching:
            assert "gs://data-platform-dev-qpi-exports-build" in words or (
                role == "roles/storage.objectViewer" and "gcf-v2-sources-" in option(words, "condition")
            )

    def test_objects_are_granted_by_prefix(self) -> None:
        """No account of the migration holds anything on a bucket as a whole but listing, its settings and its policy."""
        whole = {
            option(words, "role").rpartition("/")[2]
            for words in words_of(project_steps(values_of()))
            if words[1:4] == ("storage", "buckets", "add-iam-policy-binding")
            and "qpiExports" in option(words, "role")
            and option(words, "condition") == "None"
        }
        assert whole == {Role.LIST.role_id, Role.INSPECT.role_id, Role.AUDIT.role_id}

    @ENVIRONMENTS
    def test_only_two_accounts_may_delete_on_the_legacy_path(self, env: Environment) -> None:
        """Read from the commands themselves: the deletion, and the way back, which replaces there."""
        legacy = f'startsWith("projects/_/buckets/data-bucket-{env.value}/objects/QPI_exports/")'
        deleting = {role.role_id for role in Role if "storage.objects.delete" in role.permissions}
        holders = {
            option(words, "member").partition("@")[0].removeprefix("serviceAccount:")
            for words in words_of(project_steps(values_of(env)))
            if words[1:4] == ("storage", "buckets", "add-iam-policy-binding")
            and option(words, "role").rpartition("/")[2] in deleting
            and (option(words, "condition") == "None" or legacy in option(words, "condition"))
        }
        assert holders == {f"qpi-exports-deletion-{env.value}", f"qpi-exports-reverse-{env.value}"}

    def test_only_owners_of_data_start_a_deletion(self) -> None:
        """Operators may start and change every job but that one; the scheduler may start three, and change none."""
        steps = [
            words for words in words_of(job_steps(values_of(), "t")) if "add-iam-policy-binding" in words
        ]
        held = {
            (words[4], option(words, "member").partition("@")[0], option(words, "role")) for words in steps
        }
        operators, owners = "group:data-operations", "group:data-owners"
        assert held == {
            *(
                (f"qpi-exports-{job}-dev", operators, "roles/run.developer")
                for job in ("backfill", "sweep", "verify")
            ),
            ("qpi-exports-deletion-dev", owners, "roles/run.developer"),
            *(
                (f"qpi-exports-{job}-dev", "serviceAccount:qpi-exports-scheduler-dev", "roles/run.invoker")
                for job in ("backfill", "sweep", "verify")
            ),
        }

    def test_the_table_of_the_documentation_is_made_from_the_same_source(self) -> None:
        """``docs/deploy.md`` holds what ``--table`` prints."""
        assert "\n".join(table(values_of(Environment.PROD))) in (ROOT / "docs" / "deploy.md").read_text()

    def test_every_account_is_made_before_it_is_named(self) -> None:
        """And every role; a binding to what is not there fails."""
        made: set[str] = set()
        for words in words_of(all_steps()):
            if words[1:4] == ("iam", "service-accounts", "create"):
                made.add(words[4])
            elif "list" not in words:
                named = re.findall(r"(qpi-exports-[a-z-]+-dev)@", " ".join(words))
                assert set(named) <= made, words
        assert {f"qpi-exports-{part.value}-dev" for part in Part} <= made
        assert all(len(name) <= 30 for name in made), "an account's name has at most 30 characters"


class TestParts:
    """What is deployed."""

    def test_the_jobs_arguments_are_taken_by_the_commands(self) -> None:
        """A job whose arguments the image refuses would fail at its first execution."""
        for words in words_of(job_steps(values_of(), "t")):
            if words[1:4] == ("run", "jobs", "deploy"):
                given = option(words, "args").split(",")
                parsed_arguments = arguments_of(given)
                assert parsed_arguments.env == "dev"
                if given[0] == "migrate":
                    assert (parsed_arguments.execute, parsed_arguments.yes) == (True, True)

    def test_the_deletion_job_as_deployed_deletes_nothing(self) -> None:
        """Whoever starts it by mistake gets the dry run."""
        words = command_of(job_steps(values_of(), "t"), "run", "jobs", "deploy", "qpi-exports-deletion-dev")
        given = option(words, "args").split(",")
        assert "--dry-run" in given
        assert not arguments_of(given).confirm_delete

    def test_no_two_jobs_run_with_the_same_rights_but_backfill_and_sweep(self) -> None:
        """One image, and an account for each kind of work."""
        jobs = [
            words
            for words in words_of(job_steps(values_of(), "t"))
            if words[1:4] == ("run", "jobs", "deploy")
        ]
        accounts = [option(words, "service-account").partition("@")[0] for words in jobs]
        assert accounts == [
            f"qpi-exports-{name}-dev" for name in ("backfill", "backfill", "verify", "deletion")
        ]
        assert {option(words, "image") for words in jobs} == {
            "europe-west1-docker.pkg.dev/data-platform-dev/qpi-exports/job:t"
        }

    def test_the_migration_begins_before_a_mirror_is_deployed_and_after_its_job(self) -> None:
        """In one execution that is waited for; the command takes its arguments, and knows who began it."""
        steps = words_of(all_steps())
        (begin,) = [words for words in steps if words[1:4] == ("run", "jobs", "execute")]
        job = command_of(job_steps(values_of(), "0123abc"), "run", "jobs", "deploy", begin[4])
        mirrors = [words for words in steps if words[1:3] == ("functions", "deploy")]
        assert steps.index(job) < steps.index(begin) < min(map(steps.index, mirrors))
        assert {"--wait", "--tasks=1"} <= {*begin}
        given = arguments_of(option(begin, "args").split(","))
        assert (given.env, given.phase) == ("dev", None)
        assert given.by == "qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com"

    def test_no_mirror_is_deployed_where_the_migration_cannot_begin(self) -> None:
        """The record is damaged, or a person must name the phase: the build ends there."""
        ran: list[Words] = []

        def run(words: Words) -> CommandEnd:
            ran.append(words)
            return CommandEnd(int(words[1:4] == ("run", "jobs", "execute")), "x", "exit code 2")

        with pytest.raises(Failed, match="run jobs execute qpi-exports-backfill-dev"):
            perform(function_steps(values_of(), "x"), run, lambda _: None)
        assert len(ran) == 1

    def test_every_deployment_of_a_mirror_turns_redelivery_on(self) -> None:
        """A deployment with trigger flags and without ``--retry`` turns it off."""
        mirrors = [
            words
            for words in words_of(function_steps(values_of(), "x"))
            if words[1:3] == ("functions", "deploy") and "--trigger-http" not in words
        ]
        assert [words[3] for words in mirrors] == ["qpi-exports-mirror-dev", "qpi-exports-reverse-dev"]
        for words in mirrors:
            assert "--retry" in words

    def test_a_trigger_is_where_its_bucket_is(self) -> None:
        """The location is that of the very bucket whose events it brings; the function stays in its region."""
        values = replace(values_of(), legacy_location="eu", new_location="europe-west3")
        found = {
            bucket: (option(words, "trigger-location"), option(words, "region"))
            for words in words_of(function_steps(values, "x"))
            if words[1:3] == ("functions", "deploy") and "--retry" in words
            for bucket in [word.rpartition("=")[2] for word in words if "event-filters=bucket=" in word]
        }
        migration = values.migration
        assert found == {
            migration.source.bucket: ("eu", "europe-west1"),
            migration.destination.bucket: ("europe-west3", "europe-west1"),
        }

    @pytest.mark.parametrize(("part", "reverse"), [("mirror", False), ("reverse", True)])
    def test_the_mirrors_understand_their_environment(self, part: str, reverse: bool) -> None:
        """Read by the function itself: the pair of prefixes, and which way."""
        words = command_of(function_steps(values_of(), "x"), "functions", "deploy", f"qpi-exports-{part}-dev")
        environ = dict(pair.split("=", 1) for pair in option(words, "set-env-vars").split(","))
        settings = MirrorSettings.from_environ(environ)
        assert (settings.migration, settings.reverse) == (values_of().migration, reverse)
        (bucket,) = [word.rpartition("=")[2] for word in words if "event-filters=bucket=" in word]
        assert bucket == settings.way.source.bucket
        assert option(words, "concurrency") == environ["THREADS"] == str(settings.connections)

    def test_entry_points_exist(self) -> None:
        """In the root's main.py, where the buildpack looks."""
        code = (ROOT / "main.py").read_text()
        for words in words_of(function_steps(values_of(), "x")):
            if words[1:3] == ("functions", "deploy"):
                assert f'"{option(words, "entry-point")}"' in code

    def test_the_status_page_is_not_public(self) -> None:
        """No deployed function may be called by anybody."""
        for words in words_of(function_steps(values_of(), "x")):
            if words[1:3] == ("functions", "deploy"):
                assert "--no-allow-unauthenticated" in words
            assert "allUsers" not in " ".join(words)

    def test_what_cannot_be_handled_goes_to_the_dead_letters(self) -> None:
        """Both subscriptions that Eventarc made, by their names, to a topic that is made before."""
        steps = words_of(function_steps(values_of(), "x"))
        updated = [words for words in steps if words[1:4] == ("pubsub", "subscriptions", "update")]
        assert [words[4] for words in updated] == ["$MIRROR_SUBSCRIPTION", "$REVERSE_SUBSCRIPTION"]
        topics = {option(words, "dead-letter-topic") for words in updated}
        made = command_of(project_steps(values_of()), "pubsub", "topics", "create")
        assert topics == {f"projects/data-platform-dev/topics/{made[4]}"}

    def test_schedules_start_jobs_that_are_deployed(self) -> None:
        """By the very address of the job."""
        jobs = {
            words[4]
            for words in words_of(job_steps(values_of(), "t"))
            if words[1:4] == ("run", "jobs", "deploy")
        }
        for words in words_of(scheduler_steps(values_of())):
            if "create" in words or "update" in words:
                assert re.fullmatch(r".*/jobs/(.*):run", option(words, "uri"))[1] in jobs  # type: ignore[index]

    def test_every_service_that_is_used_is_enabled(self) -> None:
        """By the commands' own names."""
        groups = {
            "artifacts": "artifactregistry",
            "functions": "cloudfunctions",
            "scheduler": "cloudscheduler",
        }
        used = {groups.get(words[1], words[1]) for words in words_of(all_steps())} - {
            "services",
            "projects",
            "beta",
        }
        # gcloud functions deploy looks up the project's number (command_lib/functions/service_account_util.py).
        # A person who works in a part's account gets its tokens from there (IAM documentation, "Create short-lived credentials").
        assert any(
            "--impersonate-service-account=" in word for words in documented_commands() for word in words
        )
        assert used | {"cloudresourcemanager", "iamcredentials"} <= set(SERVICES)

    def test_google_s_agents_are_made_before_a_binding_names_them(self) -> None:
        """And get their role, which an agent that is made by request does not have."""
        words = words_of(project_steps(values_of()))
        made = [option(each, "service").partition(".")[0] for each in words if "identity" in each]
        assert made == ["eventarc", "pubsub"]
        first = next(number for number, each in enumerate(words) if "add-iam-policy-binding" in each)
        assert all("identity" not in each for each in words[first:])
        bound = {
            (option(each, "member").partition("@")[2].partition(".")[0], option(each, "role"))
            for each in words
            if each[1:3] == ("projects", "add-iam-policy-binding")
        }
        assert {(f"gcp-sa-{name}", f"roles/{name}.serviceAgent") for name in made} <= bound

    def test_both_buckets_are_looked_at_before_the_first_change(self) -> None:
        """A bucket in another project, or without uniform access, ends the script with the reason."""
        steps = [*project_steps(values_of())]
        first = next(number for number, step in enumerate(steps) if not isinstance(step, Ask))
        assert [option(step.command, "filter") for step in steps[:first] if isinstance(step, Ask)] == [
            f"name={name} AND uniform_bucket_level_access=true"
            for name in ("data-bucket-dev", "de-bigquery-data-export-dev")
        ]
        with pytest.raises(
            Failed, match="gs://data-bucket-dev is not in data-platform-dev, or has no uniform"
        ):
            perform(steps, lambda _: CommandEnd(0, "", ""), lambda _: pytest.fail("changed something"))


class TestAgain:
    """Doing it again changes nothing."""

    def test_a_function_is_deployed_again_only_when_it_is_another(self) -> None:
        """Its source, its flags: the label that is looked for is the one that was given."""
        for step in function_steps(values_of(), "x"):
            if isinstance(step, Ensure):
                label = re.search("release=([0-9a-f]{40})", option(step.listing, "filter"))
                assert label
                assert f"release={label[1]}" in option(step.create, "update-labels")
                assert step.update is None
        assert labels("x") != labels("y")

    def test_whatever_is_not_idempotent_is_asked_for_first(self) -> None:
        """Nothing is created but behind a listing; to make an agent of Google's again changes nothing."""
        for step in all_steps():
            if isinstance(step, RunCommand) and "identity" not in step.command:
                assert not {"create", "add"} & set(step.command), step

    def test_the_release_changes_with_every_uploaded_file_and_with_nothing_else(self, tmp_path: Path) -> None:
        """A name, a byte; not a test, not a cache."""
        for name in ("main.py", "requirements.txt", "shared/a.py", "mirror_function/b.py", "tests/c.py"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(name)
        before = release(tmp_path)
        (tmp_path / "tests/c.py").write_text("other")
        (tmp_path / "shared/__pycache__").mkdir()
        (tmp_path / "shared/__pycache__/a.pyc").write_text("x")
        assert release(tmp_path) == before
        (tmp_path / "shared/a.py").write_text("other")
        changed = release(tmp_path)
        (tmp_path / "shared/a.py").rename(tmp_path / "shared/b.py")
        assert len({before, changed, release(tmp_path)}) == 3

    def test_the_release_is_of_what_is_uploaded(self) -> None:
        """The two packages with their templates, main.py and requirements.txt."""
        names = uploaded(ROOT)
        assert {name.partition("/")[0] for name in names} == {
            "main.py",
            "requirements.txt",
            "shared",
            "mirror_function",
        }
        assert "shared/report/templates/page.css" in names


def test_each_word_of_the_command_line_has_its_steps() -> None:
    """And none takes another's."""
    sizes = [len([*steps_of(values_of(), [what], "t")]) for what in WHAT]
    assert all(sizes)
    assert len([*steps_of(values_of(), WHAT, "t")]) == sum(sizes)


def labels(source: str) -> list[str]:
    return [
        option(step.listing, "filter")
        for step in function_steps(values_of(), source)
        if isinstance(step, Ensure)
    ]


def arguments_of(words: list[str]) -> Any:
    """A job's arguments, parsed by the command they are for."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    load(words[0]).prepare(parser)
    return parser.parse_args(words[1:])


def test_where_the_mirror_follows_deletions_the_sweeps_do() -> None:
    """One value for both; the reverse mirror follows none."""
    plain = read_values(Environment.DEV, ROOT / "deploy")
    following = replace(plain, mirror_deletes=True)
    for values, wanted in ((plain, 0), (following, 1)):
        lines = [*script(job_steps(values, "0123abc"))]
        for job, asked in (("backfill", wanted), ("sweep", wanted), ("verify", 0), ("deletion", 0)):
            line = next(line for line in lines if f"jobs deploy {values.name(job)} " in line)
            assert line.count("--follow-deletions") == asked
        mirrors = "\n".join(script(function_steps(values, "RELEASE")))
        assert mirrors.count("MIRROR_REVERSE=false,MIRROR_DELETES=true") == wanted
        assert "MIRROR_REVERSE=true,MIRROR_DELETES" not in mirrors
