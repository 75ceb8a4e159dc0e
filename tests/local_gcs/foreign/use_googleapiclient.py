"""googleapiclient, made from Google's discovery document: buckets, chunked uploads and downloads, copies and a batch."""

import io
import json
import os
import sys
from pathlib import Path

import googleapiclient
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest, MediaIoBaseDownload, MediaIoBaseUpload, build_http

url, bucket = sys.argv[1:]
# Addresses of uploads come from the discovery document, not from an option.
document = json.loads(
    (
        Path(googleapiclient.__file__).with_name("discovery_cache") / "documents" / "storage.v1.json"
    ).read_text()
)
document |= {"rootUrl": f"{url}/", "baseUrl": f"{url}/storage/v1/", "mtlsRootUrl": f"{url}/"}
service = build_from_document(document, http=build_http())
objects = service.objects()
large = os.urandom(20_000_000)
media = MediaIoBaseUpload(io.BytesIO(large), "application/x", chunksize=4 * 2**20, resumable=True)
request = objects.insert(bucket=bucket, name="large.bin", media_body=media, ifGenerationMatch=0)
answer = None
while answer is None:
    _, answer = request.next_chunk()
assert answer["size"] == str(len(large))
target = io.BytesIO()
download = MediaIoBaseDownload(
    target, objects.get_media(bucket=bucket, object="large.bin"), chunksize=4 * 2**20
)
while not download.next_chunk()[1]:
    pass
assert target.getvalue() == large
objects.insert(
    bucket=bucket,
    body={"name": "a", "metadata": {"k": "v"}},
    media_body=MediaIoBaseUpload(io.BytesIO(b"a"), "text/x"),
).execute()
copied = objects.rewrite(
    sourceBucket=bucket, sourceObject="a", destinationBucket=bucket, destinationObject="b", body={}
).execute()
assert copied["resource"]["metadata"] == {"k": "v"}
body = {"sourceObjects": [{"name": "a"}, {"name": "b"}], "destination": {"contentType": "text/x"}}
objects.compose(destinationBucket=bucket, destinationObject="c", body=body).execute()
objects.patch(bucket=bucket, object="c", body={"customTime": "2024-01-02T03:04:05.678901Z"}).execute()
assert objects.get(bucket=bucket, object="c").execute()["customTime"] == "2024-01-02T03:04:05.678901Z"
names, listing = [], objects.list(bucket=bucket, maxResults=2, fields="items(name),nextPageToken")
while listing is not None:
    page = listing.execute()
    names += [item["name"] for item in page.get("items", [])]
    listing = objects.list_next(listing, page)
assert names == ["a", "b", "c", "large.bin"]
batch = BatchHttpRequest(batch_uri=f"{url}/batch/storage/v1")
for name in names:
    batch.add(objects.delete(bucket=bucket, object=name))
batch.execute(http=build_http())
assert "items" not in objects.list(bucket=bucket).execute()
missing = None
try:
    objects.get(bucket=bucket, object="a").execute()
except HttpError as error:
    missing = error
assert missing is not None
assert (missing.resp.status, missing.reason) == (404, f"No such object: {bucket}/a")
made = service.buckets().insert(project="test", body={"name": f"{bucket}-made"}).execute()
service.buckets().patch(bucket=made["name"], body={"labels": {"a": "1"}}).execute()
assert f"{bucket}-made" in {
    item["name"] for item in service.buckets().list(project="test").execute()["items"]
}
service.buckets().delete(bucket=made["name"]).execute()
