"""What `render` asks of a backend, on the GPU. `render.cpu.operations` offers the same functions."""

from objectscan.render.cuda.antialiasing import antialias, build_adjacency
from objectscan.render.cuda.filtering import sparse_product
from objectscan.render.cuda.interpolating import (
    covered_pixels,
    interpolate,
    interpolate_with_slopes,
    padded_pixels,
    scatter,
)
from objectscan.render.cuda.rasterizing import rasterize
from objectscan.render.cuda.sampling import sample_cubemap, sample_texture
from objectscan.render.cuda.shading import shade

__all__ = [
    "antialias",
    "build_adjacency",
    "covered_pixels",
    "interpolate",
    "interpolate_with_slopes",
    "padded_pixels",
    "rasterize",
    "sample_cubemap",
    "sample_texture",
    "scatter",
    "shade",
    "sparse_product",
]
