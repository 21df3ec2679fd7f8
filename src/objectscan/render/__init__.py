"""The differentiable renderer: visibility, attributes, silhouettes, textures, light. Knows no settings."""

from objectscan.render.antialias import antialias, build_adjacency
from objectscan.render.camera import clip_from_camera, clip_from_world, depth_range
from objectscan.render.colour import linear_from_srgb, srgb_from_linear
from objectscan.render.cubemap import sample_cubemap
from objectscan.render.forward import SurfaceLayers, TexturedModel, render_textured
from objectscan.render.interpolate import interpolate, interpolate_covered, scatter_covered
from objectscan.render.light import PrefilteredLight, PrefilterOperator
from objectscan.render.normals import bend_normals, face_normals, vertex_normals, vertex_tangents
from objectscan.render.rasterize import Hits, rasterize
from objectscan.render.shading import shade_split_sum
from objectscan.render.texture import build_mips, sample_texture
from objectscan.render.threads import set_threads

__all__ = [
    "Hits",
    "PrefilterOperator",
    "PrefilteredLight",
    "SurfaceLayers",
    "TexturedModel",
    "antialias",
    "bend_normals",
    "build_adjacency",
    "build_mips",
    "clip_from_camera",
    "clip_from_world",
    "depth_range",
    "face_normals",
    "interpolate",
    "interpolate_covered",
    "linear_from_srgb",
    "rasterize",
    "render_textured",
    "sample_cubemap",
    "sample_texture",
    "scatter_covered",
    "set_threads",
    "shade_split_sum",
    "srgb_from_linear",
    "vertex_normals",
    "vertex_tangents",
]
