"""The methods of objects: each takes a call, does one thing to the storage, and gives the answer.

Apart from `api`, which dispatches, because a file with every method of objects, buckets and uploads would be too long.
"""

from typing import Any

import orjson

from local_gcs.calls import Call, Reply
from local_gcs.discovery import check_names, google
from local_gcs.errors import invalid
from local_gcs.listing import ListQuery, Page, list_live, list_soft_deleted, list_versions
from local_gcs.media import download
from local_gcs.model import ComposeSource, Storage
from local_gcs.objects import OF_SOURCE, Conditions, Draft, ObjectVersion, parse_conditions
from local_gcs.resources import (
    EVERYTHING,
    IF_MATCH,
    IF_NONE_MATCH,
    Renderer,
    draft_of,
    etag,
    object_reply,
    parse_fields,
    patched_draft,
    permissions_reply,
    require_etag,
)
from local_gcs.rewrites import Progress, Rewriter, RewriteRequest

__all__ = ["ObjectsApi"]


class ObjectsApi:
    """The methods of objects, by name in `methods`."""

    def __init__(self, storage: Storage, rewriter: Rewriter, renderer: Renderer) -> None:
        self._storage = storage
        self._rewriter = rewriter
        self._renderer = renderer
        self.methods = {
            "storage.objects.get": self._get,
            "storage.objects.download": self._download,
            "storage.objects.list": self._list,
            "storage.objects.patch": lambda call: self._change(call, whole=False),
            "storage.objects.update": lambda call: self._change(call, whole=True),
            "storage.objects.delete": self._delete,
            "storage.objects.rewrite": self._rewrite,
            "storage.objects.copy": self._copy,
            "storage.objects.move": self._move,
            "storage.objects.compose": self._compose,
            "storage.objects.restore": self._restore,
            "storage.objects.testIamPermissions": self._test_permissions,
        }

    def _get(self, call: Call) -> Reply:
        if call.params.get("alt") == "media":
            return self._download(call)
        return self._answer(call, self._read(call))

    def _download(self, call: Call) -> Reply:
        return download(self._read(call), call.headers)

    def _read(self, call: Call) -> ObjectVersion:
        bucket_name, name = call.args
        bucket, conditions = self._storage.bucket(bucket_name), call.conditions
        find = self._storage.find_soft_deleted if call.flag("softDeleted") else self._storage.find
        version = find(bucket, name, call.generation)
        conditions.require(version, reading=True)
        if IF_MATCH in call.headers or IF_NONE_MATCH in call.headers:
            require_etag(call.headers, etag(version.generation, version.metageneration))
        return version

    def _list(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        query = _list_query(call)
        if call.flag("softDeleted"):
            if call.flag("versions"):
                raise invalid("Only one of softDeleted and versions may be set.", location="softDeleted")
            page = list_soft_deleted(bucket, query, self._storage.now())
        elif call.flag("versions"):
            page = list_versions(bucket, query)
        else:
            page = list_live(bucket, query)
        return Reply(body=orjson.dumps(self._listed(call, page)))

    def _listed(self, call: Call, page: Page) -> dict[str, Any]:
        """A page as JSON; only the wanted fields of each item are rendered."""
        wanted = parse_fields(call.text("fields"), "Objects")
        answer: dict[str, Any] = {"kind": "storage#objects"} if wanted.of("kind") else {}
        items = wanted.of("items")
        if page.next_token and wanted.of("nextPageToken"):
            answer["nextPageToken"] = page.next_token
        if page.prefixes and wanted.of("prefixes"):
            answer["prefixes"] = page.prefixes
        if page.versions and items:
            answer["items"] = list(map(self._renderer.project(items), page.versions))
        return answer

    def _change(self, call: Call, *, whole: bool) -> Reply:
        """Changes the fields that the body names or, for an update, replaces all editable ones."""
        body = call.resource()

        def change(version: ObjectVersion) -> Draft:
            draft = draft_of(body) if whole else patched_draft(version.draft, body)
            if draft.storage_class not in {None, version.storage_class}:
                raise invalid("The storage class of an object changes by a rewrite.", location="storageClass")
            return draft

        bucket, name = call.args
        generation, conditions = call.generation, call.conditions
        version = self._storage.patch(bucket, name, change, generation=generation, conditions=conditions)
        return self._answer(call, version)

    def _delete(self, call: Call) -> Reply:
        self._storage.delete(*call.args, generation=call.generation, conditions=call.conditions)
        return Reply(204)

    def _rewrite(self, call: Call) -> Reply:
        begun = self._rewriter.begin(_rewrite_request(call), call.text("rewriteToken"))
        gap = self._rewriter.gap()
        if gap:
            return Reply(rest=lambda: self._rewritten(call, self._rewriter.finish(begun)), pause=gap)
        return self._rewritten(call, self._rewriter.finish(begun))

    def _rewritten(self, call: Call, progress: Progress) -> Reply:
        wanted = parse_fields(call.text("fields"), "RewriteResponse")
        answer: dict[str, Any] = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(progress.written),
            "objectSize": str(progress.size),
            "done": progress.version is not None,
        }
        if progress.token:
            answer["rewriteToken"] = progress.token
        if wanted is not EVERYTHING:
            answer = wanted.apply(answer)
        resource = wanted.of("resource")
        if progress.version and resource:
            answer["resource"] = self._renderer.project(resource)(progress.version)
        return Reply(body=orjson.dumps(answer))

    def _copy(self, call: Call) -> Reply:
        return self._answer(call, self._rewriter.copy(_rewrite_request(call)))

    def _move(self, call: Call) -> Reply:
        of_source = parse_conditions(call.params, OF_SOURCE)
        moved = self._storage.move(*call.args, source_conditions=of_source, conditions=call.conditions)
        return self._answer(call, moved)

    def _compose(self, call: Call) -> Reply:
        body = call.resource()
        check_names({**body, "destination": None}, google().schemas["ComposeRequest"])
        sources = body.get("sourceObjects")
        destination = body.get("destination") or {}
        if not isinstance(sources, list) or not isinstance(destination, dict):
            raise invalid("Invalid compose request.")
        bucket, name = call.args
        version = self._storage.compose(
            bucket,
            name,
            [_compose_source(source) for source in sources],
            draft_of(destination),
            call.conditions,
            delete_sources=body.get("deleteSourceObjects") is True,
            drop_contexts=_drops_contexts(call),
        )
        return self._answer(call, version)

    def _restore(self, call: Call) -> Reply:
        generation, conditions = call.generation, call.conditions
        restored = self._storage.restore(*call.args, generation=generation, conditions=conditions)
        return self._answer(call, restored)

    def _test_permissions(self, call: Call) -> Reply:
        """Every permission is granted on an object that exists."""
        self._read(call)
        return permissions_reply(call)

    def _answer(self, call: Call, version: ObjectVersion) -> Reply:
        return object_reply(call, self._renderer, version)


def _list_query(call: Call) -> ListQuery:
    params, size = call.params, call.integer("maxResults")
    if size is not None and size <= 0:
        raise invalid(f"Invalid unsigned integer value: '{size}'.", location="maxResults")
    return ListQuery(
        prefix=call.text("prefix"),
        delimiter=call.text("delimiter"),
        start_offset=call.text("startOffset"),
        end_offset=params.get("endOffset"),
        max_results=size or 1000,
        page_token=call.text("pageToken"),
        include_trailing_delimiter=call.flag("includeTrailingDelimiter"),
        match_glob=call.text("matchGlob"),
        contexts=call.text("filter"),
    )


def _drops_contexts(call: Call) -> bool:
    """Whether a copy drops the object contexts of its source. Refuses with 400: it names another group."""
    group = call.params.get("dropContextGroups")
    if not group:
        return False
    if group != "custom":
        raise invalid(f"Invalid value for dropContextGroups: {group}", location="dropContextGroups")
    return True


def _rewrite_request(call: Call) -> RewriteRequest:
    body = call.resource()
    source_bucket, source_name, bucket, name = call.args
    return RewriteRequest(
        source_bucket,
        source_name,
        bucket,
        name,
        draft_of(body) if body else None,
        source_generation=call.integer("sourceGeneration"),
        source_conditions=parse_conditions(call.params, OF_SOURCE),
        conditions=call.conditions,
        chunk=call.integer("maxBytesRewrittenPerCall"),
        drop_contexts=_drops_contexts(call),
    )


def _compose_source(source: Any) -> ComposeSource:
    try:
        wanted = (source.get("objectPreconditions") or {}).get("ifGenerationMatch")
        generation = source.get("generation")
        return ComposeSource(
            str(source["name"]),
            None if generation is None else int(generation),
            Conditions(generation_match=None if wanted is None else int(wanted)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise invalid("Invalid source object.", location="sourceObjects") from error
