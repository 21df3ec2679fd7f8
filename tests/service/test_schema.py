"""schemathesis over the whole description, with all its checks: nothing undocumented, nothing that breaks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from helpers.api import Api, made
from objectscan.jobs import model, workers
from objectscan.jobs.database import now

SCOPES = ("jobs:read", "jobs:write", "metrics")
"""Without `keys`: the run would revoke its own."""
_CONFIG = Path(__file__).with_name("schemathesis.toml")


def run(api: Api, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(_CONFIG), "run",
        f"{api.base}/openapi.json", "--checks", "all", "--max-examples", "2", "--seed", "7", "--workers", "2",
        "--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--no-color",
        *arguments,
    ]  # fmt: skip
    variables = {
        **os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder), "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": str(_CONFIG.parent),
    }  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, env=variables)


def let_a_worker_be_there(api: Api) -> None:
    workers.enter(api.service.database, "w", "host", 1)
    with api.service.database.writing() as connection:
        connection.execute(sa.update(model.workers).values(state="idle", seen_at=now() + 3600))


@pytest.mark.slow
@pytest.mark.parametrize("who", ["with a key", "without a key"])
def test_the_service_does_what_its_description_says(tmp_path, who):
    with Api(tmp_path, tenant_max_waiting=0).running() as api:
        made(api.client)
        let_a_worker_be_there(api)
        key = ("--header", f"Authorization: Bearer {api.key(scopes=SCOPES)}") if who == "with a key" else ()
        done = run(api, tmp_path, *key)
    errors = done.stdout.partition(" ERRORS ")[2][:2000]
    assert done.returncode == 0, errors + done.stdout[-8000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None and int(tested.group(1)) >= 31
    assert "Failures:" not in done.stdout
