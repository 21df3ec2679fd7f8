"""`objectscan optimise`: everything up to the engine's result."""

from __future__ import annotations

from pathlib import Path

from objectscan import pipeline
from objectscan.capture.plain import is_plain
from objectscan.cli.display import Display
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.machine import use_threads
from objectscan.cli.output import Output
from objectscan.cli.reconstruct import Choice
from objectscan.settings import Settings


def run(photos: Path, out: Path, choice: Choice, *, settings: Settings, output: Output) -> None:
    """Run the engine; its result stays in `out` for `deliver`."""
    recipe = choice.recipe()
    use_threads(settings, choice.threads)
    shares = pipeline.stage_shares(recipe, plain=is_plain(photos))
    with Display(shares, output) as display, StopRequest() as stop:
        result = pipeline.optimise(
            photos, recipe, out, settings=settings, seed=choice.seed, overwrite=choice.overwrite,
            report=display.report, cancelled=stop.is_made,
        )  # fmt: skip
    for done in result.passes:
        values = {"name": done.name, "steps": done.steps, "seconds": round(done.seconds, 3)}
        output.event("pass", values, f"Pass {done.name}: {done.steps} steps in {done.seconds:.0f} s")
    faces = len(result.mesh.faces)
    text = f"{faces} faces in {out}. Next: objectscan deliver {out}"
    output.event("done", {"faces": faces, "folder": str(out)}, text)
