"""`objectscan deliver`: evidence, model file, pictures and report of a folder that `optimise` filled."""

from __future__ import annotations

from pathlib import Path

from objectscan import pipeline
from objectscan.cli.display import Display
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.machine import use_threads
from objectscan.cli.output import Output
from objectscan.cli.reconstruct import tell
from objectscan.settings import Settings

_SHARES = (("capture", 0.1), ("evaluate", 0.45), ("preview", 0.45))


def run(out: Path, *, threads: int | None, settings: Settings, output: Output) -> None:
    """Deliver, again if it was done before."""
    use_threads(settings, threads)
    with Display(_SHARES, output) as display, StopRequest() as stop:
        asset = pipeline.deliver_folder(out, settings=settings, report=display.report, cancelled=stop.is_made)
    tell(asset, output)
