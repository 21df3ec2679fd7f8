"""Silhouettes made soft, so that a picture has a gradient with respect to where they are."""

from __future__ import annotations

from jaxtyping import Float, Int32
from torch import Tensor

from objectscan.render.devices import backend_of
from objectscan.render.rasterize import Hits


def build_adjacency(faces: Int32[Tensor, "F 3"]) -> Int32[Tensor, "F 3"]:
    """The triangle across the edge opposite to each corner; -1 at a boundary or an edge of more than two."""
    adjacency: Tensor = backend_of(faces).build_adjacency(faces)
    return adjacency


def antialias(
    image: Float[Tensor, "N H W C"],
    hits: Hits,
    clip_positions: Float[Tensor, "N V 4"],
    faces: Int32[Tensor, "F 3"],
    adjacency: Int32[Tensor, "F 3"],
    *,
    max_steps: int = 32,
) -> Float[Tensor, "N H W C"]:
    """Blend the two pixels on either side of a silhouette by where its edge crosses between their centres.

    The only source of visibility gradients (Laine et al. 2020, section 3.4). Theirs asks only whether the
    visible triangle owns the silhouette edge; ours walks over its neighbours to the edge, up to `max_steps`
    triangles: with triangles of pixel size the former loses nearly all of the gradient
    (docs/architecture/03-render.md).

    Args:
        image: Any channels, point-sampled with the same hits.
        hits: What `rasterize` returned for the same positions and faces.
        clip_positions: Differentiable.
        faces: As rasterised.
        adjacency: From `build_adjacency(faces)`; build it once a topology.
        max_steps: 1 looks at the visible triangle's own edges only.
    """
    backend = backend_of(image, clip_positions, faces, adjacency, hits.triangle)
    blended: Tensor = backend.antialias(image, hits, clip_positions, faces, adjacency, max_steps)
    return blended
