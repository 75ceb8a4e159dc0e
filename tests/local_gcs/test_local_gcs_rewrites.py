"""Rewrites in several calls, and their conditions."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from local_gcs_lab import Lab

from local_gcs.objects import Attributes, Conditions, Draft
from local_gcs.rewrites import Rewriter, RewriteRequest

Refusal = Callable[..., tuple[int, str]]
GONE = (404, "notFound")
FAILED = (412, "conditionNotMet")
UNUSABLE = (400, "invalid")
COPY = RewriteRequest("src", "a", "dst", "b")


@pytest.fixture
def rewriter(lab: Lab) -> Rewriter:
    lab.bucket("src")
    lab.bucket("dst")
    rewriter = Rewriter(lab.storage)
    rewriter.limit = 4
    return rewriter


def test_as_many_calls_as_the_limit_makes(lab: Lab, rewriter: Rewriter) -> None:
    """A limit makes a rewrite loop; the object appears with the last call."""
    lab.put("src", "a", b"0123456789", content_type="text/x", metadata={"k": "v"})
    seen, token = [], ""
    while True:
        progress = rewriter.rewrite(COPY, token)
        seen.append((progress.written, progress.size, lab.live("dst", "b")))
        if progress.version:
            break
        token = progress.token
    assert seen == [(4, 10, None), (8, 10, None), (10, 10, b"0123456789")]
    assert progress.version.attributes == Attributes(content_type="text/x", metadata={"k": "v"})


def test_an_empty_object_needs_one_call(lab: Lab, rewriter: Rewriter) -> None:
    """There is nothing to copy in pieces."""
    lab.put("src", "a", b"")
    assert rewriter.rewrite(COPY).version


def test_a_lost_answer_can_be_asked_for_again(lab: Lab, rewriter: Rewriter) -> None:
    """The same token twice does the same step twice, the last one included, as far as conditions let it."""
    lab.put("src", "a", b"012345")
    conditional = replace(COPY, conditions=Conditions(generation_match=0))
    for request, again in ((replace(COPY, name="c"), None), (conditional, FAILED)):
        token = rewriter.rewrite(request).token
        first = rewriter.rewrite(request, token).version
        assert first
        if again is None:
            second = rewriter.rewrite(request, token).version
            assert second
            assert second.generation != first.generation
        else:
            with pytest.raises(Exception, match="pre-conditions"):
                rewriter.rewrite(request, token)


@pytest.mark.parametrize(
    "change",
    [
        {"source_name": "z"},
        {"name": "z"},
        {"draft": Draft()},
        {"conditions": Conditions(generation_match=0)},
        {"source_conditions": Conditions(metageneration_match=1)},
        {"chunk": 1024 * 1024},
    ],
)
def test_parameters_may_not_change(
    lab: Lab, rewriter: Rewriter, refused: Refusal, change: dict[str, object]
) -> None:
    """A token is good for the parameters it was given for, and for no others."""
    lab.put("src", "a", b"012345")
    lab.put("src", "z", b"012345")
    token = rewriter.rewrite(COPY).token
    assert refused(rewriter.rewrite, replace(COPY, **change), token) == UNUSABLE
    assert lab.live("dst", "b") is None


def test_unknown_tokens_and_odd_chunks(lab: Lab, rewriter: Rewriter, refused: Refusal) -> None:
    """An invented token, or a chunk that is not a multiple of a mebibyte, is refused."""
    lab.put("src", "a", b"012345")
    assert refused(rewriter.rewrite, COPY, "made up") == UNUSABLE
    for chunk in (0, -1, 1000, 1024 * 1024 + 1):
        assert refused(rewriter.rewrite, replace(COPY, chunk=chunk)) == UNUSABLE


@pytest.mark.parametrize("deleted", [False, True])
def test_source_gone_between_calls(lab: Lab, rewriter: Rewriter, refused: Refusal, *, deleted: bool) -> None:
    """An unversioned source that was overwritten or deleted ends the rewrite; nothing old or mixed is written."""
    version = lab.put("src", "a", b"old-content")
    matching = replace(COPY, source_conditions=Conditions(generation_match=version.generation))
    named = replace(COPY, source_generation=version.generation)
    tokens = {request: rewriter.rewrite(request).token for request in (COPY, matching, named)}
    if deleted:
        lab.storage.delete("src", "a")
    else:
        lab.put("src", "a", b"new-content")
    answers = [refused(rewriter.rewrite, request, token) for request, token in tokens.items()]
    assert answers == [GONE, GONE if deleted else FAILED, GONE]
    assert lab.live("dst", "b") is None


def test_versioned_source_overwritten_between_calls(lab: Lab, rewriter: Rewriter, refused: Refusal) -> None:
    """A versioned bucket keeps the version read at first: the rewrite goes on, unless it asked for the live one."""
    lab.bucket("versioned", versioning={"enabled": True})
    version = lab.put("versioned", "a", b"old-content")
    plain = replace(COPY, source_bucket="versioned")
    live_only = replace(plain, source_conditions=Conditions(generation_match=version.generation))
    tokens = {request: rewriter.rewrite(request).token for request in (plain, live_only)}
    lab.put("versioned", "a", b"new-content")
    rewriter.limit = None
    assert refused(rewriter.rewrite, live_only, tokens[live_only]) == FAILED
    done = rewriter.rewrite(plain, tokens[plain])
    assert (done.version is not None, lab.live("dst", "b")) == (True, b"old-content")


def test_noncurrent_source_by_number(lab: Lab, rewriter: Rewriter, refused: Refusal) -> None:
    """``sourceGeneration`` copies an overwritten version of a versioned bucket, and of no other."""
    rewriter.limit = None
    lab.bucket("versioned", versioning={"enabled": True})
    for bucket in ("versioned", "src"):
        old = lab.put(bucket, "a", b"old")
        lab.put(bucket, "a", b"new")
        request = RewriteRequest(bucket, "a", "dst", bucket, source_generation=old.generation)
        if bucket == "versioned":
            rewriter.rewrite(request)
        else:
            assert refused(rewriter.rewrite, request) == GONE
    assert (lab.live("dst", "versioned"), lab.live("dst", "src")) == (b"old", None)


def test_destination_written_between_calls(lab: Lab, rewriter: Rewriter, refused: Refusal) -> None:
    """The destination's condition is checked at the commit, not only at the first call."""
    lab.put("src", "a", b"012345")
    request = replace(COPY, conditions=Conditions(generation_match=0))
    token = rewriter.rewrite(request).token
    lab.put("dst", "b", b"by another writer")
    assert refused(rewriter.rewrite, request, token) == FAILED
    assert lab.live("dst", "b") == b"by another writer"


@pytest.mark.parametrize(
    ("condition", "value", "happens"),
    [
        ("generation_match", 0, False),
        ("generation_not_match", "live", False),
        ("metageneration_match", 2, False),
        ("metageneration_not_match", 1, False),
        ("generation_match", "live", True),
        ("generation_not_match", 5, True),
        ("metageneration_match", 1, True),
        ("metageneration_not_match", 2, True),
    ],
)
def test_all_eight_conditions(
    lab: Lab, refused: Refusal, condition: str, value: object, *, happens: bool
) -> None:
    """Each of the four conditions on each side decides whether the rewrite happens."""
    lab.bucket("src")
    lab.bucket("dst")
    for side in ("source_conditions", "conditions"):
        versions = {
            "source_conditions": lab.put("src", "a", b"new"),
            "conditions": lab.put("dst", "b", b"old"),
        }
        number = versions[side].generation if value == "live" else value
        request = replace(COPY, **{side: Conditions(**{condition: number})})
        if happens:
            Rewriter(lab.storage).rewrite(request)
        else:
            assert refused(Rewriter(lab.storage).rewrite, request) == FAILED
        assert lab.live("dst", "b") == (b"new" if happens else b"old")


def test_a_body_replaces_all_metadata(lab: Lab, rewriter: Rewriter) -> None:
    """What a body does not name is dropped, not merged; no body copies everything."""
    rewriter.limit = None
    lab.put("src", "a", content_type="text/x", cache_control="no-store", metadata={"k": "v"})
    body = Draft(Attributes(metadata={"other": "1"}))
    replaced = rewriter.rewrite(replace(COPY, draft=body)).version
    assert replaced
    assert replaced.attributes == Attributes(metadata={"other": "1"})
    copied = rewriter.rewrite(COPY).version
    assert copied
    assert copied.attributes == Attributes("text/x", cache_control="no-store", metadata={"k": "v"})


def test_a_held_destination_is_not_replaced(lab: Lab, rewriter: Rewriter, refused: Refusal) -> None:
    """A rewrite onto an object under retention is refused."""
    lab.bucket("kept", retentionPolicy={"retentionPeriod": "60"})
    rewriter.limit = None
    lab.put("src", "a", b"new")
    lab.put("kept", "b", b"old")
    assert refused(rewriter.rewrite, replace(COPY, bucket="kept")) == (403, "retentionPolicyNotMet")
    assert lab.live("kept", "b") == b"old"


def test_between_the_two_steps_of_a_call_the_source_may_change(lab: Lab, rewriter: Rewriter) -> None:
    """The version that was read is committed, because Google promises nothing else: the destination goes backwards."""
    rewriter.limit = None
    old = lab.put("src", "a", b"old").generation
    conditional = replace(COPY, source_conditions=Conditions(generation_match=old))
    begun = rewriter.begin(conditional)
    lab.put("src", "a", b"new")
    rewriter.rewrite(COPY)
    assert lab.live("dst", "b") == b"new"
    assert rewriter.finish(begun).version
    assert lab.live("dst", "b") == b"old"


def test_the_destination_s_condition_is_checked_at_the_commit(
    lab: Lab, rewriter: Rewriter, refused: Refusal
) -> None:
    """A write between the two steps makes it fail."""
    rewriter.limit = None
    lab.put("src", "a", b"old")
    begun = rewriter.begin(replace(COPY, conditions=Conditions(generation_match=0)))
    lab.put("dst", "b", b"another's")
    assert refused(rewriter.finish, begun) == FAILED
    assert lab.live("dst", "b") == b"another's"
