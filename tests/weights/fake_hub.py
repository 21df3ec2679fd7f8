"""A hub on this machine: real HTTP, two servers (hub and storage), faults on request."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([0-9a-f]+)/(.+)")


@dataclass
class Request:
    server: str
    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class FakeHub:
    """Files by (repository, revision, path), and what goes wrong."""

    files: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next answers of the storage break off, in order."""
    served: dict[str, bytes] = field(default_factory=dict)
    """Other bytes than announced, by path."""
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """(status, X-Error-Code) by path."""
    stumbles: list[int] = field(default_factory=list)
    """Statuses of the next answers, whatever is asked."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Repositories that are now elsewhere on the hub."""
    ignores_range: bool = False
    states_sum: bool = True
    commit: str | None = None
    """Claimed instead of the revision that was asked for."""
    requests: list[Request] = field(default_factory=list)
    endpoint: str = ""
    storage: str = ""

    def bytes_sent_from(self) -> list[str | None]:
        return [r.range for r in self.requests if r.server == "storage"]


class _Server(ThreadingHTTPServer):
    def __init__(self, hub: FakeHub, role: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub, self.role = hub, role


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    servers = [_Server(hub, role) for role in ("hub", "storage")]
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    hub.endpoint, hub.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, role = self.server.hub, self.server.role
        fields = (self.headers.get("Range"), self.headers.get("Authorization"))
        hub.requests.append(Request(role, self.command, self.path, *fields))
        match = _RESOLVE.fullmatch(self.path)
        assert match, self.path
        if hub.stumbles:
            self._empty(hub.stumbles.pop(0))
        elif role == "hub":
            self._resolve(hub, *match.groups())
        else:
            content = hub.served.get(match.group(3), hub.files[match.groups()])  # type: ignore[index]
            self._content(hub, content)

    def _resolve(self, hub: FakeHub, repository: str, revision: str, path: str) -> None:
        content = hub.files.get((repository, revision, path))
        if repository in hub.renamed:
            self._empty(307, {"Location": self.path.replace(repository, hub.renamed[repository])})
        elif path in hub.refusals:
            status, code = hub.refusals[path]
            self._empty(status, {"X-Error-Code": code, "X-Error-Message": f"told: {code}"})
        elif content is None:
            is_known = any(key[:2] == (repository, revision) for key in hub.files)
            self._empty(404, {"X-Error-Code": "EntryNotFound" if is_known else "RevisionNotFound"})
        else:
            headers = {"Location": hub.storage + self.path, "X-Linked-Size": str(len(content))}
            headers["X-Repo-Commit"] = hub.commit or revision
            if hub.states_sum:
                headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            self._empty(302, headers)

    def _content(self, hub: FakeHub, content: bytes) -> None:
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        start = 0 if hub.ignores_range else start
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if hub.cuts:
            body = body[: hub.cuts.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
