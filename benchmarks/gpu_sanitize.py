"""A little of everything that the CUDA backend does, for compute-sanitizer: small pictures, every kernel.

    PYTORCH_NO_CUDA_MEMORY_CACHING=1 PYTHONPATH=src:tests \
        compute-sanitizer --tool memcheck --error-exitcode 1 python benchmarks/gpu_sanitize.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.cuda.comparison import render_all, scene
from helpers.cuda.surfaces import bilinear, cube, lit, textured
from objectscan.render import rasterize, scatter_covered


def main() -> None:
    for name in ("bumpy", "coarse", "floor"):
        for direct in (True, False):
            render_all(name, "cuda", direct=direct)
    clip, _, faces, size = scene("bumpy")
    clip, faces = clip.cuda(), faces.cuda()
    first = rasterize(clip, faces, size).padded(3000)
    rasterize(clip, faces, size, behind=first, cull="back")
    scatter_covered(torch.ones(3000, 4, device="cuda"), first)
    for wrap in ("clamp", "repeat"):
        textured("cuda", wrap=wrap)
        bilinear("cuda", wrap=wrap)
    cube("cuda")
    lit("cuda")
    torch.cuda.synchronize()
    print("done")


if __name__ == "__main__":
    main()
