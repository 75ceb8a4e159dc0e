"""Rewrite: a server-side copy, in one call or in several.

Rules (Cloud Storage reference, "Objects: rewrite"): an empty body copies the source's metadata, any other body replaces
all of it. Object contexts are copied unless the body has some or ``dropContextGroups`` is ``custom``. A long copy returns a
token; every further call repeats all parameters, of which none may change. All conditions hold at each call and once more
at the commit, which is the last call; between calls others may write.

Google does not promise that a single call is one step. So it has two: `Rewriter.begin` reads the source and
`Rewriter.finish` commits at the destination. A server may let others act between them. The version that was read is
committed even if the source has changed since, and the destination's conditions are checked at the commit.

The source version is the one read at the first call. If it has been overwritten in an unversioned bucket, or deleted, the
continuation is refused. So a copy is never mixed from two versions, and never an old one by accident.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from local_gcs.buckets import Bucket
from local_gcs.errors import invalid
from local_gcs.model import Storage
from local_gcs.objects import NONE, Conditions, Draft, ObjectVersion

__all__ = ["PendingRewrite", "Progress", "RewriteRequest", "Rewriter"]

MEBIBYTE = 1024 * 1024
MOST_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class RewriteRequest:
    """One call, without its token; equal for all calls of one rewrite.

    Attributes:
        draft: The metadata of the body; None for an empty body, which copies the source's.
        source_generation: None for the live version.
        chunk: Number of bytes that a call may copy; None for no limit.
    """

    source_bucket: str
    source_name: str
    bucket: str
    name: str
    draft: Draft | None = None
    source_generation: int | None = None
    source_conditions: Conditions = NONE
    conditions: Conditions = NONE
    chunk: int | None = None
    drop_contexts: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The answer to one call: how many bytes of the size are written.

    Attributes:
        version: The new version; None until the copy is complete.
        token: The token for the next call; empty if the copy is complete.
    """

    written: int
    size: int
    version: ObjectVersion | None = None
    token: str = ""


@dataclass(frozen=True, slots=True)
class PendingRewrite:
    """A call between its two steps, or a rewrite between two calls: what was read, and copied by earlier calls."""

    request: RewriteRequest
    source: ObjectVersion
    written: int


class Rewriter:
    """Does rewrites and remembers the unfinished ones.

    A token stays valid after its call, because a client that lost the answer repeats it. The oldest tokens are dropped.

    Attributes:
        limit: Most bytes that a call copies, whatever the client asks for; None for no limit. It makes any client loop,
            as Google's service does between locations.
        gap: Gives the seconds between the two steps of the next call; 0 for none.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._steps: OrderedDict[str, PendingRewrite] = OrderedDict()
        self.limit: int | None = None
        self.gap: Callable[[], float] = float

    def begin(self, request: RewriteRequest, token: str = "") -> PendingRewrite:
        """Takes the first step of a call: checks everything, and reads the source.

        The token is that of the previous call; it is empty for the first. Refuses with 400 for an unusable token,
        chunk or name; 404; 412.
        """
        if request.chunk is not None and (request.chunk <= 0 or request.chunk % MEBIBYTE):
            message = "maxBytesRewrittenPerCall must be a multiple of 1048576."
            raise invalid(message, location="maxBytesRewrittenPerCall")
        source, written = self._source(request, token)
        self._destination(request)
        return PendingRewrite(request, source, written)

    def finish(self, begun: PendingRewrite) -> Progress:
        """Takes the second step: commits, or remembers its progress. Refuses with 404, 412 or 403."""
        request, source, written = begun.request, begun.source, begun.written
        bucket = self._destination(request)
        size = source.content.size
        written = min([size, *[written + limit for limit in (request.chunk, self.limit) if limit]])
        if written < size:
            return Progress(written, size, token=self._remember(PendingRewrite(request, source, written)))
        return Progress(size, size, self._commit(bucket, request, source))

    def rewrite(self, request: RewriteRequest, token: str = "") -> Progress:
        """Makes one call, both steps at once; see `begin` and `finish`."""
        return self.finish(self.begin(request, token))

    def copy(self, request: RewriteRequest) -> ObjectVersion:
        """Copies in one call (Cloud Storage reference, "Objects: copy"). Refuses as `begin` and `finish`."""
        source, _ = self._source(request, "")
        return self._commit(self._destination(request), request, source)

    def _destination(self, request: RewriteRequest) -> Bucket:
        return self._storage.destination(request.bucket, request.name, request.conditions)

    def _source(self, request: RewriteRequest, token: str) -> tuple[ObjectVersion, int]:
        """The source version and the number of bytes copied so far, after all conditions on the source."""
        bucket = self._storage.bucket(request.source_bucket)
        step = self._steps.get(token) if token else None
        if token and (step is None or step.request != request):
            raise invalid("Invalid rewrite token.", location="rewriteToken")
        name, generation = request.source_name, request.source_generation
        source = self._storage.find(bucket, name, generation, request.source_conditions)
        if step is None:
            return source, 0
        # A versioned bucket keeps the version of the first call; elsewhere it must still be the live one.
        return self._storage.find(bucket, name, step.source.generation), step.written

    def _commit(self, bucket: Bucket, request: RewriteRequest, source: ObjectVersion) -> ObjectVersion:
        draft = request.draft or Draft(source.attributes)
        if source.contexts and draft.contexts is None and not request.drop_contexts:
            draft = replace(draft, contexts=source.contexts)
        return self._storage.put(bucket, request.name, source.content, draft)

    def _remember(self, step: PendingRewrite) -> str:
        token = secrets.token_urlsafe(24)
        self._steps[token] = step
        if len(self._steps) > MOST_TOKENS:
            self._steps.popitem(last=False)
        return token
