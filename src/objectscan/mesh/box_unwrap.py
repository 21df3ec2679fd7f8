"""The layout that always works: faces projected along the nearest axis, charts on shelves."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int64
from numba import njit
from scipy.sparse.csgraph import connected_components as _graph_components

from objectscan.mesh.topology import edge_table
from objectscan.types import Mesh, UvMap

_PADDING_PX = 8
"""Between charts: four texels for each, so that two mip levels keep them apart."""
_PLANES = np.array([(1, 2), (2, 1), (2, 0), (0, 2), (0, 1), (1, 0)])
"""Coordinates that become u and v for faces that look to +x -x +y -y +z -z; u x v looks outward."""
_ROUNDS = 30
"""Layers of a folded chart that are peeled off whole; what is left then goes face by face."""


def box_unwrap(mesh: Mesh, texture_size_px: int) -> UvMap:
    """Project each face along the axis its normal is nearest to; connected faces of one axis make a chart.

    Faces that would lie over others of their chart go to a chart of their own, so nothing overlaps,
    whatever the mesh. Stretch is at most sqrt(3); about half of the square is used; 100,000 faces take
    about a second.
    """
    corners, direction = _projected(mesh)
    chart = _charts(mesh, corners, direction)
    size, lowest = _boxes(corners, chart)
    scale, origin = _shelves(size, _PADDING_PX / texture_size_px)
    placed = (corners - lowest[chart][:, None]) * scale + origin[chart][:, None]
    keys = np.stack([np.repeat(chart, 3), mesh.faces.reshape(-1)], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    coordinates = np.clip(placed.reshape(-1, 2)[first], 0.0, 1.0).astype(np.float32)
    return UvMap(coordinates, inverse.reshape(-1, 3).astype(np.int32))


def _projected(mesh: Mesh) -> tuple[Float[np.ndarray, "F 3 2"], Int64[np.ndarray, " F"]]:
    """Each face's corners on the plane of its direction, in world units, and the direction 0 to 5."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axis = np.abs(normal).argmax(axis=1)
    is_negative = np.take_along_axis(normal, axis[:, None], axis=1)[:, 0] < 0
    direction = 2 * axis + is_negative
    return np.take_along_axis(corners, _PLANES[direction][:, None], axis=2), direction


def _charts(mesh: Mesh, corners: np.ndarray, direction: np.ndarray) -> Int64[np.ndarray, " F"]:
    """Chart number of each face: connected, of one direction, and flat without overlap."""
    edges, edge_of = edge_table(mesh.faces)
    uses = np.bincount(edge_of, minlength=len(edges))
    starts = np.cumsum(uses) - uses
    by_edge = np.argsort(edge_of, kind="stable") // 3
    one, two = by_edge[starts[uses == 2]], by_edge[starts[uses == 2] + 1]
    joined = direction[one] == direction[two]
    one, two = one[joined], two[joined]
    chart = np.zeros(len(mesh.faces), np.int64)
    pending, count = np.arange(len(mesh.faces)), 0
    for _ in range(_ROUNDS):
        is_pending = np.zeros(len(mesh.faces), bool)
        is_pending[pending] = True
        inside = is_pending[one] & is_pending[two]
        chart[pending] = count + _components(one[inside], two[inside], pending, len(mesh.faces))
        count = int(chart.max()) + 1
        pending = pending[_overlapping(corners[pending], chart[pending])]
        if not len(pending):
            return chart
    chart[pending] = count + np.arange(len(pending))
    return np.unique(chart, return_inverse=True)[1]


def _components(one: np.ndarray, two: np.ndarray, members: np.ndarray, count: int) -> np.ndarray:
    graph = scipy.sparse.coo_matrix((np.ones(len(one), bool), (one, two)), (count, count))
    labels = _graph_components(graph, directed=False)[1][members]
    return np.unique(labels, return_inverse=True)[1]


def _overlapping(corners: np.ndarray, chart: np.ndarray) -> Bool[np.ndarray, " F"]:
    """Faces that lie over an earlier face of their chart that itself stays."""
    lowest, reach = corners.min(axis=(0, 1)), np.maximum(np.ptp(corners, axis=(0, 1)), 1e-30)
    cells = max(1, int(np.sqrt(len(corners))))
    low = ((corners.min(axis=1) - lowest) / reach * cells).astype(np.int64).clip(0, cells - 1)
    high = ((corners.max(axis=1) - lowest) / reach * cells).astype(np.int64).clip(0, cells - 1)
    entries = int((high - low + 1).prod(axis=1).sum())
    return _find_overlaps(corners, chart, low, high, (cells, entries, 1e-9 * float(reach.max())))


@njit(cache=True, nogil=True)
def _find_overlaps(corners, chart, low, high, options):
    """Greedy: each face is compared with the kept ones that share a cell of a uniform grid."""
    cells, entries, slack = options
    head = np.full((cells, cells), -1)
    following, face_of = np.full(entries, -1), np.full(entries, -1)
    rejected = np.zeros(len(corners), np.bool_)
    count = 0
    for face in range(len(corners)):
        for y in range(low[face, 1], high[face, 1] + 1):
            for x in range(low[face, 0], high[face, 0] + 1):
                entry = head[y, x]
                while entry >= 0 and not rejected[face]:
                    other = face_of[entry]
                    if chart[other] == chart[face] and not _apart(corners[face], corners[other], slack):
                        rejected[face] = True
                    entry = following[entry]
        if rejected[face]:
            continue
        for y in range(low[face, 1], high[face, 1] + 1):
            for x in range(low[face, 0], high[face, 0] + 1):
                face_of[count], following[count] = face, head[y, x]
                head[y, x] = count
                count += 1
    return rejected


@njit(cache=True, nogil=True)
def _apart(first, second, slack):
    """Separating axis test of two triangles in the plane; touching counts as apart."""
    for turn in range(2):
        one, two = (first, second) if turn == 0 else (second, first)
        for k in range(3):
            edge_x, edge_y = one[(k + 1) % 3, 0] - one[k, 0], one[(k + 1) % 3, 1] - one[k, 1]
            length = np.sqrt(edge_x * edge_x + edge_y * edge_y)
            if length == 0.0:
                continue
            own_low, own_high, low, high = np.inf, -np.inf, np.inf, -np.inf
            for c in range(3):
                own = ((one[c, 1] - one[k, 1]) * edge_x - (one[c, 0] - one[k, 0]) * edge_y) / length
                far = ((two[c, 1] - one[k, 1]) * edge_x - (two[c, 0] - one[k, 0]) * edge_y) / length
                own_low, own_high = min(own_low, own), max(own_high, own)
                low, high = min(low, far), max(high, far)
            if low >= own_high - slack or high <= own_low + slack:
                return True
    return False


def _boxes(corners: np.ndarray, chart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(size, lowest corner) of each chart's bounding box."""
    count = int(chart.max()) + 1
    lowest, highest = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(lowest, chart, corners.min(axis=1))
    np.maximum.at(highest, chart, corners.max(axis=1))
    return highest - lowest, lowest


def _shelves(size: Float[np.ndarray, "K 2"], padding: float) -> tuple[float, Float[np.ndarray, "K 2"]]:
    """The largest scale at which all boxes fit on shelves of the unit square, and where each box begins.

    With very many charts the padding shrinks, so that charts keep at least half of the square.
    """
    padding = min(padding, 0.5 / np.ceil(np.sqrt(len(size))))
    order = np.argsort(-size[:, 1], kind="stable")
    low, high = 0.0, 1.0 / max(float(size.max()), 1e-30)
    for _ in range(40):
        middle = 0.5 * (low + high)
        fits = _place(size, order, middle, padding)[1] <= 1.0
        low, high = (middle, high) if fits else (low, middle)
    return low, _place(size, order, low, padding)[0]


@njit(cache=True, nogil=True)
def _place(size, order, scale, padding):
    """(lowest corner of each box, total height); from left to right and shelf by shelf, in this order."""
    origin = np.zeros(size.shape)
    x, y, shelf = 0.0, 0.0, 0.0
    for box in order:
        width, height = size[box, 0] * scale + padding, size[box, 1] * scale + padding
        if width > 1.0:
            return origin, 2.0
        if x + width > 1.0:
            x, y, shelf = 0.0, y + shelf, 0.0
        origin[box, 0], origin[box, 1] = x + 0.5 * padding, y + 0.5 * padding
        x += width
        shelf = max(shelf, height)
    return origin, y + shelf
