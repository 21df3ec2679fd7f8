"""2D textures: mip stacks and differentiable lookup, bilinear or trilinear. Row 0 is v = 0 (the bottom)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.devices import backend_of


def build_mips(texture: Float[Tensor, "H W C"], levels: int | None = None) -> list[Float[Tensor, "H W C"]]:
    """A stack of levels, each of 2 x 2 means of the one before; the first is `texture`. Differentiable.

    An axis of one texel stays as it is.

    Args:
        texture: Any channels.
        levels: How many, the first included; None goes on until an axis is odd or a single texel is left.

    Raises:
        InputError: The sides can't be halved that often.
    """
    stack = [texture]
    while levels is None or len(stack) < levels:
        height, width, channels = stack[-1].shape
        odd = any(side > 1 and side % 2 for side in (height, width))
        if odd or (height == 1 and width == 1):
            if levels is not None:
                raise InputError(
                    f"A texture of {texture.shape[1]} x {texture.shape[0]} texels has no {levels} levels.",
                    hint=f"Ask for {len(stack)} or fewer, or use sides that are powers of two.",
                )
            break
        down, across = min(height, 2), min(width, 2)
        blocks = stack[-1].reshape(height // down, down, width // across, across, channels)
        stack.append(blocks.mean(dim=(1, 3)))
    return stack


def sample_texture(
    mips: Sequence[Float[Tensor, "H W C"]],
    uv: Float[Tensor, "*P 2"],
    *,
    footprint: Float[Tensor, "*P 4"] | None = None,
    wrap: Literal["clamp", "repeat"] = "clamp",
) -> Float[Tensor, "*P C"]:
    """Texture at some coordinates: bilinear in level 0, or trilinear in the level that fits a `footprint`.

    Differentiable in every level (through `build_mips` down to its texture), in `uv`, and in `footprint`
    through the level. A core samples about 10 million points a second from one level, 6 million from two.

    Args:
        mips: From `build_mips`, or own levels of any sizes, finest first.
        uv: Texel (i, j) has its centre at ((i + 0.5) / W, (j + 0.5) / H).
        footprint: (du/dX, du/dY, dv/dX, dv/dY) a pixel, what `interpolate_covered` returns for uv. The level
            is log2 of the longer axis of the pixel's ellipse, in texels, clamped to the stack.
        wrap: What lies outside [0, 1].

    Raises:
        InputError: No levels, or tensors of different types.
    """
    if not mips:
        raise InputError("A texture lookup got no levels.", hint="Give [texture], or build_mips(texture).")
    if any(mip.dtype != uv.dtype for mip in mips):
        raise InputError(
            f"The texture is {mips[0].dtype}, the coordinates are {uv.dtype}.",
            hint="Convert one to the other's type.",
        )
    is_flat = footprint is None or len(mips) == 1
    values: Tensor = backend_of(uv, *mips).sample_texture(
        list(mips[:1] if is_flat else mips),
        uv.reshape(-1, 2),
        None if is_flat or footprint is None else footprint.reshape(-1, 4),
        wrap == "repeat",
    )
    return values.reshape(*uv.shape[:-1], values.shape[-1])
