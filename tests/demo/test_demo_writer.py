"""The live writer: its rate follows the mirrors, and its rest is complete."""

import local_gcs
from demo.writer import live_writer
from local_gcs.waiting import wait_until
from shared.migration import Location


def test_the_writer_stops_while_events_wait_and_goes_on_when_they_do_not() -> None:
    """Whatever the machine's speed: at the bound it does not write, below it does."""
    waiting = [50]
    with (
        local_gcs.running(buckets=["bucket"]) as server,
        live_writer(
            server.url,
            Location("bucket", "p/"),
            rate=100.0,
            pending=lambda: waiting[0],
            most_pending=50,
        ) as writer,
    ):
        wait_until(lambda: writer._turns, lambda turns: turns >= 50, "turns of the writer")
        assert (writer.uploads, server.count("storage.objects.insert")) == (0, 0)
        waiting[0] = 25
        wait_until(lambda: writer.uploads, lambda uploads: uploads >= 10, "uploads")
        writer.rest()
        written = writer.uploads
        assert not writer.submitted
        before = writer._turns
        wait_until(lambda: writer._turns, lambda turns: turns >= before + 50, "turns of the writer")
        assert (writer.uploads, server.count("storage.objects.insert")) == (written, written)
