"""A strict local Cloud Storage: a test double for the demo, the tests and the benchmark, not a place to keep data.

It keeps everything in the memory of one process and serves the JSON API as far as the table says. A test reads the table
and compares it with the code and with Google's discovery document (``google_storage_v1.json``). Names that Google has and
the table calls refused get 400 ``notModelled``; names that Google does not have get 400, too. Nothing is ignored in silence.

| what | how | names |
|---|---|---|
| methods | faithful | buckets.delete buckets.get buckets.getStorageLayout buckets.insert buckets.list |
| methods | faithful | buckets.lockRetentionPolicy buckets.patch buckets.update folders.list managedFolders.list |
| methods | faithful | objects.compose objects.copy objects.delete objects.get objects.insert objects.list |
| methods | faithful | objects.move objects.patch objects.restore objects.rewrite objects.update |
| methods | without effect | buckets.getIamPolicy buckets.setIamPolicy buckets.testIamPermissions notifications.delete |
| methods | without effect | notifications.get notifications.insert notifications.list objects.testIamPermissions |
| methods | without effect | projects.serviceAccount.get |
| methods | refused | anywhereCaches.* bucketAccessControls.* buckets.operations.* buckets.relocate |
| methods | refused | buckets.restore defaultObjectAccessControls.* folders.* managedFolders.* |
| methods | refused | objectAccessControls.* objects.bulkRestore objects.getIamPolicy objects.setIamPolicy |
| methods | refused | objects.viewFullContext projects.hmacKeys.* rapidCaches.* |
| parameters | faithful | contentEncoding delimiter dropContextGroups endOffset filter generation |
| parameters | faithful | ifGenerationMatch ifGenerationNotMatch ifMetagenerationMatch ifMetagenerationNotMatch |
| parameters | faithful | ifSourceGenerationMatch ifSourceGenerationNotMatch ifSourceMetagenerationMatch |
| parameters | faithful | ifSourceMetagenerationNotMatch includeTrailingDelimiter matchGlob maxBytesRewrittenPerCall |
| parameters | faithful | maxResults name pageSize pageToken permissions prefix project rewriteToken softDeleted |
| parameters | faithful | sourceGeneration startOffset userProject versions |
| parameters | without effect | copySourceAcl includeFoldersAsPrefixes optionsRequestedPolicyVersion |
| parameters | without effect | projection returnPartialSuccess |
| parameters | refused | destinationKmsKeyName destinationPredefinedAcl enableObjectRetention kmsKeyName |
| parameters | refused | overrideUnlockedRetention predefinedAcl predefinedDefaultObjectAcl restoreToken |
| parameters | refused for buckets | generation softDeleted |
| fields of an object | faithful | bucket cacheControl componentCount contentDisposition contentEncoding |
| fields of an object | faithful | contentLanguage contentType contexts crc32c customTime etag eventBasedHold generation |
| fields of an object | faithful | hardDeleteTime id kind md5Hash mediaLink metadata metageneration name |
| fields of an object | faithful | retentionExpirationTime selfLink size softDeleteTime storageClass temporaryHold |
| fields of an object | faithful | timeCreated timeDeleted timeFinalized timeStorageClassUpdated updated |
| fields of an object | absent | owner restoreToken |
| fields of an object | refused | acl customerEncryption kmsKeyName retention |
| fields of a bucket | faithful | billing defaultEventBasedHold etag generation id kind labels lifecycle location |
| fields of a bucket | faithful | locationType metageneration name projectNumber retentionPolicy selfLink |
| fields of a bucket | faithful | softDeletePolicy storageClass timeCreated updated versioning |
| fields of a bucket | without effect | cors customPlacementConfig iamConfiguration logging rpo website |
| fields of a bucket | absent | hardDeleteTime owner satisfiesPZI satisfiesPZS softDeleteTime |
| fields of a bucket | refused | acl autoclass defaultObjectAcl encryption hierarchicalNamespace ipFilter |
| fields of a bucket | refused | objectRetention |

The replication rule rests on these points. Each operation is atomic and checks its conditions. Generations are unique and,
unless asked otherwise, unordered. A rewrite may take several calls. Pages of a listing survive changes. Object events come at
least once and in any order, with backoff and dead letters.

Lifecycle rules act when a test asks for it. The limit of writes to one object name is off until a fault plan sets it.

Absent: authentication and permission checks, costs, quotas, the XML API, gRPC, customer-supplied keys.

API:

- `__main__`: the command line.
- `server`: HTTP; requests to the server itself: counts, faults, bulk fill, the clock.
- `api`: dispatch, batches and counts; the methods of buckets, policies and notifications.
- `routing`: which method a request asks for, and which of its parameters are modelled.
- `discovery`: what Google's discovery document names, and the refusal of what is not modelled.
- `calls`: a request and its answer as values; multipart bodies.
- `errors`: refusals.
- `objects_api`: the methods of objects.
- `media`: uploads and downloads.
- `resources`: resources as JSON, whole or in part, and read back.

Model:

- `model`: the storage itself, pure and in memory.
- `buckets`: a bucket's configuration, lifecycle rules and shelves of versions.
- `objects`: object versions, names, times, generations and preconditions.
- `rewrites`: copies in one call or in several.
- `listing`: pages of a listing.

Faults, events, and the server from outside:

- `faults`: faults by rule, by seeded rate, and scripted by a client.
- `events`: object events as CloudEvents to subscribers.
- `process`: a server for the length of a with-block.
- `waiting`: waiting for progress.
"""

from local_gcs.process import LocalServer, running

__all__ = ["LocalServer", "running"]
