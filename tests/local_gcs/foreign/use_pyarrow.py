"""pyarrow, which is Google's C++ client: files of 20 MB, parquet, listings, copies, moves and deletes."""

import os
import sys
from datetime import timedelta

import pyarrow as pa
from pyarrow import fs, parquet

url, bucket = sys.argv[1:]
files = fs.GcsFileSystem(
    anonymous=True,
    scheme="http",
    endpoint_override=url.removeprefix("http://"),
    project_id="test",
    retry_time_limit=timedelta(seconds=20),
)
large = os.urandom(20_000_000)
with files.open_output_stream(f"{bucket}/dir/large.bin", metadata={"key": "value"}) as out:
    for start in range(0, len(large), 1_000_000):
        out.write(large[start : start + 1_000_000])
with files.open_input_file(f"{bucket}/dir/large.bin") as source:
    assert source.size() == len(large)
    assert source.read_at(100, 12_000_000) == large[12_000_000:12_000_100]
    assert source.read() == large
table = pa.table({"number": list(range(1000)), "text": [str(number) for number in range(1000)]})
parquet.write_table(table, f"{bucket}/table.parquet", filesystem=files)
assert parquet.read_table(f"{bucket}/table.parquet", filesystem=files).equals(table)
found = files.get_file_info(fs.FileSelector(bucket, recursive=True))
assert {info.path for info in found if info.is_file} == {f"{bucket}/dir/large.bin", f"{bucket}/table.parquet"}
files.copy_file(f"{bucket}/table.parquet", f"{bucket}/copy.parquet")
files.move(f"{bucket}/copy.parquet", f"{bucket}/moved.parquet")
files.delete_file(f"{bucket}/moved.parquet")
files.create_dir(f"{bucket}/dir")
files.delete_dir(f"{bucket}/dir")
assert files.get_file_info(f"{bucket}/dir/large.bin").type is fs.FileType.NotFound
assert files.get_file_info(f"{bucket}/none").type is fs.FileType.NotFound
