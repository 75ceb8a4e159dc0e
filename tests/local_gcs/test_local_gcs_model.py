"""The storage itself, where the conformance probe is silent."""

from collections.abc import Callable

import pytest
from local_gcs_lab import Lab

from local_gcs.model import ComposeSource
from local_gcs.objects import NO_ATTRIBUTES, NONE, Attributes, Conditions, Draft, Holds, ObjectVersion

Refusal = Callable[..., tuple[int, str]]
GONE = (404, "notFound")
FAILED = (412, "conditionNotMet")


def soft_deleted(lab: Lab, bucket: str, name: str) -> list[int]:
    return sorted(version.generation for version in lab.storage.buckets[bucket].soft_deleted.of(name))


def holding(**holds: bool) -> Callable[[ObjectVersion], Draft]:
    return lambda version: Draft(version.attributes, version.storage_class, Holds(**holds))


class TestConditions:
    @pytest.mark.parametrize(
        ("conditions", "absent", "present"),
        [
            (NONE, True, True),
            (Conditions(generation_match=0), True, False),
            (Conditions(generation_match=7), False, True),
            (Conditions(generation_match=8), False, False),
            (Conditions(generation_not_match=0), False, True),
            (Conditions(generation_not_match=7), True, False),
            (Conditions(metageneration_match=1), False, True),
            (Conditions(metageneration_match=2), False, False),
            (Conditions(metageneration_not_match=1), True, False),
            (Conditions(metageneration_not_match=2), True, True),
        ],
    )
    def test_truth_table(
        self, lab: Lab, refused: Refusal, conditions: Conditions, *, absent: bool, present: bool
    ) -> None:
        """Each condition holds exactly where Google says, an absent object being generation 0."""
        lab.bucket("bucket")
        stored = lab.put("bucket", "a")
        version = ObjectVersion(
            "bucket", "a", 7, 1, stored.content, NO_ATTRIBUTES, "STANDARD", stored.updated, stored.updated
        )
        for found, holds in ((None, absent), (version, present)):
            if holds:
                conditions.require(found)
            else:
                assert refused(conditions.require, found) == FAILED

    def test_reading_says_not_modified(self, lab: Lab, refused: Refusal) -> None:
        """A failed not-match is 304 for a read and 412 for a write."""
        lab.bucket("bucket")
        version = lab.put("bucket", "a")
        same = Conditions(generation_not_match=version.generation)
        assert refused(same.require, version, reading=True) == (304, "notModified")
        assert refused(same.require, version) == FAILED


class TestSoftDelete:
    def test_overwritten_generations_can_be_restored(self, lab: Lab) -> None:
        """Overwriting soft-deletes what was there; restoring makes a new generation of it."""
        lab.bucket("bucket")
        first = lab.put("bucket", "a", b"1", content_type="text/x", metadata={"k": "v"})
        second = lab.put("bucket", "a", b"2")
        assert soft_deleted(lab, "bucket", "a") == [first.generation]
        restored = lab.storage.restore("bucket", "a", generation=first.generation)
        assert (restored.content.data, restored.attributes) == (b"1", first.attributes)
        assert restored.generation not in {first.generation, second.generation}
        assert soft_deleted(lab, "bucket", "a") == sorted([first.generation, second.generation])

    def test_restore_checks_the_live_version(self, lab: Lab, refused: Refusal) -> None:
        """Conditions of a restore are about what is live now, not about what is restored."""
        lab.bucket("bucket")
        first = lab.put("bucket", "a", b"1")
        second = lab.put("bucket", "a", b"2")
        for failing in (0, first.generation):
            conditions = Conditions(generation_match=failing)
            restore = lab.storage.restore
            assert (
                refused(restore, "bucket", "a", generation=first.generation, conditions=conditions) == FAILED
            )
        matching = Conditions(generation_match=second.generation)
        lab.storage.restore("bucket", "a", generation=first.generation, conditions=matching)
        assert lab.live("bucket", "a") == b"1"

    def test_time_runs_out(self, lab: Lab, refused: Refusal) -> None:
        """After the retention duration a soft-deleted version is gone for good."""
        lab.bucket("bucket")
        version = lab.put("bucket", "a")
        lab.storage.delete("bucket", "a")
        lab.clock.move(days=6, hours=23)
        found = lab.storage.find_soft_deleted(lab.storage.bucket("bucket"), "a", version.generation)
        assert found.hard_delete_time == "2024-01-08T00:00:00.000Z"
        lab.clock.move(hours=1)
        assert refused(lab.storage.restore, "bucket", "a", generation=version.generation) == GONE

    def test_turned_off(self, lab: Lab, refused: Refusal) -> None:
        """Without a policy nothing can be restored."""
        lab.bucket("bucket", softDeletePolicy={"retentionDurationSeconds": "0"})
        version = lab.put("bucket", "a")
        lab.storage.delete("bucket", "a")
        assert refused(lab.storage.restore, "bucket", "a", generation=version.generation) == GONE

    def test_restore_needs_a_generation(self, lab: Lab, refused: Refusal) -> None:
        """Which version is to come back must be said."""
        lab.bucket("bucket")
        lab.put("bucket", "a")
        lab.storage.delete("bucket", "a")
        assert refused(lab.storage.restore, "bucket", "a", generation=None) == (400, "required")

    def test_policy_bounds(self, lab: Lab, refused: Refusal) -> None:
        """A soft delete policy lasts 0 seconds, or 7 to 90 days."""
        for seconds, good in (
            (0, True),
            (604_799, False),
            (604_800, True),
            (7_776_000, True),
            (7_776_001, False),
        ):
            body = {"name": f"bucket-{seconds}", "softDeletePolicy": {"retentionDurationSeconds": seconds}}
            if good:
                lab.storage.create_bucket(body)
            else:
                assert refused(lab.storage.create_bucket, body) == (400, "invalid")


class TestVersioning:
    def test_life_of_versions(self, lab: Lab, refused: Refusal) -> None:
        """Overwriting and deleting archive; deleting a named generation deletes it, and soft delete keeps it."""
        lab.bucket("bucket", versioning={"enabled": True})
        first = lab.put("bucket", "a", b"1")
        second = lab.put("bucket", "a", b"2")
        lab.storage.delete("bucket", "a")
        bucket = lab.storage.bucket("bucket")
        assert lab.live("bucket", "a") is None
        assert {v.generation for v in bucket.noncurrent.of("a")} == {first.generation, second.generation}
        assert soft_deleted(lab, "bucket", "a") == []
        lab.storage.delete("bucket", "a", generation=first.generation)
        assert refused(lab.storage.find, bucket, "a", first.generation) == GONE
        assert soft_deleted(lab, "bucket", "a") == [first.generation]
        assert lab.told() == [
            f"finalized {first.generation}",
            f"archived {first.generation}",
            f"finalized {second.generation}",
            f"archived {second.generation}",
            f"deleted {first.generation}",
        ]

    def test_deleting_the_live_generation_by_number(self, lab: Lab) -> None:
        """A delete that names the live generation does not archive it: a client's stale blob does that."""
        lab.bucket("bucket", versioning={"enabled": True})
        version = lab.put("bucket", "a")
        lab.storage.delete("bucket", "a", generation=version.generation)
        assert not lab.storage.bucket("bucket").noncurrent
        assert soft_deleted(lab, "bucket", "a") == [version.generation]

    def test_bucket_with_versions_is_not_empty(self, lab: Lab, refused: Refusal) -> None:
        """Noncurrent versions keep a bucket from being deleted, soft-deleted ones do not."""
        lab.bucket("bucket", versioning={"enabled": True})
        version = lab.put("bucket", "a")
        lab.storage.delete("bucket", "a")
        assert refused(lab.storage.delete_bucket, "bucket") == (409, "conflict")
        lab.storage.delete("bucket", "a", generation=version.generation)
        lab.storage.delete_bucket("bucket")


class TestEvents:
    def test_overwrite_tells_of_both_generations(self, lab: Lab) -> None:
        """Overwriting in an unversioned bucket announces the deletion of the old generation, too."""
        lab.bucket("bucket")
        first = lab.put("bucket", "a")
        second = lab.put("bucket", "a")
        assert lab.told() == [
            f"finalized {first.generation}",
            f"deleted {first.generation}",
            f"finalized {second.generation}",
        ]

    def test_every_way_to_make_an_object_is_told(self, lab: Lab) -> None:
        """Restore, compose and move finalize; patch updates metadata; a failed condition tells nothing."""
        lab.bucket("bucket")
        first = lab.put("bucket", "a")
        lab.storage.delete("bucket", "a")
        lab.told()
        restored = lab.storage.restore("bucket", "a", generation=first.generation)
        assert lab.told() == [f"finalized {restored.generation}"]
        composed = lab.storage.compose("bucket", "c", [ComposeSource("a")], Draft())
        assert lab.told() == [f"finalized {composed.generation}"]
        lab.storage.patch("bucket", "a", holding())
        assert lab.told() == [f"metadataUpdated {restored.generation}"]
        moved = lab.storage.move("bucket", "a", "b")
        assert lab.told() == [f"finalized {moved.generation}", f"deleted {restored.generation}"]
        with pytest.raises(Exception, match="pre-conditions"):
            lab.put("bucket", "b", conditions=Conditions(generation_match=0))
        assert lab.told() == []


class TestProtection:
    @pytest.mark.parametrize("hold", ["temporary", "event_based"])
    def test_holds(self, lab: Lab, refused: Refusal, hold: str) -> None:
        """A held object cannot be deleted, replaced or moved, but its metadata can be changed and the hold released."""
        held = (403, "objectUnderActiveHold")
        lab.bucket("bucket")
        lab.put("bucket", "a", b"1")
        lab.storage.patch("bucket", "a", holding(**{hold: True}))
        assert refused(lab.storage.delete, "bucket", "a") == held
        assert refused(lab.put, "bucket", "a", b"2") == held
        assert refused(lab.storage.move, "bucket", "a", "b") == held
        assert (lab.live("bucket", "a"), lab.live("bucket", "b")) == (b"1", None)
        lab.storage.patch("bucket", "a", holding())
        lab.storage.delete("bucket", "a")

    def test_retention_ends(self, lab: Lab, refused: Refusal) -> None:
        """A retention policy protects for its period and not a moment longer."""
        lab.bucket("bucket", retentionPolicy={"retentionPeriod": "60"})
        assert lab.put("bucket", "a").retention_expires == "2024-01-01T00:01:00.000Z"
        lab.clock.move(seconds=59)
        assert refused(lab.storage.delete, "bucket", "a") == (403, "retentionPolicyNotMet")
        lab.clock.move(seconds=1)
        lab.storage.delete("bucket", "a")

    def test_retention_counts_from_the_release_of_an_event_based_hold(self, lab: Lab) -> None:
        """While an event-based hold is on there is no end; its release starts the period."""
        lab.bucket("bucket", retentionPolicy={"retentionPeriod": "60"}, defaultEventBasedHold=True)
        assert lab.put("bucket", "a").retention_expires is None
        lab.clock.move(hours=1)
        assert lab.storage.patch("bucket", "a", holding()).retention_expires == "2024-01-01T01:01:00.000Z"

    def test_policy_set_later_protects_what_is_there(self, lab: Lab, refused: Refusal) -> None:
        """A retention policy holds for objects that are older than it, and taking it away frees them."""
        lab.bucket("bucket")
        lab.put("bucket", "a")
        lab.storage.patch_bucket("bucket", {"retentionPolicy": {"retentionPeriod": "60"}})
        assert refused(lab.storage.delete, "bucket", "a") == (403, "retentionPolicyNotMet")
        lab.storage.patch_bucket("bucket", {"retentionPolicy": None})
        lab.storage.delete("bucket", "a")


class TestMetadata:
    def test_patch_moves_updated_even_if_the_clock_stands(self, lab: Lab) -> None:
        """A metadata change keeps generation and creation time, and is never as old as what it changed."""
        lab.bucket("bucket")
        version = lab.put("bucket", "a")
        patched = lab.storage.patch("bucket", "a", holding())
        assert (patched.generation, patched.metageneration) == (version.generation, 2)
        assert patched.time_created == version.time_created < patched.updated

    def test_composite_objects_have_no_md5(self, lab: Lab) -> None:
        """Composing counts components, also of components, and leaves the MD5 out."""
        lab.bucket("bucket")
        lab.put("bucket", "a", b"aa")
        lab.put("bucket", "b", b"bb")
        both = [ComposeSource("a"), ComposeSource("b")]
        composed = lab.storage.compose("bucket", "ab", both, Draft(Attributes(content_type="text/x")))
        again = lab.storage.compose("bucket", "aba", [ComposeSource("ab"), ComposeSource("a")], Draft())
        assert (composed.content.data, composed.content.md5, composed.content.components) == (
            b"aabb",
            None,
            2,
        )
        assert (again.content.data, again.content.components) == (b"aabbaa", 3)
        assert again.content.crc32c == lab.put("bucket", "same", b"aabbaa").content.crc32c

    def test_compose_checks_its_sources(self, lab: Lab, refused: Refusal) -> None:
        """A source that has changed, is missing, or too many of them: nothing is composed."""
        lab.bucket("bucket")
        lab.put("bucket", "a")
        changed = ComposeSource("a", conditions=Conditions(generation_match=1))
        for sources, answer in (
            ([changed], FAILED),
            ([ComposeSource("none")], GONE),
            ([ComposeSource("a")] * 33, (400, "invalid")),
            ([], (400, "invalid")),
        ):
            assert refused(lab.storage.compose, "bucket", "c", sources, Draft()) == answer
        assert lab.live("bucket", "c") is None
