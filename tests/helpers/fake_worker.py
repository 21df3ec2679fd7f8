"""A real worker with the fake child; settings come from the environment."""

from __future__ import annotations

import os
import sys

from helpers.service import FAKE_CHILD
from objectscan.errors import ObjectscanError
from objectscan.jobs.logs import log_as_json
from objectscan.jobs.setup import setup_from
from objectscan.jobs.worker import Worker
from objectscan.settings import settings_from

if __name__ == "__main__":
    log_as_json()
    settings = settings_from({k: v for k, v in os.environ.items() if k.startswith("OBJECTSCAN_")})
    try:
        sys.exit(Worker(setup_from(settings), child_command=FAKE_CHILD).run())
    except ObjectscanError as error:
        sys.exit(f"{error}")
