"""smart_open: write and read text and 20 MB in chunks, seek, and compressed files."""

import os
import sys

import smart_open
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

url, bucket = sys.argv[1:]
client = storage.Client(
    project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": url}
)
options = {"client": client, "min_part_size": 4 * 2**20}
large = os.urandom(20_000_000)
with smart_open.open(f"gs://{bucket}/large.bin", "wb", transport_params=options) as out:
    for start in range(0, len(large), 1_000_000):
        out.write(large[start : start + 1_000_000])
with smart_open.open(f"gs://{bucket}/large.bin", "rb", transport_params={"client": client}) as source:
    assert source.read() == large
    source.seek(10_000_000)
    assert source.read(100) == large[10_000_000:10_000_100]
for name in ("lines.txt", "lines.txt.gz"):
    with smart_open.open(f"gs://{bucket}/{name}", "w", transport_params={"client": client}) as out:
        out.writelines(f"line {number}\n" for number in range(1000))
    with smart_open.open(f"gs://{bucket}/{name}", transport_params={"client": client}) as source:
        assert [line.strip() for line in source][-1] == "line 999"
