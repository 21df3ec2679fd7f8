"""What the engine asks of a backend, on the GPU. `nvdiffrec.cpu.operations` offers the same functions."""

from objectscan.engines.nvdiffrec.cuda.bending import bending, bending_backward
from objectscan.engines.nvdiffrec.cuda.lookups import (
    of_views,
    read_atlas,
    read_atlas_backward,
    read_field,
    read_field_backward,
)
from objectscan.engines.nvdiffrec.cuda.photo_loss import photo_loss
from objectscan.engines.nvdiffrec.cuda.rows import scatter_rows, step_rows
from objectscan.engines.nvdiffrec.cuda.surfaces import (
    deviation,
    extract_topology,
    place,
    place_backward,
    triangulate,
)
from objectscan.engines.nvdiffrec.cuda.vertex_steps import VertexSteps

__all__ = [
    "VertexSteps",
    "bending",
    "bending_backward",
    "deviation",
    "extract_topology",
    "of_views",
    "photo_loss",
    "place",
    "place_backward",
    "read_atlas",
    "read_atlas_backward",
    "read_field",
    "read_field_backward",
    "scatter_rows",
    "step_rows",
    "triangulate",
]
