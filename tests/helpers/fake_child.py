"""A worker's child whose work costs no processor time. What it does stands in `plan.json` among the photos.

stages: names; stage_s: how long each takes; slow: a stage that takes slow_s, or for ever, each time or
slow_once; trouble: a stage to misbehave in, once or always; how: kill, defect, photos, memory, deaf, full,
leak; result_bytes: size of the model; picture, report: whether it writes them early; fragmentation: of the
GPU memory, in the end.
FAKE_LOG names a file that gets a line `JOB stage PID` for each stage that ran.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import objectscan.jobs.child
from objectscan.errors import BadMasks, Cancelled, NotEnoughMemory
from objectscan.jobs.child import Order, main
from objectscan.types import Progress

STAGES = ("capture", "shape", "refine", "preview")
_TICK_S = 0.02


class FakeWork:
    def prepare(self) -> None:
        time.sleep(float(os.environ.get("FAKE_PREPARE_S", "0")))
        if os.environ.get("FAKE_PREPARE") == "fail":
            raise RuntimeError("no engine")
        print("a library that prints")

    def shares(self, order: Order):
        return tuple((stage, 1.0) for stage in STAGES)

    def run(self, order: Order, report, cancelled):
        plan = json.loads((order.photos / "plan.json").read_text())
        for stage in plan.get("stages", STAGES):
            done = order.out / f"{stage}.done"
            if done.exists():
                continue
            note(f"{order.id} {stage} {os.getpid()}")
            self._stage(stage, order, plan, report, cancelled)
            write(done, b"")
        content = f"{order.id} {order.recipe['preset']}".encode()
        write(order.out / "model.glb", content + bytes(plan.get("result_bytes", 0)))
        write(order.out / "report.json", b"{}")
        if "fragmentation" in plan:
            facts = {"memory_bytes": 1, "fragmentation": plan["fragmentation"]}
            objectscan.jobs.child.resource_facts = lambda: facts
        return {"grade": "high", "score": 0.9, "reason": "a fake", "pid": os.getpid()}

    def _stage(self, stage, order, plan, report, cancelled):
        began, length_s = time.monotonic(), self._length_s(stage, order, plan)
        if plan.get("picture"):
            write(order.out / "progress.webp", b"picture")
        if plan.get("report"):
            write(order.out / "report.json", b"{}")
        while True:
            share = min(1.0, (time.monotonic() - began) / length_s) if length_s else 1.0
            report(Progress(stage, share))
            if cancelled():
                raise Cancelled("Stopped on request.")
            self._misbehave(stage, order, plan)
            if share >= 1.0:
                return
            time.sleep(_TICK_S)

    def _length_s(self, stage, order, plan):
        if plan.get("slow") != stage:
            return plan.get("stage_s", 0.0)
        once = order.out / "slow"
        if plan.get("slow_once") and once.exists():
            return 0.0
        once.touch()
        return plan.get("slow_s", 600.0)

    def _misbehave(self, stage, order, plan):
        if plan.get("trouble") != stage:
            return
        once = order.out / "trouble"
        if plan.get("once") and once.exists():
            return
        once.touch()
        how = plan["how"]
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "defect":
            raise RuntimeError("the cat stood on the keyboard")
        if how == "photos":
            raise BadMasks("The mask of 'a.png' is empty.", hint="Make another.")
        if how == "memory":
            raise NotEnoughMemory("About 99 GB of memory are needed.", details={"share": float("nan")})
        if how == "full":
            write(Path("/dev/full"), b"x" * 100_000)
        if how == "leak":
            FakeWork.held = bytearray(b"x") * 200_000_000
        while how == "deaf":
            time.sleep(_TICK_S)


def write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def note(line: str) -> None:
    if "FAKE_LOG" in os.environ:
        with open(os.environ["FAKE_LOG"], "a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    main(FakeWork())
