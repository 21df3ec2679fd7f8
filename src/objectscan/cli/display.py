"""Shows the progress of a run: a bar for a person, a line a stage for a log, JSON for a machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from objectscan.cli.output import Output
from objectscan.selection import STAGE as ENGINE_STAGE
from objectscan.stages import Outlook
from objectscan.types import Progress as StageProgress

_EVERY_S = 0.5
"""Between two JSON progress lines of one stage."""


class Display:
    """Use as a context manager; `report` receives the progress of the stages."""

    def __init__(self, shares: Sequence[tuple[str, float]], output: Output):
        """`shares`: (stage, share of the whole time), in order. The bar is drawn on stderr."""
        self._output, self._outlook = output, Outlook(shares)
        self._stage, self._told = "", 0.0
        console = Console(stderr=True)
        self._has_bar = console.is_terminal and not output.as_json
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*columns, console=console, disable=not self._has_bar, transient=True)
        self._task: TaskID = self._bar.add_task("", total=1.0, note="")

    def __enter__(self) -> Display:
        """Show the bar, on a terminal."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._bar.stop()

    def report(self, progress: StageProgress) -> None:
        """Show where the run is."""
        if progress.stage == ENGINE_STAGE:
            self._tell_engine(progress.message)
            return
        remaining_s = self._outlook.update(progress)
        fraction, left = self._outlook.fraction, _left(remaining_s)
        is_new, self._stage = progress.stage != self._stage, progress.stage
        if self._output.as_json:
            self._tell_machine(progress, remaining_s, at_once=is_new or progress.fraction >= 1.0)
        elif self._has_bar:
            note = ", ".join(part for part in (left, progress.message) if part)
            self._bar.update(self._task, description=progress.stage, completed=fraction, note=note[:70])
        elif is_new:
            print(f"{100 * fraction:3.0f} % {progress.stage} {left}".rstrip(), file=sys.stderr, flush=True)

    def _tell_engine(self, message: str) -> None:
        """What `auto` chose; stays on the screen."""
        engine, _, reason = message.partition(": ")
        self._output.event("engine", {"engine": engine, "reason": reason}, f"Engine  {engine}: {reason}")

    def _tell_machine(self, progress: StageProgress, remaining_s: float | None, *, at_once: bool) -> None:
        now = time.monotonic()
        if not at_once and now - self._told < _EVERY_S:
            return
        self._told = now
        values = {
            "stage": progress.stage,
            "stage_fraction": round(progress.fraction, 4),
            "fraction": round(self._outlook.fraction, 4),
            "remaining_s": None if remaining_s is None else round(remaining_s, 1),
            "message": progress.message,
        }
        self._output.event("progress", values, "")


def _left(remaining_s: float | None) -> str:
    if remaining_s is None:
        return ""
    minutes, seconds = divmod(round(remaining_s), 60)
    return f"about {minutes}:{seconds:02d} left"
