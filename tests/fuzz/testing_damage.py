"""Files damaged in every way: cut, flipped, of another encoding, with fields gone, renamed, doubled, or of another type."""

import copy
import gzip
import json
from typing import Any

from hypothesis import strategies as st

DEEP = b"[" * 100_000

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    "",
    " ",
    "0",
    "-1",
    "9" * 5_000,
    "x",
    "gs://other/prefix/",
    "../../etc",
    "\ud800",
    "\x00",
    "two\nlines",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "2024-02-30",
    [],
    [[]],
    [None],
    {},
    {"": None},
)


def paths_in(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a JSON document."""
    found = [at]
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in inner:
        found += paths_in(value, (*at, key))
    return found


def _changed(content: Any, at: tuple[Any, ...], how: str, value: Any) -> Any:
    """A copy with one thing changed."""
    if not at:
        return value
    result = copy.deepcopy(content)
    inner = result
    for key in at[:-1]:
        inner = inner[key]
    match how:
        case "drop":
            del inner[at[-1]]
        case "rename" if isinstance(inner, dict):
            inner[f"{at[-1]}_"] = inner.pop(at[-1])
        case "double" if isinstance(inner, list):
            inner.append(inner[at[-1]])
        case "nest":
            inner[at[-1]] = [inner[at[-1]]]
        case _:
            inner[at[-1]] = value
    return result


@st.composite
def damaged_json(draw: st.DrawFn, sample: bytes) -> bytes:
    """One or two things changed in the structure."""
    content = json.loads(sample)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from(paths_in(content)))
        how = draw(st.sampled_from(["drop", "rename", "double", "nest", "value", "value", "value"]))
        content = _changed(content, at, how, draw(st.sampled_from(VALUES)))
    return json.dumps(content).encode()


@st.composite
def damaged_text(draw: st.DrawFn, sample: bytes) -> bytes:
    """Something changed in the bytes."""
    at = draw(st.integers(0, max(0, len(sample) - 1)))
    match draw(st.sampled_from(["cut", "head", "flip", "insert", "twice", "bom", "utf-16", "gzip", "whole"])):
        case "cut":
            return sample[:at]
        case "head":
            return sample[at:]
        case "flip":
            return (
                sample[:at]
                + bytes([sample[at] ^ draw(st.sampled_from([1, 2, 4, 32, 128, 255]))])
                + sample[at + 1 :]
            )
        case "insert":
            return sample[:at] + draw(st.binary(min_size=1, max_size=3)) + sample[at:]
        case "twice":
            return sample + sample
        case "bom":
            return b"\xef\xbb\xbf" + sample
        case "utf-16":
            return sample.decode(errors="replace").encode("utf-16")
        case "gzip":
            return gzip.compress(sample, mtime=0)
        case _:
            return draw(
                st.sampled_from(
                    [b"", b" ", b"null", b"0", b"[]", b"{}", b'"x"', b"NaN", b"DEEP", b"\xff", b"\0"]
                )
            )


def damaged(sample: bytes) -> st.SearchStrategy[bytes]:
    """A damaged file; ``DEEP`` stands for `DEEP`."""
    try:
        json.loads(sample)
    except ValueError:
        return damaged_text(sample)
    return damaged_json(sample) | damaged_text(sample)


def spelled_out(data: bytes) -> bytes:
    """The bytes themselves; in a failing example they would be too long to read."""
    return data.replace(b"DEEP", DEEP)
