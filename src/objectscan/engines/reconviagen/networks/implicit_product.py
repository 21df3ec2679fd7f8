"""Submanifold convolution on a GPU as one matrix product whose rows are gathered on the way (Triton).

Gathering to memory, multiplying and scattering moves each neighbour four times: 27 times as long as memory
needs at 1.3 million voxels. Here a block of voxels gathers its neighbours into registers, position by
position, and adds up in float32 (implicit GEMM: Chetlur et al. 2014, cuDNN, section 3).
Triton comes with torch's CUDA wheels; without it, or without a GPU, `convolution` works in torch alone.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int32
from torch import Tensor

HALF_TYPES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Tiles:
    """How the work is cut; `benchmarks/sparse_convolution.py` compares."""

    rows: int = 128
    """Voxels a block."""
    inner: int = 32
    """Input channels a step; the published networks have multiples of 32."""
    columns: int = 128
    """Most output channels a block."""
    warps: int = 4
    stages: int = 3
    """Steps whose loads are under way at once."""


DEFAULT_TILES = Tiles()


def is_available(features: Tensor) -> bool:
    """Whether `gathered_product` can take these features: half precision, on a GPU, with a working Triton."""
    return features.is_cuda and features.dtype in HALF_TYPES and _works(features.device)


@lru_cache(maxsize=8)
def _works(device: torch.device) -> bool:
    """Tried once: Triton builds a launcher with the machine's C compiler, which slim images lack."""
    if importlib.util.find_spec("triton") is None:
        return False
    ones = torch.ones(16, 16, device=device, dtype=torch.float16)
    table = torch.arange(16, device=device, dtype=torch.int32)[None]
    try:
        product = gathered_product(ones, table, ones[None], torch.zeros(16, device=device))
        return bool((product == 16).all())
    except Exception as problem:  # whatever Triton, its compiler or the driver raise
        logging.getLogger(__name__).warning("Triton does not work here, so torch convolves: %s", problem)
        return False


def gathered_product(
    features: Float[Tensor, "T I"],
    neighbours: Int32[Tensor, "K T"],
    matrices: Float[Tensor, "K I O"],
    bias: Float[Tensor, " O"],
    *,
    tiles: Tiles = DEFAULT_TILES,
) -> Float[Tensor, "T O"]:
    """out[t] = bias + sum over k of features[neighbours[k, t]] @ matrices[k]; sums run in float32.

    Args:
        features: Half precision, contiguous.
        neighbours: Rows of `features`, or -1 where there is no neighbour.
        matrices: One a kernel position, in the type of the features.
        bias: Any type.
        tiles: Sizes that are powers of two, at least 16.
    """
    from objectscan.engines.reconviagen.implicit_product_kernel import multiply

    (positions, count), (inner, outer) = neighbours.shape, matrices.shape[1:]
    result = features.new_zeros((count, outer))
    columns = min(tiles.columns, max(16, 1 << (outer - 1).bit_length()))
    grid = (-(-count // tiles.rows), -(-outer // columns))
    if count:
        multiply[grid](
            features.contiguous(), neighbours, matrices.contiguous(), bias.float(), result, count, inner,
            outer, positions, ROWS=tiles.rows, INNER=tiles.inner, COLUMNS=columns, num_warps=tiles.warps,
            num_stages=tiles.stages,
        )  # fmt: skip
    return result
