"""The locked requirements, read: which there are, and the line of each pinned distribution."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.txt"))
PIN = re.compile(
    r"^(?P<name>[a-z0-9-]+)(?P<extras>\[[a-z0-9,-]+\])?==(?P<version>[^ ;\\]+)(?P<marker> ;[^\\]*)?",
    re.MULTILINE,
)


def pins(lock: str) -> list[re.Match[str]]:
    """The lines of a lock that pin a distribution: name, extras, version, marker."""
    return list(PIN.finditer((ROOT / lock).read_text()))
