"""The Triton kernel of `networks.implicit_product`; imported only where Triton is installed."""

# Without `from __future__ import annotations`: Triton reads `tl.constexpr` from the annotations themselves.

import triton
import triton.language as tl


# Else Triton makes a constant of a count of 1, which has no `to`.
@triton.jit(do_not_specialize=["count"])
def multiply(
    features,  # [T I]
    neighbours,  # [K T] int32, -1 for none
    matrices,  # [K I O]
    bias,  # [O] float32
    result,  # [T O]
    count,
    inner: tl.constexpr,
    outer: tl.constexpr,
    positions: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """ROWS voxels by COLUMNS output channels: gather INNER channels of a neighbour, multiply, add."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.arange(0, INNER)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for position in range(positions):
        source = tl.load(neighbours + position * count.to(tl.int64) + row, mask=row < count, other=-1).to(
            tl.int64
        )
        found = source >= 0
        for first in range(0, inner, INNER):
            here = first + channel
            gathered = tl.load(
                features + source[:, None] * inner + here[None, :],
                mask=found[:, None] & (here[None, :] < inner),
                other=0.0,
            )
            matrix = tl.load(
                matrices + position * inner * outer + here[:, None] * outer + column[None, :],
                mask=(here[:, None] < inner) & (column[None, :] < outer),
                other=0.0,
            )
            total = tl.dot(gathered, matrix, total)
    total += tl.load(bias + column, mask=column < outer, other=0.0)[None, :]
    places = result + row[:, None].to(tl.int64) * outer + column[None, :]
    tl.store(
        places, total.to(result.dtype.element_ty), mask=(row[:, None] < count) & (column[None, :] < outer)
    )
