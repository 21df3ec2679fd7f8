"""One API process: the app on uvicorn, and what has to hold before it opens a port."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from objectscan.errors import BadServiceSetup
from objectscan.jobs.database import Database
from objectscan.jobs.keys import KeyRules, has_keys, make_key, read_pepper
from objectscan.jobs.setup import Setup
from objectscan.service.app import create_app
from objectscan.service.auth import SCOPES

_STOP_S = 10
"""How long open answers, such as uploads, may take when the process is asked to end."""
_TENANT = "main"


def serve_api(setup: Setup, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        BadServiceSetup: The port is taken, or others could reach a service without keys.
    """
    require_address(host, port)
    require_keys(setup, host)
    app = create_app(setup)
    config = uvicorn.Config(
        app, host=host, port=port, loop="uvloop", http="httptools", log_config=None, access_log=False,
        server_header=False, proxy_headers=True, timeout_graceful_shutdown=_STOP_S, timeout_keep_alive=30,
    )  # fmt: skip
    ApiServer(app, config).run()


class ApiServer(uvicorn.Server):
    """Ends event streams first: an open one would hold the process until its patience ends."""

    def __init__(self, app: FastAPI, config: uvicorn.Config):
        """Serve an app of `create_app`."""
        super().__init__(config)
        self._app = app
        self._running: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the loop on which the streams live."""
        self._running = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        if self._running is not None:
            self._running.call_soon_threadsafe(self._app.state.context.hub.cut_all)
        super().handle_exit(sig, frame)


def require_address(host: str, port: int) -> None:
    """Find out early that a port can't be opened, where the reason can be told.

    Raises:
        BadServiceSetup: It is taken, or not ours to open.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as problem:
        raise BadServiceSetup(
            f"{host}:{port} can't be opened: {problem.strerror or problem}.",
            hint="Choose another --port or --host.",
        ) from problem


def require_keys(setup: Setup, host: str) -> None:
    """Keep a service that nobody has a key of to this machine.

    Raises:
        BadServiceSetup: Others could reach it.
    """
    if is_loopback(host):
        return
    with _database(setup) as database:
        if not has_keys(database):
            raise BadServiceSetup(
                f"{host} can be reached by others, and there is no key yet.",
                hint="Make one first: add --new-key, or start once on 127.0.0.1.",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def first_key(setup: Setup, *, name: str, always: bool) -> str | None:
    """A key that may do everything, if there is none yet or `always`; its text can't be shown again."""
    with _database(setup) as database:
        if has_keys(database) and not always:
            return None
        pepper = read_pepper(setup.data_folder / "pepper")
        return make_key(database, pepper, _TENANT, name, KeyRules(tuple(SCOPES)))[1]


@contextlib.contextmanager
def _database(setup: Setup) -> Iterator[Database]:
    database = Database(setup.database_url)
    try:
        database.upgrade()
        yield database
    finally:
        database.close()
