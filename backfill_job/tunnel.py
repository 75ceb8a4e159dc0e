"""Through a proxy: which one the environment names for a host, and a connection to the host through it.

As other programs read it: ``HTTPS_PROXY`` (or ``https_proxy``), and ``NO_PROXY`` for hosts that need none. The proxy is asked for a
tunnel (``CONNECT``, RFC 9110 section 9.3.6) and sees nothing of what goes through.
"""

import asyncio
import base64
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed has the platform's only

from shared.errors import UsageError

__all__ = ["Proxy", "proxy_for", "tunnelled"]

LONGEST_ANSWER = 16 * 1024
"""Bytes of a proxy's answer before it is taken for no answer at all."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens.

    Attributes:
        host: Its name or address.
        port: Its port.
        authorization: What it wants to see; empty for nothing. Never shown.
    """

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


def proxy_for(host: str, environ: Mapping[str, str]) -> Proxy | None:
    """Find the proxy for an https host.

    Args:
        host: Where to connect to.
        environ: The environment.

    Returns:
        The proxy; None for none.

    Raises:
        UsageError: What the environment names is no proxy that can be used.
    """
    named = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not named or proxy_bypass_environment(host, {"no": exempt}):
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise UsageError("HTTPS_PROXY names no proxy that can be used; http://HOST:PORT is wanted")
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, port, authorization)


async def tunnelled(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Connect to a host through a proxy.

    Args:
        proxy: The proxy.
        host: Where to.
        port: Its port.

    Returns:
        A connected socket, as if it led to the host.

    Raises:
        OSError: The proxy is not there, or refuses.
    """
    loop = asyncio.get_running_loop()
    (family, kind, protocol, _, address), *_ = await loop.getaddrinfo(
        proxy.host, proxy.port, type=socket.SOCK_STREAM
    )
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await loop.sock_connect(connection, address)
        wanted = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        if proxy.authorization:
            wanted += f"Proxy-Authorization: {proxy.authorization}\r\n"
        await loop.sock_sendall(connection, f"{wanted}\r\n".encode("latin-1"))
        await _accepted(connection, proxy)
    except BaseException:
        connection.close()
        raise
    return connection


async def _accepted(connection: socket.socket, proxy: Proxy) -> None:
    """Wait until the proxy says yes.

    Raises:
        OSError: It says something else, or nothing.
    """
    loop = asyncio.get_running_loop()
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # Byte by byte: what follows the answer belongs to the host.
        byte = await loop.sock_recv(connection, 1)
        answer += byte
        if not byte or len(answer) > LONGEST_ANSWER:
            raise OSError(f"the proxy {proxy.host}:{proxy.port} gave no answer")
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        raise OSError(f"the proxy {proxy.host}:{proxy.port} refuses: {status!r}")
