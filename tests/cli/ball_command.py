"""The command with the ball engine in place of the real one; run as a program by tests that kill it."""

from __future__ import annotations

import objectscan.pipeline
from helpers.jobs import BallEngine
from objectscan.cli.main import run

if __name__ == "__main__":
    objectscan.pipeline.engine_named = BallEngine
    run()
