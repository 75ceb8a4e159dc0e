"""gcsfs: write in one piece and in chunks, read with ranges, list, copy, move and delete."""

import os
import sys

import gcsfs

url, bucket = sys.argv[1:]
files = gcsfs.GCSFileSystem(project="test", token="anon", endpoint_url=url)
large = os.urandom(20_000_000)
files.pipe(f"{bucket}/small.txt", b"small")
with files.open(f"{bucket}/dir/large.bin", "wb", block_size=5 * 2**20) as out:
    out.write(large)
assert files.cat(f"{bucket}/small.txt") == b"small"
with files.open(f"{bucket}/dir/large.bin", "rb") as source:
    source.seek(19_000_000)
    assert source.read() == large[19_000_000:]
assert files.info(f"{bucket}/dir/large.bin")["size"] == len(large)
assert files.ls(bucket) == [f"{bucket}/dir", f"{bucket}/small.txt"]
assert files.find(bucket) == [f"{bucket}/dir/large.bin", f"{bucket}/small.txt"]
files.copy(f"{bucket}/dir/large.bin", f"{bucket}/copy.bin")
files.mv(f"{bucket}/copy.bin", f"{bucket}/moved.bin")
assert files.cat(f"{bucket}/moved.bin") == large
files.setxattrs(f"{bucket}/small.txt", content_type="text/x", key="value")
assert files.getxattr(f"{bucket}/small.txt", "key") == "value"
assert files.glob(f"{bucket}/**/*.bin") == [f"{bucket}/dir/large.bin", f"{bucket}/moved.bin"]
files.merge(f"{bucket}/merged", [f"{bucket}/small.txt", f"{bucket}/small.txt"])
files.invalidate_cache()
assert files.cat(f"{bucket}/merged") == b"smallsmall"
files.rm(bucket + "/dir", recursive=True)
files.rm([f"{bucket}/small.txt", f"{bucket}/moved.bin", f"{bucket}/merged"])
files.invalidate_cache()
assert files.find(bucket) == []
assert not files.exists(f"{bucket}/small.txt")
