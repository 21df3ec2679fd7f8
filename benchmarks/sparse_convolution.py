"""The 3x3x3 convolution over 1.3 million voxels on a GPU, by tile sizes, against what memory takes: JSON.

    PYTHONPATH=src python benchmarks/sparse_convolution.py [--out FILE]

`floor_ideal_ms`: each row moves in and out once; `floor_gather_ms`: each neighbour is gathered from memory
once. `error`: relative, against the layer in float64. Needs torch with CUDA and Triton.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import torch
import triton

from generative import convolution, shell_of_ball
from objectscan.engines.reconviagen.networks.convolution import VoxelConvolution3
from objectscan.engines.reconviagen.networks.implicit_product import Tiles, gathered_product
from objectscan.engines.reconviagen.networks.voxels import Voxels

CHANNELS = 96


@torch.inference_mode()
def compared(tiles: Tiles, case: dict[str, Any]) -> dict[str, Any]:
    """Median milliseconds and error of one way to cut the work."""
    arguments = case["features"], case["neighbours"], case["matrices"], case["bias"]
    row: dict[str, Any] = {name: getattr(tiles, name) for name in tiles.__slots__}
    try:
        fast = gathered_product(*arguments, tiles=tiles)
    except Exception as problem:  # too much shared memory, for one
        return {**row, "problem": str(problem)[:200]}
    milliseconds = triton.testing.do_bench(
        lambda: gathered_product(*arguments, tiles=tiles), warmup=20, rep=100, return_mode="median"
    )
    error = float((fast.float() - case["exact"]).norm() / case["exact"].norm())
    return {**row, "ms": round(milliseconds, 3), "error": round(error, 6)}


@torch.inference_mode()
def scene(device: torch.device) -> dict[str, Any]:
    """A layer with random weights on the voxels of `generative.convolution`, and its exact result."""
    shell = torch.from_numpy(shell_of_ball()).to(device)
    coarse = Voxels(torch.nn.functional.pad(shell, (1, 0)))
    voxels = coarse.subdivided.subdivided
    layer = VoxelConvolution3(CHANNELS, CHANNELS).to(device, torch.float16)
    features = torch.randn(len(voxels), CHANNELS, device=device).half()
    return {
        "features": features,
        "neighbours": voxels.neighbours,
        "matrices": layer.conv.weight.flatten(1, 3).permute(1, 2, 0).contiguous(),
        "bias": layer.conv.bias,
        "exact": layer.float()(features.float(), voxels),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file; it is printed anyway")
    out = parser.parse_args().out
    device = torch.device("cuda")
    case = scene(device)
    choices = itertools.product((64, 128, 256), (32, 64), (32, 64, 128), (4, 8), (2, 3, 4))
    rows = [compared(Tiles(*choice), case) for choice in choices]
    rows.sort(key=lambda row: row.get("ms", 1e9))
    result = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "layer": convolution(device),
        "tiles": rows,
    }
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({**result, "tiles": rows[:8]}, indent=1))


if __name__ == "__main__":
    main()
