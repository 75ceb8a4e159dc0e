"""Reads the address of a Cloud Storage: Google's, or the one that ``STORAGE_EMULATOR_HOST`` names.

Both clients use it. It is a module of its own, because the mirror's status page has no need of the fast client.
"""

import re
from urllib.parse import SplitResult, urlsplit

from shared.errors import UsageError

__all__ = ["address_of"]

_HOST = re.compile(r"[^\s\x00-\x20\x7f]+")


def address_of(base: str) -> SplitResult:
    """Read scheme and host, such as ``https://storage.googleapis.com``.

    Raises:
        UsageError: The text is something else.
    """
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError:  # such as an IPv6 address without its end
        parts, port = urlsplit(""), None
    right = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "") and port != 0
    if not right or parts.path.strip("/"):
        raise UsageError(f"{base!r} is not an address; http://HOST:PORT or https://HOST is wanted")
    return parts
