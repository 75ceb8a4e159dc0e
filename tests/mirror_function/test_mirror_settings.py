"""The function's configuration, and its clear refusals."""

import pytest

from mirror_function.settings import GIVE_UP_AFTER, MirrorSettings
from shared.errors import UsageError

PAIR = {"MIRROR_SOURCE": "gs://legacy/QPI_exports/", "MIRROR_DESTINATION": "gs://new-one/qpi_exports/"}


def test_an_environment_is_enough() -> None:
    """The preset, with safe defaults."""
    settings = MirrorSettings.from_environ({"MIRROR_ENV": "prod"})
    assert settings.migration.source.uri == "gs://data-bucket-prod/QPI_exports/"
    assert settings.migration.destination.uri == "gs://de-bigquery-data-export-prod/qpi_exports/"
    assert (settings.deletes, settings.give_up_after) == (False, GIVE_UP_AFTER)
    assert settings.migration.excludes == (".DS_Store",)


def test_everything_can_be_set() -> None:
    """Any pair, excludes one a line, deletions, and the patience."""
    more = {"MIRROR_EXCLUDE": "*.tmp\n old/* \n", "MIRROR_DELETES": "TRUE", "MIRROR_GIVE_UP_AFTER_S": "60"}
    settings = MirrorSettings.from_environ(
        {**PAIR, **more, "GOOGLE_CLOUD_PROJECT": "p", "MIRROR_RETRY_DEADLINE_S": "7.5"}
    )
    assert (settings.migration.source.uri, settings.migration.destination.uri) == tuple(PAIR.values())
    assert (settings.reverse, settings.retry_deadline) == (False, 7.5)
    assert settings.migration.excludes == ("*.tmp", "old/*")
    assert (settings.deletes, settings.give_up_after, settings.project) == (True, 60.0, "p")


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "set MIRROR_ENV"),
        ({"MIRROR_ENV": "test"}, "one of dev, stg, prod is wanted"),
        ({"MIRROR_SOURCE": "gs://legacy/a/"}, "set MIRROR_ENV, or both"),
        ({"MIRROR_ENV": "dev", **PAIR}, "not a mixture"),
        ({"MIRROR_ENV": "dev", "MIRROR_SOURCE": PAIR["MIRROR_SOURCE"]}, "not a mixture"),
        ({"MIRROR_ENV": "dev", "MIRROR_DESTINATION": PAIR["MIRROR_DESTINATION"]}, "not a mixture"),
        ({"MIRROR_DESTINATION": PAIR["MIRROR_DESTINATION"]}, "set MIRROR_ENV, or both"),
        ({**PAIR, "MIRROR_DELETES": "true", "MIRROR_REVERSE": "true"}, "from the legacy path only"),
        ({**PAIR, "MIRROR_REVERSE": "1"}, "MIRROR_REVERSE is '1'; true or false is wanted"),
        (
            {**PAIR, "MIRROR_GIVE_UP_AFTER_S": "inf"},
            "MIRROR_GIVE_UP_AFTER_S is 'inf'; a number of seconds above 0",
        ),
        ({**PAIR, "MIRROR_SOURCE": "gs://legacy/a"}, "write gs://legacy/a/"),
        ({**PAIR, "MIRROR_DESTINATION": PAIR["MIRROR_SOURCE"]}, "the same or lie within each other"),
        ({**PAIR, "MIRROR_DELETES": "yes"}, "MIRROR_DELETES is 'yes'"),
        ({**PAIR, "MIRROR_GIVE_UP_AFTER_S": "soon"}, "MIRROR_GIVE_UP_AFTER_S is 'soon'"),
        ({**PAIR, "MIRROR_RETRY_DEADLINE_S": "nan"}, "MIRROR_RETRY_DEADLINE_S is 'nan'"),
        ({**PAIR, "MIRROR_RETRY_DEADLINE_S": "0"}, "above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(environ: dict[str, str], reason: str) -> None:
    """With the variable's name."""
    with pytest.raises(UsageError, match=reason):
        MirrorSettings.from_environ(environ)
