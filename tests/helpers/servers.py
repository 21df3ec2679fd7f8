"""Real servers for tests and benchmarks, started in a folder: PostgreSQL, Redis, RabbitMQ.

Each can be killed, robbed of its data and started again at the same address. They run without syncing disks,
so none of this survives a power cut, which no test makes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_DEADLINE_S = 120.0


class MissingServer(AssertionError):
    """A server that a test needs is not installed: the test fails, it is not skipped."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(is_true: Callable[[], object], *, timeout_s: float = _DEADLINE_S, what: str = "") -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


def program(name: str, package: str, *folders: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders]))
    if found is None:
        raise MissingServer(f"{name} is not installed (Debian: apt install {package})")
    return found


class Server:
    """One server process and its folder."""

    user: str | None = None
    """Whom to run as where we are root and the server refuses root."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self):
        self.prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def prepare(self) -> None:
        self.folder.mkdir(parents=True)

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*self.prefix(), *self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **self.environment()}, start_new_session=True, cwd=self.folder,
        )  # fmt: skip
        log.close()
        until(self.answers, what=f"{type(self).__name__} answers")

    def kill(self) -> None:
        """kill -9 of the server and all that it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def forget(self) -> None:
        """Delete the server's data; only while it does not run."""
        raise NotImplementedError

    def prefix(self) -> list[str]:
        return ["setpriv", f"--reuid={self.user}", "--init-groups"] if self.user and os.getuid() == 0 else []

    def give(self, path: Path) -> None:
        """Let the server's user own a path."""
        if self.user and os.getuid() == 0:
            entry = pwd.getpwnam(self.user)
            os.chown(path, entry.pw_uid, entry.pw_gid)


class Postgres(Server):
    user = "postgres"

    def prepare(self) -> None:
        super().prepare()
        self._open_way()
        self.give(self.folder)
        self.data = self.folder / "data"
        initdb = program("initdb", "postgresql", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))
        self._server = str(Path(initdb).with_name("postgres"))
        command = [
            *self.prefix(),
            initdb,
            "-D",
            str(self.data),
            "-A",
            "trust",
            "-U",
            "postgres",
            "-N",
            "-E",
            "UTF8",
        ]
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    def _open_way(self) -> None:
        """Let the server's user pass through our temporary folders."""
        if os.getuid() == 0:
            for parent in self.folder.parents:
                with contextlib.suppress(OSError):
                    parent.chmod(parent.stat().st_mode | 0o011)

    def command(self) -> list[str]:
        return [
            self._server, "-D", str(self.data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self.folder}", "-c", "fsync=off", "-c", "shared_buffers=32MB",
        ]  # fmt: skip

    def answers(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.dsn, connect_timeout=2):
            return True
        return False

    def kill(self) -> None:
        super().kill()
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def new_database(self, name: str) -> str:
        """URL of an empty database."""
        import psycopg

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url.rpartition("/")[0] + f"/{name}"


class Redis(Server):
    """Keeps nothing on disk: killing it loses all messages."""

    def command(self) -> list[str]:
        server = program("redis-server", "redis-server")
        return [
            server,
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self.folder),
        ]

    def forget(self) -> None:
        """There is nothing to delete."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class RabbitMq(Server):
    user = "rabbitmq"

    def prepare(self) -> None:
        super().prepare()
        Postgres._open_way(self)  # type: ignore[arg-type]
        self.give(self.folder)

    def command(self) -> list[str]:
        return [program("rabbitmq-server", "rabbitmq-server")]

    def environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "RABBITMQ_NODENAME": f"test{self.port}@localhost", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs", "RABBITMQ_DIST_PORT": str(self._distribution()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins", "HOME": folder,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1", "RABBITMQ_PID_FILE": f"{folder}/pid",
        }  # fmt: skip

    def _distribution(self) -> int:
        self._distribution_port = getattr(self, "_distribution_port", None) or free_port()
        return self._distribution_port

    def answers(self) -> bool:
        import amqp

        with contextlib.suppress(OSError, amqp.AMQPError):
            amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=2, read_timeout=5).connect()
            return True
        return False

    def forget(self) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"
