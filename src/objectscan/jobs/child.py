"""The child of a worker: loads the engine, says so, then reconstructs one job after another.

    standard input   {"job": {id, photos, out, recipe, seed}}   {"stop": true}
    standard output  {"event": "ready"}   for each job "progress"..., then "done", "failed" or "stopped"

Run as `python -m objectscan.jobs.child`. It never touches the database or the storage.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import psutil

from objectscan.errors import Cancelled, ObjectscanError
from objectscan.jobs.plain import to_json
from objectscan.stages import Outlook
from objectscan.types import Progress, ProgressFn

_REPORT_S = 0.2


@dataclass(frozen=True, slots=True)
class Order:
    """One job as the child needs it."""

    id: str
    photos: Path
    out: Path
    """The job's own output folder; holds the finished stages of an earlier attempt."""
    recipe: Mapping[str, Any]
    """Fully expanded."""
    seed: int


class Work(Protocol):
    """What a child does with orders."""

    def prepare(self) -> None:
        """Load all that the first order would otherwise wait for."""

    def shares(self, order: Order) -> tuple[tuple[str, float], ...]:
        """(stage, share of the time), in order."""

    def run(self, order: Order, report: ProgressFn, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
        """Carry it out and sum it up. May raise any `ObjectscanError`."""


class PipelineWork:
    """The real work: `pipeline.reconstruct` with the settings of this process."""

    def prepare(self) -> None:
        """See `Work`."""
        import torch

        from objectscan.engines.base import device_for, engine_named
        from objectscan.recipes import STANDARD
        from objectscan.render import set_threads
        from objectscan.settings import settings_from

        self._settings = settings_from(os.environ)
        torch.set_num_threads(1)  # its threads spin against the renderer's: 357 ms a step with both, 39 ms so
        set_threads(self._settings.threads)
        engine_named(STANDARD.engine).prepare(device_for(self._settings), self._settings)

    def shares(self, order: Order) -> tuple[tuple[str, float], ...]:
        """See `Work`."""
        from objectscan import pipeline
        from objectscan.capture.plain import is_plain
        from objectscan.recipes import recipe_from

        return pipeline.stage_shares(recipe_from(order.recipe), plain=is_plain(order.photos))

    def run(self, order: Order, report: ProgressFn, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
        """See `Work`."""
        from objectscan import pipeline
        from objectscan.recipes import recipe_from

        asset = pipeline.reconstruct(
            order.photos, recipe_from(order.recipe), order.out, settings=self._settings, seed=order.seed,
            overwrite=True, report=report, cancelled=cancelled,
        )  # fmt: skip
        verdict = asset.evidence.verdict
        return {"grade": verdict.grade, "score": verdict.score, "reason": verdict.reason}


class Child:
    """Reads orders from one pipe and answers on another."""

    def __init__(self, work: Work, commands: IO[bytes], answers: IO[bytes]):
        """Nothing is loaded yet."""
        self._work, self._commands, self._answers = work, commands, answers
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._stop = threading.Event()

    def serve(self) -> None:
        """Work until the other side closes its pipe."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._work.prepare()
        self._say("ready")
        while True:
            self._carry_out(self._orders.get())

    def _listen(self) -> None:
        for line in self._commands:
            message = json.loads(line)
            if "job" in message:
                self._stop.clear()
                self._orders.put(_order(message["job"]))
            else:
                self._stop.set()
        # The worker is gone: nobody will collect what this process and its helpers compute.
        os.killpg(os.getpgrp(), signal.SIGKILL)

    def _carry_out(self, order: Order) -> None:
        try:
            outlook = Outlook(self._work.shares(order))
            summary = self._work.run(order, _Reporter(outlook, self._say).report, self._stop.is_set)
        except Cancelled:
            self._say("stopped")
        except ObjectscanError as error:
            self._fail(error, _kind(error))
        except Exception as error:
            sys.stderr.write(traceback.format_exc())
            message = f"Something went wrong inside Objectscan ({type(error).__name__}: {error})."
            told = ObjectscanError(message, hint="Please report it, with the worker's log.")
            self._fail(told, _kind_of_defect(error))
        else:
            self._say("done", summary=summary, **resource_facts())

    def _fail(self, error: ObjectscanError, kind: str) -> None:
        values = {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details}
        self._say("failed", error=values, kind=kind, **resource_facts())

    def _say(self, event: str, **values: Any) -> None:
        self._answers.write(to_json({"event": event, **values}).encode() + b"\n")
        self._answers.flush()


def _order(values: Mapping[str, Any]) -> Order:
    return Order(
        values["id"], Path(values["photos"]), Path(values["out"]), values["recipe"], int(values["seed"])
    )


class _Reporter:
    """Passes progress on, five times a second at most within a stage."""

    def __init__(self, outlook: Outlook, say: Callable[..., None]):
        self._outlook, self._say = outlook, say
        self._stage, self._said = "", 0.0

    def report(self, progress: Progress) -> None:
        remaining_s = self._outlook.update(progress)
        now = time.monotonic()
        if progress.stage == self._stage and now - self._said < _REPORT_S and progress.fraction < 1.0:
            return
        self._stage, self._said = progress.stage, now
        self._say(
            "progress",
            stage=progress.stage,
            stage_fraction=progress.fraction,
            fraction=self._outlook.fraction,
            remaining_s=remaining_s,
        )


def resource_facts() -> dict[str, Any]:
    """What decides whether this process is replaced: its memory, and how fragmented that of the GPU is."""
    facts: dict[str, Any] = {"memory_bytes": psutil.Process().memory_info().rss, "fragmentation": None}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        reserved = torch.cuda.memory_reserved()
        facts["fragmentation"] = 1.0 - torch.cuda.memory_allocated() / reserved if reserved else 0.0
    return facts


def _kind(error: ObjectscanError) -> str:
    """`photos`: no other attempt can help; `memory`: a smaller one may; `machine`: another one may."""
    from objectscan.errors import BadWorkspace, InputError, NotEnoughMemory, ReconstructionError

    if isinstance(error, NotEnoughMemory):
        return "memory"
    # The output folder is the worker's own: if it can't be used, that is no fault of the photos.
    is_final = isinstance(error, InputError | ReconstructionError) and not isinstance(error, BadWorkspace)
    return "photos" if is_final else "machine"


def _kind_of_defect(error: Exception) -> str:
    is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's
    return "memory" if is_memory else "machine"


def main(work: Work) -> None:
    """Serve on the standard pipes. Whatever libraries print goes to standard error instead of the answers."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        Child(work, sys.stdin.buffer, answers).serve()
    except BaseException:
        # Not by the interpreter's own exit: it aborts where a thread waits for standard input.
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main(PipelineWork())
