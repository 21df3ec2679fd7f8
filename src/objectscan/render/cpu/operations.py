"""What `render` asks of a backend, on the CPU. `render.cuda.operations` offers the same functions."""

from objectscan.render.cpu.antialiasing import antialias, build_adjacency
from objectscan.render.cpu.filtering import sparse_product
from objectscan.render.cpu.interpolating import covered_pixels, interpolate, interpolate_with_slopes, scatter
from objectscan.render.cpu.rasterizing import rasterize
from objectscan.render.cpu.sampling import sample_cubemap, sample_texture
from objectscan.render.cpu.shading import shade

__all__ = [
    "antialias",
    "build_adjacency",
    "covered_pixels",
    "interpolate",
    "interpolate_with_slopes",
    "rasterize",
    "sample_cubemap",
    "sample_texture",
    "scatter",
    "shade",
    "sparse_product",
]
