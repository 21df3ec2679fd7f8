"""Which values of the kernels' parameters are fastest: JSON with microseconds of the kernels they change.

PYTHONPATH=src:tests python benchmarks/renderer_cuda_parameters.py [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from unittest import mock

import torch

from objectscan.render.cuda import interpolating, rasterizing
from objectscan.render.cuda.launch import DeviceKernels
from renderer_cuda import Scene, kernel_times

VARIED = {
    "FEW_BLOCKS": (interpolating, "interpolate_few_backward", (2, 3, 4, 5)),
    "FEW_GROUP": (interpolating, "interpolate_few_backward", (3, 6, 10, 16, 33)),
    "SEGMENT": (rasterizing, "draw_triangles", (16, 32, 64)),
    "TINY": (rasterizing, "draw_triangles", (12, 24, 48)),
}
"""Module whose kernels are compiled anew, kernel that is timed, values."""
CASES = ((10_000, 512, 8), (100_000, 2048, 8), (1_000_000, 2048, 8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    scenes = {case: Scene(*case) for case in CASES}
    result = []
    for name, (module, kernel, values) in VARIED.items():
        for value in values:
            kernels = DeviceKernels(torch.cuda.current_device(), options=(f"-D{name}={value}",))
            times = {}
            with mock.patch.object(module, "launcher_on", lambda device, kernels=kernels: kernels):
                for case, scene in scenes.items():
                    times["x".join(map(str, case))] = kernel_times(scene.basic, 3).get(kernel)
            result.append({"parameter": name, "value": value, "kernel": kernel, "us": times})
            print(json.dumps(result[-1]), flush=True)
            if options.out:
                options.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
