"""`objectscan serve` and `objectscan api`: the service on this machine, or its API alone."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request

from objectscan.cli.output import Output
from objectscan.errors import MissingDependency
from objectscan.settings import Settings

_START_S = 60.0


def serve(
    host: str, port: int, workers: int | None, *, new_key: bool, settings: Settings, output: Output
) -> None:
    """API and workers as processes of their own, until SIGTERM.

    Raises:
        BadServiceSetup: The address can't be opened, or may not be without a key.
        MissingDependency: The service's packages are not installed.
    """
    try:
        from objectscan.jobs.gpus import visible_gpus
        from objectscan.jobs.logs import log_as_json
        from objectscan.jobs.setup import setup_from
        from objectscan.service.server import is_loopback, require_address, require_keys
        from objectscan.service.supervisor import Supervisor, processes
    except ModuleNotFoundError as problem:
        raise _missing(problem) from problem
    log_as_json()
    setup = setup_from(settings)
    require_address(host, port)
    if is_loopback(host) or new_key:
        key = _key(settings, always=new_key)
    else:
        require_keys(setup, host)
        key = None
    kept = processes(host, port, gpus=visible_gpus(), workers=workers)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    threading.Thread(target=_tell, args=(f"http://{shown}:{port}/", key, output), daemon=True).start()
    Supervisor(kept, stop_s=setup.seconds("stop_grace_s")).run()


def api(host: str, port: int, *, new_key: bool, settings: Settings, output: Output) -> None:
    """The API alone, until SIGTERM.

    Raises:
        BadServiceSetup: See `serve`.
        MissingDependency: See `serve`.
    """
    try:
        from objectscan.jobs.logs import log_as_json
        from objectscan.jobs.setup import setup_from
        from objectscan.service.server import serve_api
    except ModuleNotFoundError as problem:
        raise _missing(problem) from problem
    log_as_json()
    if new_key:
        key = _key(settings, always=True)
        output.event("key", {"key": key}, f"A new key: {key}")
    serve_api(setup_from(settings), host=host, port=port)


def _key(settings: Settings, *, always: bool) -> str | None:
    from objectscan.jobs.setup import setup_from
    from objectscan.service.server import first_key

    return first_key(setup_from(settings), name="made by the command", always=always)


def _tell(address: str, key: str | None, output: Output) -> None:
    """Say where the page is, once it is there."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}healthz", timeout=2):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    whole = address if key is None else f"{address}#key={key}"
    hint = "" if key is not None else "  (no key at hand? start with --new-key)"
    api = f"The API is at {address}, its documentation at {address}docs; key: {key or 'made before'}"
    where = f"Open {whole}" if _has_page() else api
    output.event("address", {"address": whole, "key": key}, f"{where}{hint}")


def _has_page() -> bool:
    """Whether the built page is part of this installation."""
    from objectscan.service.page import PAGE_FOLDER

    return (PAGE_FOLDER / "index.html").is_file()


def _missing(problem: ModuleNotFoundError) -> MissingDependency:
    return MissingDependency(
        f"The service's package '{problem.name}' is not installed.", hint="pip install 'objectscan[service]'"
    )
