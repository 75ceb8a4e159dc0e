"""``python -m deploy --env E check``: a healthy project, broken ones, and what cannot be read.

The answers are made from gcloud's documentation, not recorded: ``answers/README.md``.
"""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from command_permissions import row_of
from gcloud_parser import needs_gcloud, not_understood
from test_deploy_commands import values_of

from backfill_job.check import Check, Standing
from backfill_job.rights import Role
from deploy.__main__ import main
from deploy.check import check, exit_code, lines_of
from deploy.facts import AT_ONCE, questions
from deploy.steps import CommandEnd, Words
from local_gcs.waiting import HANGS

ROOT = Path(__file__).parent.parent.parent
ANSWERS = Path(__file__).parent / "answers"
VALUES = values_of()
LEGACY, NEW = VALUES.migration.source.bucket, VALUES.migration.destination.bucket

Answers = dict[str, Any]


class Gcloud:
    """Answers as ``answers/gcloud`` does; `why` is an answer that fails, and `odd` one of another form."""

    def __init__(self) -> None:
        self.answers: Answers = json.loads((ANSWERS / "healthy.json").read_text())
        self.why: dict[str, str] = {}
        self.odd: dict[str, CommandEnd] = {}
        self.asked: list[Words] = []

    def __call__(self, words: Words) -> CommandEnd:
        self.asked.append(words)
        command = shlex.join(words)
        if command in self.odd:
            return self.odd[command]
        if command in self.why:
            return CommandEnd(1, "", self.why[command])
        if command not in self.answers:
            return CommandEnd(1, "", "ERROR: (gcloud) NOT_FOUND: it does not exist")
        return CommandEnd(0, json.dumps(self.answers[command]), "")

    def of(self, name: str) -> Any:
        """The answer to a question; its lists and mappings may be changed."""
        return self.answers[self.command(name)]

    def command(self, name: str) -> str:
        """The command of a question, or the only one that has all these words."""
        if name in questions(VALUES):
            return shlex.join(questions(VALUES)[name])
        (found,) = [each for each in self.answers if set(name.split()) <= set(shlex.split(each))]
        return found


def found(gcloud: Gcloud) -> list[Check]:
    return check(VALUES, gcloud)


def wrong(checks: list[Check]) -> list[tuple[str, str]]:
    return [(one.standing.value, one.name) for one in checks if one.standing is not Standing.PASS]


def test_a_healthy_project_is_green_with_nothing_installed_but_gcloud() -> None:
    """The whole command as a process: a Python without packages, and ``gcloud`` from the path."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from deploy.__main__ import main; sys.exit(main(['--env=dev', 'check']))"
    environ = {"PATH": f"{ANSWERS}:{os.environ['PATH']}", "GCLOUD_ANSWERS": str(ANSWERS / "healthy.json")}
    done = subprocess.run(
        ["python3", "-I", "-S", "-c", code], capture_output=True, text=True, check=False, env=environ
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines[:-2]} == {"PASS"}
    assert lines[-1] == f"{len(lines) - 2} PASS"


def without(answers: list[Any], name: str) -> None:
    answers[:] = [one for one in answers if name not in json.dumps(one)]


def unbound(policy: Any, role: str) -> None:
    """Take a role's bindings away."""
    before = len(policy["bindings"])
    policy["bindings"] = [one for one in policy["bindings"] if not one["role"].endswith(role)]
    assert len(policy["bindings"]) < before


def a_service_is_off(g: Gcloud) -> None:
    without(g.of("services"), "cloudresourcemanager")


def access_is_not_uniform(g: Gcloud) -> None:
    g.of("legacy bucket")["iamConfiguration"]["uniformBucketLevelAccess"] = {"enabled": False}


def the_bucket_is_in_another_project(g: Gcloud) -> None:
    g.of("legacy bucket")["projectNumber"] = "999"


def the_new_bucket_is_in_eu(g: Gcloud) -> None:
    g.of("new bucket").update(location="EU", locationType="multi-region")


def the_bucket_charges_the_reader(g: Gcloud) -> None:
    g.of("new bucket").update(billing={"requesterPays": True})


def an_account_is_missing(g: Gcloud) -> None:
    without(g.of("iam service-accounts"), "qpi-exports-status-dev")


def a_condition_is_lost(g: Gcloud) -> None:
    bindings = g.of(f"get-iam-policy gs://{NEW}")["bindings"]
    next(one for one in bindings if one.get("condition", {}).get("title") == "own")["condition"] = {
        "expression": "true"
    }


def google_s_agents_hold_nothing(g: Gcloud) -> None:
    for policy in (g.of("project policy"), g.of("get-iam-policy " + VALUES.account("trigger"))):
        for one in policy["bindings"]:
            one["members"] = [member for member in one["members"] if "service-123456789012@" not in member]


def an_account_is_disabled(g: Gcloud) -> None:
    g.of("iam service-accounts")[3]["disabled"] = True


def roles_are_of_another_version(g: Gcloud) -> None:
    """One lacks a permission, one has another one, and one is disabled."""
    g.of("qpiExportsInspect describe")["includedPermissions"].remove("storage.buckets.get")
    g.of("qpiExportsRead describe")["includedPermissions"].append("storage.objects.delete")
    g.of("qpiExportsPause describe")["stage"] = "DISABLED"


def agents_lost_their_roles(g: Gcloud) -> None:
    policy = g.of("project policy")
    policy["bindings"] = [one for one in policy["bindings"] if not one["role"].endswith("serviceAgent")]


def dead_letters_go_nowhere(g: Gcloud) -> None:
    g.of("pubsub subscriptions")[0]["topic"] = "_deleted-topic_"


def jobs_are_others(g: Gcloud) -> None:
    """The deletion's deletes, the backfill's account is the project's, the verification's image is gone."""
    for job in g.of("run jobs"):
        task = job["spec"]["template"]["spec"]["template"]["spec"]
        if "deletion" in job["metadata"]["name"]:
            task["containers"][0]["args"] = ["delete", "--env=dev", "--confirm-delete"]
        if "backfill" in job["metadata"]["name"]:
            task["serviceAccountName"] = "123456789012-compute@developer.gserviceaccount.com"
        if "verify" in job["metadata"]["name"]:
            job["status"]["conditions"][0].update(status="False", message="the image is not there")


def the_mirror_hears_another_bucket(g: Gcloud) -> None:
    g.of("functions")[0]["eventTrigger"]["eventFilters"][0]["value"] = "data-bucket-stg"


def the_mirror_is_another_environment_s(g: Gcloud) -> None:
    g.of("functions")[0]["serviceConfig"]["environmentVariables"]["MIRROR_ENV"] = "stg"


def the_reverse_mirror_deletes(g: Gcloud) -> None:
    g.of("functions")[1]["serviceConfig"]["environmentVariables"]["MIRROR_DELETES"] = "true"


def schedules_do_not_run(g: Gcloud) -> None:
    g.of("schedules")[0]["state"] = "DISABLED"
    g.of("schedules")[1]["httpTarget"]["uri"] += "x"


def the_channel_does_not_exist(g: Gcloud) -> None:
    del g.answers[g.command("channel")]


def alerts_notify_another_channel(g: Gcloud) -> None:
    g.of("alerts")[0]["notificationChannels"] = ["projects/data-platform-dev/notificationChannels/2"]


def a_function_failed(g: Gcloud) -> None:
    g.of("functions")[0]["state"] = "FAILED"


def redelivery_is_off(g: Gcloud) -> None:
    g.of("functions")[0]["eventTrigger"]["retryPolicy"] = "RETRY_POLICY_DO_NOT_RETRY"


def the_trigger_is_gone(g: Gcloud) -> None:
    without(g.of("triggers"), "qpi-exports-mirror-dev")


def there_are_no_dead_letters(g: Gcloud) -> None:
    del g.of("pubsub subscriptions")[1]["deadLetterPolicy"]


def a_schedule_an_alert_and_a_metric_are_missing(g: Gcloud) -> None:
    without(g.of("schedules"), "qpi-exports-full-dev")
    without(g.of("alerts"), "mirror-lagging")
    without(g.of("metrics"), "qpi_exports_errors")


def the_writer_only_creates(g: Gcloud) -> None:
    for one in g.of(f"get-iam-policy gs://{NEW}")["bindings"]:
        if VALUES.writer in one["members"]:
            one["role"] = "roles/storage.objectCreator"


def the_consumer_was_forgotten(g: Gcloud) -> None:
    unbound(g.of(f"get-iam-policy gs://{NEW}"), "objectViewer")


SUBMIT = "submit the build for dev"
BIND = "gcloud {} add-iam-policy-binding "

BROKEN: dict[Callable[[Gcloud], None], dict[str, str]] = {
    a_service_is_off: {"APIs": "gcloud services enable cloudresourcemanager.googleapis.com"},
    access_is_not_uniform: {"legacy bucket: uniform access": f"gcloud storage buckets update gs://{LEGACY} --uniform"},
    the_bucket_is_in_another_project: {"legacy bucket: project": "deploy into the bucket's project"},
    the_new_bucket_is_in_eu: {"new bucket: trigger": "write NEW_LOCATION=eu into deploy/dev.env"},
    an_account_is_disabled: {"accounts": "gcloud iam service-accounts enable qpi-exports-mirror-dev@"},
    roles_are_of_another_version: {"roles": "gcloud iam roles update qpiExports"},
    agents_lost_their_roles: {
        "Google's agents": BIND.format("projects") + "data-platform-dev",
        "rights: project data-platform-dev": BIND.format("projects") + "data-platform-dev",
    },
    dead_letters_go_nowhere: {"subscriptions": "pull what it holds, delete it"},
    jobs_are_others: {"jobs": SUBMIT},
    the_mirror_hears_another_bucket: {"trigger of mirror": "gcloud functions deploy qpi-exports-mirror-dev"},
    the_mirror_is_another_environment_s: {"function mirror": "gcloud functions deploy qpi-exports-mirror-dev"},
    the_reverse_mirror_deletes: {"function reverse": "gcloud functions deploy qpi-exports-reverse-dev"},
    schedules_do_not_run: {
        "schedule full": "python3 -m deploy --env dev scheduler",
        "schedule sweep": "python3 -m deploy --env dev scheduler",
    },
    the_channel_does_not_exist: {"notification channel": "gcloud beta monitoring channels list"},
    alerts_notify_another_channel: {"alerts": SUBMIT},
    the_bucket_charges_the_reader: {
        "new bucket: requester pays": "Name the project that pays with --billing-project",
    },
    an_account_is_missing: {"accounts": "gcloud iam service-accounts create qpi-exports-status-dev"},
    a_condition_is_lost: {f"rights: gs://{NEW}": BIND.format("storage buckets") + f"gs://{NEW}"},
    google_s_agents_hold_nothing: {
        "Google's agents": BIND.format("projects") + "data-platform-dev",
        "rights: project data-platform-dev": BIND.format("projects") + "data-platform-dev",
        "rights: service-account qpi-exports-trigger-dev": BIND.format("iam service-accounts"),
    },
    a_function_failed: {"function mirror": SUBMIT},
    redelivery_is_off: {"trigger of mirror": "gcloud functions deploy qpi-exports-mirror-dev"},
    # A build leaves the function as it is, because its label is right.
    the_trigger_is_gone: {"trigger of mirror": "gcloud functions deploy qpi-exports-mirror-dev"},
    there_are_no_dead_letters: {"dead letters of mirror": "gcloud pubsub subscriptions update projects/data-platform-dev/subscriptions/eventarc-"},
    a_schedule_an_alert_and_a_metric_are_missing: {
        "alerts": SUBMIT,
        "metrics": SUBMIT,
        "schedule full": "python3 -m deploy --env dev scheduler",
    },
    the_writer_only_creates: {
        f"writer on gs://{NEW}/qpi_exports/": BIND.format("storage buckets") + f"gs://{NEW} --member={VALUES.writer}"
    },
    the_consumer_was_forgotten: {
        f"consumer on gs://{NEW}/qpi_exports/": BIND.format("storage buckets") + f"gs://{NEW} --member={VALUES.consumer}"
    },
}  # fmt: skip


@pytest.mark.parametrize(("breaks", "reds"), BROKEN.items(), ids=[breaks.__name__ for breaks in BROKEN])
def test_each_broken_project_has_its_red_lines_with_their_command(
    breaks: Callable[[Gcloud], None], reds: dict[str, str]
) -> None:
    """Those and no other, first in the table; exit code 1."""
    gcloud = Gcloud()
    breaks(gcloud)
    checks = found(gcloud)
    assert {name for _, name in wrong(checks)} == set(reds)
    assert {standing for standing, _ in wrong(checks)} == {"FAIL"}
    if breaks in (roles_are_of_another_version, jobs_are_others):
        assert len(wrong(checks)) == 3
    for one in checks[: len(wrong(checks))]:
        assert one.standing is Standing.FAIL
        assert one.next_step.startswith(reds[one.name]), one.next_step
    assert exit_code(checks) == 1
    assert next(iter(lines_of(checks))).startswith("FAIL")


def test_a_paused_schedule_is_advice() -> None:
    """It is right before the deletion, and green lines with advice come before the others."""
    gcloud = Gcloud()
    gcloud.of("schedules")[0]["state"] = "PAUSED"
    first = found(gcloud)[0]
    assert (first.name, first.standing) == ("schedule sweep", Standing.PASS)
    assert first.next_step.startswith("gcloud scheduler jobs resume qpi-exports-sweep-dev")


COMMANDS = [*json.loads((ANSWERS / "healthy.json").read_text())]
ODD = {
    "not JSON": CommandEnd(0, "<html>Sign in</html>", ""),
    "nothing": CommandEnd(0, "", ""),
    "null": CommandEnd(0, "null", ""),
    "an object of nothing": CommandEnd(0, "{}", ""),
    "a list of numbers": CommandEnd(0, "[1]", ""),
    "fields of another version": CommandEnd(0, '[{"Name": 1}]', ""),
    "a part": CommandEnd(
        0, "[]", "WARNING: The following regions were fully or partially unreachable for query: x"
    ),
    "no answer": CommandEnd(124, "", "no answer within 120 seconds"),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_answer_of_another_form_is_never_green(answer: CommandEnd) -> None:
    """For one command of each kind; nothing breaks, and a missing field is at least not known."""
    for name in {row_of(tuple(shlex.split(each))): each for each in COMMANDS}.values():
        gcloud = Gcloud()
        gcloud.odd[name] = answer
        checks = found(gcloud)
        if name != gcloud.command("builds"):  # europe-west1 is open to every project
            assert exit_code(checks), name
        assert len(checks) > 50


def test_a_part_of_a_list_is_not_the_list() -> None:
    """What a service could not reach is not missing: gcloud warns, and ends with 0."""
    gcloud = Gcloud()
    gcloud.odd[gcloud.command("functions")] = ODD["a part"]
    assert {standing for standing, _ in wrong(found(gcloud))} == {"NOT RUN"}


def test_fields_of_another_form_within_an_answer_break_nothing() -> None:
    """Their subject is not known, and the others are judged."""
    gcloud = Gcloud()
    gcloud.of("functions")[0]["serviceConfig"]["environmentVariables"] = ["MIRROR_ENV=dev"]
    gcloud.of("project policy")["bindings"][0]["members"] = 7
    checks = found(gcloud)
    assert {standing for standing, _ in wrong(checks)} == {"NOT RUN"}
    assert {name for _, name in wrong(checks)} >= {"build", "rights"}
    assert any(one.name == "APIs" for one in checks)


def test_before_the_first_build_google_s_agents_are_not_missed() -> None:
    """Google grants their roles with the first use of each service."""
    gcloud = Gcloud()
    agents_lost_their_roles(gcloud)
    gcloud.of("run jobs").clear()
    (one,) = [each for each in found(gcloud) if each.name == "Google's agents"]
    assert one.standing is Standing.NOT_APPLICABLE


def test_another_region_is_not_an_empty_project() -> None:
    """Jobs and functions are listed in one region, and triggers in all."""
    gcloud = Gcloud()
    gcloud.of("run jobs").clear()
    gcloud.of("functions").clear()
    (one,) = [each for each in found(gcloud) if each.name == "build"]
    assert (one.standing, one.next_step.partition(",")[2]) == (Standing.FAIL, " as REGION")


def test_who_is_not_logged_in_is_told() -> None:
    """Not to ask somebody else."""
    gcloud = Gcloud()
    gcloud.why = dict.fromkeys(
        COMMANDS, "ERROR: You do not have an active account. Please run: $ gcloud auth login"
    )
    assert {one.next_step for one in found(gcloud) if one.standing is Standing.NOT_RUN} == {
        "gcloud auth login"
    }


def test_the_case_of_an_address_does_not_count() -> None:
    """IAM stores addresses in small letters."""
    values = replace(VALUES, operators="group:Data-Operations@Example.com")
    assert exit_code(check(values, Gcloud())) == 0


def test_what_our_accounts_hold_beside_it_is_advice(tmp_path: Path) -> None:
    """Rights on data that an older version gave, or a person: with the command that takes them away."""
    gcloud = Gcloud()
    mirror, role = VALUES.member("mirror"), "projects/data-platform-dev/roles/qpiExportsDelete"
    old = {"expression": 'resource.name.startsWith("projects/_/buckets/x/objects/y")', "title": "old"}
    for name, binding in ((f"get-iam-policy gs://{LEGACY}", {"condition": old}), ("project policy", {})):
        gcloud.of(name)["bindings"].append(
            {"role": role, "members": [mirror, "user:a@example.com"], **binding}
        )
    checks = found(gcloud)
    first = checks[:2]
    assert exit_code(checks) == 0
    assert [one.name for one in first] == [f"rights: gs://{LEGACY}", "rights: project data-platform-dev"]
    assert all(f"{mirror} also has {role}" in one.evidence for one in first)
    commands = [shlex.split(one.next_step) for one in first]
    assert [words[-4] for words in commands] == [f"--role={role}"] * 2
    if shutil.which("gcloud"):
        assert not_understood(commands, tmp_path) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_what_cannot_be_read_is_unknown_and_never_green(name: str) -> None:
    """For each command: refused, and nothing turns red either; exit code 2."""
    gcloud = Gcloud()
    gcloud.why[name] = "ERROR: PERMISSION_DENIED: Permission denied on resource (or it may not exist)."
    checks = found(gcloud)
    built = name == gcloud.command("builds")  # europe-west1 is open to every project
    assert {standing for standing, _ in wrong(checks)} == (set() if built else {"NOT RUN"})
    assert exit_code(checks) == (0 if built else 2)
    assert all(
        "PERMISSION_DENIED" in one.evidence or "cannot be read" in one.evidence
        for one in checks
        if one.blocks
    )


def test_a_consumer_that_comes_through_a_group_is_unknown() -> None:
    """Whether it is a member cannot be read here; the line says which group."""
    gcloud = Gcloud()
    for one in gcloud.of(f"get-iam-policy gs://{NEW}")["bindings"]:
        one["members"] = [
            "group:dags@example.com" if member == VALUES.consumer else member for member in one["members"]
        ]
    (one,) = [each for each in found(gcloud) if each.standing is not Standing.PASS]
    assert (one.standing, one.name) == (Standing.NOT_RUN, f"consumer on gs://{NEW}/qpi_exports/")
    assert "group:dags@example.com" in one.evidence


def test_an_empty_project_says_what_to_create_and_that_nothing_is_built() -> None:
    """No policy of a thing that is not there is asked for."""
    gcloud = Gcloud()
    for name in questions(VALUES):
        answer = gcloud.of(name)
        if isinstance(answer, list) and name != "services":
            answer.clear()
    del gcloud.answers[gcloud.command("staging bucket")]
    checks = found(gcloud)
    created = [one.next_step for one in checks if " create " in one.next_step]
    assert (
        len(created) == 11 + len(Role) + 1 + 4
    )  # accounts, roles, and repository, bucket, topic, subscription
    assert ("NOT APPLICABLE", "build") in wrong(checks)
    assert not any(
        "qpi-exports-build-dev@" in " ".join(words) and "get-iam-policy" in words for words in gcloud.asked
    )


@pytest.mark.parametrize(
    ("region", "builds", "standing"),
    [
        ("europe-west3", [], Standing.NOT_RUN),
        ("europe-west3", [{"status": "SUCCESS"}], Standing.PASS),
        ("us-central1", [], Standing.PASS),
    ],
)
def test_cloud_build_s_region(region: str, builds: list[Any], standing: Standing) -> None:
    """Cloud Build refuses some regions to new projects, which nothing shows before the first build."""
    values = replace(VALUES, region=region)
    gcloud = Gcloud()
    gcloud.answers[shlex.join(questions(values)["builds"])] = builds
    (one,) = [each for each in check(values, gcloud) if each.name == "Cloud Build's region"]
    assert one.standing is standing


def test_it_reads_only_and_each_command_has_its_row() -> None:
    """Every command lists, describes or shows a policy, and none installs a component of gcloud that is missing."""
    gcloud = Gcloud()
    found(gcloud)
    for words in gcloud.asked:
        row = row_of(words)
        assert row.split()[-1] in {"list", "describe", "get-iam-policy"}, row
        assert ("--quiet" in words) is (words[1] not in {"alpha", "beta"}), words


def test_the_questions_are_asked_side_by_side() -> None:
    """The first ones are under way together; one after the other would wait here for ever."""
    barrier = Barrier(AT_ONCE)
    gcloud = Gcloud()

    def run(words: Words) -> CommandEnd:
        if len(gcloud.asked) < AT_ONCE:
            answer = gcloud(words)
            barrier.wait(HANGS)
            return answer
        return gcloud(words)

    assert exit_code(check(VALUES, run)) == 0


@needs_gcloud
def test_gcloud_understands_its_commands(tmp_path: Path) -> None:
    """Those that ask, and each command that a line shows, as it is to be pasted: gcloud's own parser, without any network."""
    by_row: dict[str, Words] = {}
    for breaks in BROKEN:
        gcloud = Gcloud()
        breaks(gcloud)
        shown = [shlex.split(one.next_step) for one in found(gcloud) if one.next_step.startswith("gcloud ")]
        by_row |= {row_of(words): words for words in (*gcloud.asked, *map(tuple, shown))}
    assert not_understood(by_row.values(), tmp_path) == []
    assert {"storage buckets update", "iam service-accounts enable", "functions deploy"} <= by_row.keys()


def test_it_cannot_start_without_gcloud_or_with_other_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 2 and one line; ``--print`` shows its commands and runs none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--env=dev", "check"]) == 2
    assert capsys.readouterr().err == (
        "deploy: gcloud cannot be run (No such file or directory); install the Google Cloud CLI\n"
    )
    assert main(["--env=dev", "check", "jobs"], lambda _: pytest.fail("run")) == 2
    assert "check alone" in capsys.readouterr().err
    assert main(["--env=dev", "--print", "check"], lambda _: pytest.fail("run")) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(questions(VALUES))
