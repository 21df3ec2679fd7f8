"""HTTP to addresses that callers name, without reaching what only this machine can reach.

The address is checked where the connection is made: the name is resolved, every address of it is judged, and
the connection goes to an address that was judged. So a name that changes its address in between gains
nothing, while TLS and the Host header keep the name. Proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore

from objectscan.errors import BadServiceSetup, FetchFailed, FetchRefused
from objectscan.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_URL_CHARACTERS = 2000
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is routed in IPv6; leaves out NAT64 (64:ff9b::/96, 64:ff9b:1::/48), which `is_global` lets by."""
_CARRY_IPV4 = tuple(ipaddress.ip_network(text) for text in ("2002::/16", "2001::/32"))
"""6to4 and Teredo: an IPv4 address, perhaps one of ours, is inside."""
_RELAY = ipaddress.ip_network("192.88.99.0/24")


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What may be reached, and how long and large it may be."""

    timeout_s: float
    """From the first packet to the last byte, redirects included."""
    max_bytes: int
    ports: frozenset[int] = frozenset(_PORTS.values())
    allowed_networks: tuple[Network, ...] = ()
    """Reached although they are not public."""
    max_redirects: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with the body on its way."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: AsyncIterator[bytes]


def fetch_rules(
    settings: Settings, *, timeout_s: float, max_bytes: int, max_redirects: int = 3
) -> FetchRules:
    """The operator's rules.

    Raises:
        BadServiceSetup: A network or a port can't be read.
    """
    try:
        networks = tuple(map(ipaddress.ip_network, _words(str(settings["fetch_allowed_networks"]))))
        ports = frozenset(map(int, _words(str(settings["fetch_ports"]))))
    except ValueError as problem:
        raise BadServiceSetup(
            f"The networks or ports for fetching can't be read: {problem}.",
            hint="Example: OBJECTSCAN_FETCH_ALLOWED_NETWORKS=10.1.0.0/16,fd00::/8.",
        ) from problem
    return FetchRules(timeout_s, max_bytes, ports, networks, max_redirects)


def may_be_reached(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Whether an address is public, or the operator allows it."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(network.version == address.version and address in network for network in allowed):
        return True
    if address.is_multicast or not address.is_global:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address not in _RELAY
    return address in _GLOBAL_UNICAST and not any(address in network for network in _CARRY_IPV4)


def require_url(url: str, rules: FetchRules) -> None:
    """Refuse what can be told from an address's text alone.

    Raises:
        FetchRefused: Another scheme or port, a name and password, no host, or signs that no URL has.
    """
    hint = "Give an http or https URL of a public server."
    if len(url) > _MOST_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise FetchRefused(f"{url[:80]!r} is no URL.", hint=hint)
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as problem:
        raise FetchRefused(f"{url[:80]!r} is no URL: {problem}.", hint=hint) from problem
    if parts.scheme not in _PORTS or not host:
        raise FetchRefused(f"{url[:80]!r} can't be fetched.", hint=hint)
    if parts.username is not None or parts.password is not None:
        raise FetchRefused("A URL must not hold a name or password.", hint="Use a signed link instead.")
    _require_port(_PORTS[parts.scheme] if port is None else port, rules)


@contextlib.asynccontextmanager
async def fetch(url: str, rules: FetchRules) -> AsyncIterator[Answer]:
    """The answer to a GET, after redirects; each hop is checked like the first.

    The body ends with `FetchFailed` when it is over the limit; nothing of it is decompressed.

    Raises:
        FetchRefused: An address is not to be reached.
        FetchFailed: The server does not answer in time, or with too many redirects.
    """
    async with _told(url, rules), _pool(rules) as pool:
        for _ in range(rules.max_redirects + 1):
            require_url(url, rules)
            async with pool.stream("GET", url, headers=_HEADERS, extensions=_times(rules)) as response:
                headers = _headers(response)
                if response.status in _REDIRECTS and "location" in headers:
                    url = _redirected(url, headers["location"])
                    continue
                yield Answer(response.status, headers, _limited(response, headers, rules))
                return
        raise FetchFailed(f"More than {rules.max_redirects} redirects.", hint="Give the final address.")


async def post(
    url: str, body: bytes, headers: Mapping[str, str], rules: FetchRules
) -> tuple[int, bytes, Mapping[str, str]]:
    """Send a body; status, the first `max_bytes` of the answer, and its headers. Redirects are not followed.

    Raises:
        FetchRefused: The address is not to be reached.
        FetchFailed: The server does not answer in time.
    """
    require_url(url, rules)
    async with _told(url, rules), _pool(rules) as pool:
        sent = [*_HEADERS, *((name.encode(), value.encode()) for name, value in headers.items())]
        async with pool.stream("POST", url, headers=sent, content=body, extensions=_times(rules)) as response:
            held = bytearray()
            async for chunk in response.aiter_stream():
                held += chunk
                if len(held) >= rules.max_bytes:
                    break
            return response.status, bytes(held[: rules.max_bytes]), _headers(response)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only."""

    def __init__(self, rules: FetchRules):
        """Keep to rules."""
        self._rules = rules
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """Resolve, judge, and connect to what was judged; one address after the other."""
        _require_port(port, self._rules)
        addresses = await resolve(host, port, timeout)
        # One bad address spoils the name: mixed answers are how rebinding begins.
        if not all(may_be_reached(address, self._rules.allowed_networks) for address in addresses):
            raise FetchRefused(f"{host[:80]!r} is not a public address.", hint="Use a public server.")
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as problem:
                last = problem
        raise last

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Any = None
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise FetchRefused("A socket of this machine can't be fetched from.")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


async def resolve(host: str, port: int, timeout_s: float | None) -> list[Address]:
    """All addresses of a name, as the system finds them; `0x7f.1` and `2130706433` are names of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise httpcore.ConnectError(f"{host} can't be resolved") from problem
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


_HEADERS = [(b"User-Agent", b"objectscan"), (b"Accept-Encoding", b"identity"), (b"Accept", b"*/*")]


def _pool(rules: FetchRules) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(), network_backend=GuardedBackend(rules), max_connections=2
    )


def _times(rules: FetchRules) -> dict[str, Any]:
    return {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), rules.timeout_s)}


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise FetchRefused("A redirect leaves https.", hint="Give the final address.")
    return target


async def _limited(
    response: httpcore.Response, headers: Mapping[str, str], rules: FetchRules
) -> AsyncIterator[bytes]:
    stated = headers.get("content-length", "")
    count = int(stated) if stated.isascii() and stated.isdecimal() and len(stated) < 20 else 0
    total = 0
    if headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed("The server compresses what was to be sent as it is.", hint="Use another server.")
    async for chunk in response.aiter_stream():
        total += len(chunk)
        if max(count, total) > rules.max_bytes:
            break
        yield chunk
    if max(count, total) > rules.max_bytes:
        raise FetchFailed(f"The file has more than {rules.max_bytes} bytes.", hint="Offer a smaller file.")


@contextlib.asynccontextmanager
async def _told(url: str, rules: FetchRules) -> AsyncIterator[None]:
    host = str(urlsplit(url).netloc)[:80]
    try:
        async with asyncio.timeout(rules.timeout_s):
            yield
    except (TimeoutError, httpcore.TimeoutException) as problem:
        raise FetchFailed(f"{host} took more than {rules.timeout_s:g} s.", hint="Try again.") from problem
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as problem:
        words = str(problem) or type(problem).__name__
        raise FetchFailed(f"{host} does not answer: {words}.", hint="Check the address.") from problem


def _require_port(port: int, rules: FetchRules) -> None:
    if port not in rules.ports:
        raise FetchRefused(
            f"Port {port} is not used.", hint=f"Ports: {', '.join(map(str, sorted(rules.ports)))}."
        )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
