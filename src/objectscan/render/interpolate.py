"""Vertex attributes spread over the pixels that their triangles cover."""

from __future__ import annotations

from typing import Literal, overload

from jaxtyping import Float, Int32
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.devices import backend_of
from objectscan.render.rasterize import Hits


@overload
def interpolate_covered(
    attributes: Tensor, faces: Tensor, hits: Hits, *, derivatives: Literal[False] = False
) -> Tensor: ...


@overload
def interpolate_covered(
    attributes: Tensor, faces: Tensor, hits: Hits, *, derivatives: Literal[True]
) -> tuple[Tensor, Tensor]: ...


def interpolate_covered(
    attributes: Float[Tensor, "V C"] | Float[Tensor, "N V C"],
    faces: Int32[Tensor, "F 3"],
    hits: Hits,
    *,
    derivatives: bool = False,
) -> Float[Tensor, "P C"] | tuple[Float[Tensor, "P C"], Float[Tensor, "P 2C"]]:
    """Attributes at the covered pixels only, in the order of `hits.pixels()`.

    Differentiable in `attributes` and in the clip positions behind `hits`.

    Args:
        attributes: Any per-corner quantity; [V C] is shared by all views, [N V C] has one set a view.
        faces: Rows match the faces that were rasterised; the indices may differ (texture corners).
        hits: What `rasterize` returned.
        derivatives: Also return (dA/dX, dA/dY) a channel, per pixel; needs hits with derivatives.
    """
    backend = backend_of(attributes, faces, hits.triangle)
    if not derivatives:
        values: Tensor = backend.interpolate(attributes, faces, hits, False)
        return values
    if hits.derivatives is None:
        raise InputError(
            "These hits have no screen derivatives.", hint="Call rasterize(..., derivatives=True)."
        )
    both: tuple[Tensor, Tensor] = backend.interpolate_with_slopes(attributes, faces, hits)
    return both


def interpolate(
    attributes: Float[Tensor, "V C"] | Float[Tensor, "N V C"], faces: Int32[Tensor, "F 3"], hits: Hits
) -> Float[Tensor, "N H W C"]:
    """Attributes as pictures; zero where nothing was hit. Differentiable like `interpolate_covered`."""
    backend = backend_of(attributes, faces, hits.triangle)
    flat: Tensor = backend.interpolate(attributes, faces, hits, True)
    return flat.reshape(*hits.triangle.shape, attributes.shape[-1])


def scatter_covered(values: Float[Tensor, "P C"], hits: Hits) -> Float[Tensor, "N H W C"]:
    """Values of the covered pixels put in their places, zeros elsewhere. Differentiable."""
    flat: Tensor = backend_of(values, hits.triangle).scatter(values, hits)
    return flat.reshape(*hits.triangle.shape, values.shape[1])
