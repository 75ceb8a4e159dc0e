"""The methods of buckets, of their policies and of their notifications.

Apart from `api`, which dispatches, because a file with every method of objects, buckets and uploads would be too long.
"""

from typing import Any
from uuid import uuid4

from local_gcs.calls import Call, Method, Reply
from local_gcs.errors import not_found
from local_gcs.model import Storage, require_metageneration
from local_gcs.resources import Renderer, etag, json_reply, permissions_reply, require_etag

__all__ = ["BucketsApi"]


class BucketsApi:
    """The methods of buckets, by name in `methods`; all buckets are in one project."""

    def __init__(self, storage: Storage, renderer: Renderer, project: str) -> None:
        self._storage = storage
        self._renderer = renderer
        self._project = project
        self.methods: dict[str, Method] = {
            "storage.buckets.list": self._list,
            "storage.buckets.insert": self._insert,
            "storage.buckets.get": self._get,
            "storage.buckets.patch": lambda call: self._change(call, whole=False),
            "storage.buckets.update": lambda call: self._change(call, whole=True),
            "storage.buckets.delete": self._delete,
            "storage.buckets.getStorageLayout": self._layout,
            "storage.buckets.lockRetentionPolicy": self._lock,
            "storage.buckets.getIamPolicy": self._get_policy,
            "storage.buckets.setIamPolicy": self._set_policy,
            "storage.buckets.testIamPermissions": self._test_permissions,
            "storage.folders.list": self._folders,
            "storage.managedFolders.list": self._folders,
            "storage.notifications.list": self._notifications,
            "storage.notifications.insert": self._add_notification,
            "storage.notifications.get": self._notification,
            "storage.notifications.delete": self._remove_notification,
            "storage.projects.serviceAccount.get": self._service_account,
        }

    def _list(self, call: Call) -> Reply:
        """All buckets, a page at a time; a page token is the last name given."""
        prefix, after = call.text("prefix"), call.text("pageToken")
        size, buckets = min(call.integer("maxResults") or 1000, 1000), self._storage.buckets
        names = sorted(name for name in buckets if name.startswith(prefix) and name > after)
        answer: dict[str, Any] = {"kind": "storage#buckets"}
        if names:
            answer["items"] = [self._renderer.bucket(buckets[name]) for name in names[:size]]
        if len(names) > size:
            answer["nextPageToken"] = names[size - 1]
        return json_reply(call, answer)

    def _insert(self, call: Call) -> Reply:
        return json_reply(call, self._renderer.bucket(self._storage.create_bucket(call.resource())))

    def _get(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        require_metageneration(bucket, call.conditions, reading=True)
        require_etag(call.headers, etag(1, bucket.metageneration))
        return json_reply(call, self._renderer.bucket(bucket))

    def _change(self, call: Call, *, whole: bool) -> Reply:
        """Changes the fields that the body names or, for an update, replaces the editable ones."""
        bucket = self._storage.patch_bucket(call.args[0], call.resource(), call.conditions, whole=whole)
        return json_reply(call, self._renderer.bucket(bucket))

    def _delete(self, call: Call) -> Reply:
        self._storage.delete_bucket(call.args[0], call.conditions)
        return Reply(204)

    def _layout(self, call: Call) -> Reply:
        """Location and layout of a bucket; tools ask for it before a recursive copy."""
        bucket = self._storage.bucket(call.args[0])
        layout = {"kind": "storage#storageLayout", "bucket": bucket.name}
        layout |= {name: bucket.resource[name] for name in ("location", "locationType")}
        return json_reply(call, {**layout, "hierarchicalNamespace": {"enabled": False}})

    def _lock(self, call: Call) -> Reply:
        bucket = self._storage.lock_retention(call.args[0], call.conditions)
        return json_reply(call, self._renderer.bucket(bucket))

    def _get_policy(self, call: Call) -> Reply:
        """The IAM policy, which is not enforced."""
        bucket = self._storage.bucket(call.args[0])
        empty = {
            "kind": "storage#policy",
            "resourceId": f"projects/_/buckets/{bucket.name}",
            "version": 1,
            "etag": "CAE=",
            "bindings": [],
        }
        return json_reply(call, empty | bucket.policy)

    def _set_policy(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        resource = call.resource()
        bucket.policy = {key: resource[key] for key in ("bindings", "version") if key in resource}
        return self._get_policy(call)

    def _test_permissions(self, call: Call) -> Reply:
        self._storage.bucket(call.args[0])
        return permissions_reply(call)

    def _folders(self, call: Call) -> Reply:
        """A bucket without a hierarchical namespace has no folders, and this server has no managed ones."""
        self._storage.bucket(call.args[0])
        return json_reply(call, {"items": []})

    def _notifications(self, call: Call) -> Reply:
        """Notification configurations, which are kept and shown; events go to subscribers instead."""
        configurations = list(self._storage.bucket(call.args[0]).notifications.values())
        return json_reply(call, {"kind": "storage#notifications", "items": configurations})

    def _add_notification(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        identifier = uuid4().hex
        kept = {"kind": "storage#notification"} | call.resource() | {"id": identifier, "etag": identifier}
        bucket.notifications[identifier] = kept
        return json_reply(call, kept)

    def _notification(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        if call.args[1] not in bucket.notifications:
            raise not_found()
        return json_reply(call, bucket.notifications[call.args[1]])

    def _remove_notification(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        if bucket.notifications.pop(call.args[1], None) is None:
            raise not_found()
        return Reply(204)

    def _service_account(self, call: Call) -> Reply:
        email = f"service-1@{self._project}.iam.gserviceaccount.com"
        return json_reply(call, {"kind": "storage#serviceAccount", "email_address": email})
