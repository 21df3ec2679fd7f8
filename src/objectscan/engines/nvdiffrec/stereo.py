"""Hollows that no silhouette shows: depth from photo-consistency between neighbouring views, carved out of
the hull.

A mirror-like surface agrees between views at a wrong depth (that of what it reflects). What tells is colour:
matches on a matt surface have the same colour in all views. Where too few do, stereo is not used at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32

from objectscan.engines.nvdiffrec import stereo_kernels as kernels
from objectscan.engines.nvdiffrec.hull import HullField
from objectscan.engines.nvdiffrec.photos import PhotoLevel, photo_level
from objectscan.engines.nvdiffrec.stereo_pictures import Pictures, SearchLimits
from objectscan.recipes import StereoOptions
from objectscan.render.threads import run_jobs, thread_count
from objectscan.types import Progress, ProgressFn, View

STAGE = "stereo"
_CPU = torch.device("cpu")
_SWEEPS = 4
_REACH_PX = 4
_DOUBT = 0.02
"""How much better than at the hull a match must be (1 - correlation) to leave the hull."""
_DEEPEST_SHARE = 0.35
"""How far behind the hull a surface is looked for, as a share of the object's longest side."""
_CLOSEST_RAD = np.deg2rad(8.0)
"""Views nearer than this have too little parallax."""
_AGREEING_VIEWS = 12
_FEWEST_VOTES = 2
_FEWEST_WEIGHT = 4.0
_SAME_COLOUR = 0.04
_MATT_SHARE = 0.62
"""Share of matches with three votes that must have the same colour. Measured: 0.74 to 0.83 on matt and
painted
objects, 0.49 on brushed metal (docs/experiments.md)."""


@dataclass(frozen=True, slots=True)
class StereoField:
    """Surface that the views agree on, as a truncated distance on a grid."""

    distance: Float32[np.ndarray, "X Y Z"]
    """World units, positive outside; meaningful where `known`."""
    known: np.ndarray
    """[X, Y, Z] bool."""
    matt_share: float
    """Share of well supported matches whose colour agrees."""


def stereo_field(
    views: Sequence[View], hull: HullField, options: StereoOptions, report: ProgressFn, *, seed: int,
    device: torch.device = _CPU,
) -> StereoField | None:  # fmt: skip
    """Match all views and fuse their depths. None if there are too few views or the object is not matt.

    Cost on the CPU: 15 us a masked pixel and neighbour.
    """
    if len(views) < 3:
        return None
    level = photo_level(views, options.image_edge_px)
    colours, masks = _straight(level)
    pictures = _pictures(level, colours, masks, hull, options.neighbours)
    limits = SearchLimits(_DEEPEST_SHARE * hull.spacing * max(hull.values.shape), _DOUBT, _REACH_PX)
    if device.type == "cuda":
        from objectscan.engines.nvdiffrec.cuda.stereo import match_views

        report(Progress(STAGE, 0.0, "matching views"))
        depths, costs = match_views(pictures, limits, seed=seed, device=device)
    else:
        depths, costs = _match_all(pictures, limits, report, seed)
    votes, spread = _agreement(level, colours, depths, costs, hull)
    matt_share = _matt_share(votes, spread)
    if matt_share < _MATT_SHARE:
        return None
    total, weight = np.zeros(hull.values.shape, np.float32), np.zeros(hull.values.shape, np.float32)
    for view in range(len(views)):
        kernels.integrate(
            hull.values.shape, hull.origin, hull.spacing, level.intrinsics[view],
            level.camera_from_world[view], depths[view], votes[view], _FEWEST_VOTES, 4.0 * hull.spacing,
            total, weight,
        )  # fmt: skip
    return StereoField(total / np.maximum(weight, 1e-6), weight >= _FEWEST_WEIGHT, matt_share)


def carved(hull: HullField, stereo: StereoField) -> HullField:
    """The hull without what the views saw through."""
    values = np.where(stereo.known, np.maximum(hull.values, stereo.distance), hull.values)
    return HullField(values.astype(np.float32), hull.origin, hull.spacing)


def _straight(level: PhotoLevel) -> tuple[Float32[np.ndarray, "N H W 3"], Float32[np.ndarray, "N H W"]]:
    pixels = level.pixels.numpy().astype(np.float32) / 255.0
    masks = np.ascontiguousarray(pixels[..., 3])
    return pixels[..., :3] / np.maximum(masks[..., None], 1e-2), masks


def _pictures(
    level: PhotoLevel, colours: np.ndarray, masks: np.ndarray, hull: HullField, count: int
) -> Pictures:
    grey = np.ascontiguousarray(colours.mean(axis=-1))
    others = _neighbours(level, count, _CLOSEST_RAD)
    world_from_camera = np.linalg.inv(level.camera_from_world)
    between = level.camera_from_world[others] @ world_from_camera[:, None]
    depths, normals = np.zeros_like(grey), np.zeros((*grey.shape, 3), np.float32)
    run_jobs(
        lambda view: kernels.march(
            hull.values, hull.origin, hull.spacing, level.intrinsics[view], world_from_camera[view],
            masks[view], depths[view], normals[view],
        ),
        [(view,) for view in range(len(grey))],
    )  # fmt: skip
    return Pictures(
        grey=grey, masks=masks, intrinsics=level.intrinsics, others=others,
        rotations=level.intrinsics[others] @ between[..., :3, :3],
        shifts=np.einsum("nkij,nkj->nki", level.intrinsics[others], between[..., :3, 3]),
        start_depth=depths, start_normal=normals,
    )  # fmt: skip


def _match_all(
    pictures: Pictures, limits: SearchLimits, report: ProgressFn, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(depths, costs) of the best planes, on the CPU."""
    grey, masks = pictures.grey, pictures.masks
    depths, costs = np.zeros_like(grey), np.zeros_like(grey)

    def job(view: int) -> None:
        others = pictures.others[view]
        kernels.match(
            grey[view], masks[view], grey[others], masks[others], pictures.rotations[view],
            pictures.shifts[view], pictures.intrinsics[view], pictures.start_depth[view],
            pictures.start_normal[view], limits.deepest, limits.doubt, _SWEEPS, limits.reach_px, seed + view,
            depths[view], pictures.start_normal[view].copy(), costs[view],
        )  # fmt: skip

    # A group ends with its slowest view: all in one on a server, few where each takes long.
    together = max(4, 3 * thread_count()) if thread_count() > 4 else 4
    for first in range(0, len(grey), together):
        report(Progress(STAGE, first / len(grey), "matching views"))
        run_jobs(job, [(view,) for view in range(first, min(first + together, len(grey)))])
    return depths, costs


def _agreement(
    level: PhotoLevel, colours: np.ndarray, depths: np.ndarray, costs: np.ndarray, hull: HullField
) -> tuple[np.ndarray, np.ndarray]:
    others = _neighbours(level, _AGREEING_VIEWS, 0.0)
    world_from_camera = np.linalg.inv(level.camera_from_world)
    votes, spread = np.zeros(depths.shape, np.int32), np.zeros_like(depths)
    run_jobs(
        lambda view: kernels.agree(
            view,
            depths,
            costs,
            colours,
            level.intrinsics,
            level.camera_from_world,
            world_from_camera,
            others[view],
            0.8 * hull.spacing,
            votes[view],
            spread[view],
        ),
        [(view,) for view in range(len(depths))],
    )
    return votes, spread


def _matt_share(votes: np.ndarray, spread: np.ndarray) -> float:
    supported = votes >= 3
    return float((spread[supported] < _SAME_COLOUR).mean()) if supported.any() else 0.0


def _neighbours(level: PhotoLevel, count: int, closest_rad: float) -> Float[np.ndarray, "N K"]:
    """The views whose optical axes differ least, but by `closest_rad` at least if there are such."""
    axes = level.camera_from_world[:, 2, :3]
    angle = np.arccos(np.clip(axes @ axes.T, -1.0, 1.0))
    rank = np.where(angle < closest_rad, angle + np.pi, angle)
    np.fill_diagonal(rank, np.inf)
    return np.argsort(rank, axis=1, kind="stable")[:, : min(count, len(axes) - 1)]
