"""Delivered files. Only here are textures packed, rows reversed and v turned down."""

from objectscan.mesh.export.glb import GlbOptions, write_glb

__all__ = ["GlbOptions", "write_glb"]
