"""The HTTP service for tests: in this process for most, as a process of its own where that matters."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from helpers.servers import free_port, until
from helpers.service import Service
from objectscan.jobs.keys import KeyRules, make_key
from objectscan.jobs.setup import environment_of
from objectscan.service.app import create_app
from objectscan.service.auth import SCOPES
from objectscan.service.problems import MEDIA_TYPE
from objectscan.service.server import ApiServer

_SOURCE = Path(__file__).resolve().parents[2] / "src"


def photo(seed: int = 0, *, size: tuple[int, int] = (96, 72), kind: str = "JPEG") -> bytes:
    """A picture with detail; another one for each seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)
    written = io.BytesIO()
    picture.save(written, kind, quality=90)
    return written.getvalue()


def photos(count: int = 5, **options: Any) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Fields of a multipart request."""
    return [
        ("photos", (f"IMG_{number:02d}.jpg", photo(number, **options), "image/jpeg"))
        for number in range(count)
    ]


def made(client: httpx.Client, count: int = 5, **fields: Any) -> dict[str, Any]:
    """A job of some photos."""
    answer = client.post("/v1/jobs", files=photos(count), data=fields)
    assert answer.status_code == 202, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    told = answer.json()
    assert (told["code"], told["status"]) == (code, status)
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


class Api:
    """An app in this process, and clients with keys."""

    def __init__(self, folder: Path, *, page_folder: Path | None = None, **settings: Any):
        folder.mkdir(exist_ok=True)
        self.service = Service(folder, **settings)
        self.app: FastAPI = create_app(
            self.service.setup, **({} if page_folder is None else {"page_folder": page_folder})
        )
        self.context = self.app.state.context
        self._clients: list[httpx.Client] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Api]:
        config = uvicorn.Config(
            self.app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=2
        )
        self.server = server = ApiServer(self.app, config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive(), what="the API")
            port = server.servers[0].sockets[0].getsockname()[1]
            self.base = f"http://127.0.0.1:{port}"
            self.client, self.anonymous = self.with_key(self.key()), self.with_key(None)
            yield self
        finally:
            for client in self._clients:
                client.close()
            server.handle_exit(signal.SIGTERM, None)
            thread.join(20)
            self.service.database.close()
        assert not thread.is_alive()

    def key(self, tenant: str = "a", scopes: tuple[str, ...] = tuple(SCOPES), **limits: float) -> str:
        rules = KeyRules(scopes, limits)
        return make_key(self.service.database, self.context.pepper, tenant, "test", rules)[1]

    def with_key(self, key: str | None) -> httpx.Client:
        """A client, with a key or without."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        client = httpx.Client(base_url=self.base, headers=headers, timeout=60)
        self._clients.append(client)
        return client


@contextlib.contextmanager
def api_process(service: Service, *arguments: str, **environment: str) -> Iterator[httpx.Client]:
    """`objectscan api` as a process, with a client that has a key; it must end in good order."""
    port = free_port()
    command = [sys.executable, "-m", "objectscan.cli.main", "api", "--port", str(port), *arguments]
    variables = {**os.environ, **environment_of(service.settings), "PYTHONPATH": str(_SOURCE), **environment}
    log = (service.folder / "api.log").open("wb")
    with log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(base) or process.poll() is not None, what="the API")
        assert process.poll() is None, (service.folder / "api.log").read_text()
        from objectscan.jobs.keys import read_pepper

        pepper = read_pepper(service.setup.data_folder / "pepper")
        key = make_key(service.database, pepper, "a", "test", KeyRules(tuple(SCOPES)))[1]
        with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            client.pid = process.pid  # type: ignore[attr-defined]
            yield client
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) in (0, -signal.SIGTERM), (service.folder / "api.log").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False
