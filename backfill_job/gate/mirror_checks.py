"""The checks of the mirror: its copies arrive in time, and it is alive now. Pure."""

from datetime import datetime

from backfill_job.gate.check import Check, Limits, Standing, failed, not_run, passed
from backfill_job.wording import counted
from shared.verification import Lag

__all__ = ["alive_check", "lag_check"]

_LOOK_AT_THE_MIRROR = "look at the mirror's log and its instances"


def lag_check(lag: Lag | None, arrived: float | None, limits: Limits) -> Check:
    """The mirror's copies arrive in time.

    Args:
        lag: What the latest verification saw; None without one.
        arrived: Seconds that the canary took; None where it did not arrive, or none was asked for. It counts when the
            verification saw nobody write.
        limits: How long copies may take.
    """
    name = "mirror lag"
    if lag is None:
        return not_run(name, "no verification has measured it", "as for the verification")
    since = f"since {lag.since:%Y-%m-%d %H:%M}Z"
    if not lag.objects and arrived is not None:
        said = f"nobody wrote {since}; the canary took {arrived:.1f} s"
        if arrived <= limits.lag_p50:
            return passed(name, said)
        return failed(name, f"{said}, over {limits.lag_p50:g} s", _LOOK_AT_THE_MIRROR)
    if not lag.objects or lag.p50_s is None or lag.p99_s is None or lag.max_s is None:
        return not_run(
            name,
            f"the latest verification saw no object written {since}, the time from which it measured",
            "add --canary; or verify with --mirror-since and a time since which the mirror runs and somebody has written",
        )
    said = f"p50 {lag.p50_s:g} s, p99 {lag.p99_s:g} s, max {lag.max_s:g} s over {counted(lag.objects, 'object')} {since}"
    over = [
        f"{which} over {limit:g} s"
        for which, seconds, limit in (
            ("p50", lag.p50_s, limits.lag_p50),
            ("p99", lag.p99_s, limits.lag_p99),
            ("max", lag.max_s, limits.lag_max),
        )
        if not 0 <= seconds <= limit
    ]
    if over:
        return failed(
            name,
            f"{said}: {', '.join(over)}",
            f"{_LOOK_AT_THE_MIRROR}; objects that the backfill brought count, too: verify with --mirror-since and a later time",
        )
    return passed(name, said)


def alive_check(
    lag: Lag | None, canary: Check | None, arrived: float | None, now: datetime, limits: Limits
) -> Check:
    """The mirror brings what is written now.

    Args:
        lag: What the latest verification saw.
        canary: What became of the canary; None where none was asked for.
        arrived: Seconds that it took; None where it did not arrive.
        now: The current time.
        limits: What counts as lately.
    """
    name = "mirror alive"
    if arrived is not None:
        return passed(name, "the canary arrived")
    if canary is not None and canary.standing is Standing.FAIL:
        return failed(name, "the canary did not arrive", canary.next_step)
    if lag is not None and lag.objects and now - lag.since <= limits.max_age:
        return passed(name, f"{counted(lag.objects, 'object')} arrived since {lag.since:%H:%M}Z")
    if canary is not None:
        return not_run(name, "the canary could not be flown", canary.next_step)
    return not_run(name, "nothing that was written lately has been seen to arrive", "add --canary")
