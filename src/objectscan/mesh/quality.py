"""Evidence on a result: each held-out photo against the model from its camera, and what the surface says.

Hard failures raise (nothing to compare) or give the verdict `failed` (compared, and it shows something else),
so that the pictures of a failed result can still be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np

from objectscan.errors import BadMasks, EmptyForeground, OptimisationDiverged
from objectscan.mesh import caveats
from objectscan.mesh.evidence import Evidence, ViewEvidence
from objectscan.mesh.metrics import Picture, ViewMetrics, compare, picture_from_photo, picture_from_rgba
from objectscan.mesh.surface_facts import SurfaceFacts, surface_facts
from objectscan.mesh.topology import face_areas
from objectscan.mesh.verdict import EvidenceSource, judge, unjudged
from objectscan.mesh.visibility import Visibility, smaller_camera, visibility
from objectscan.render import TexturedModel
from objectscan.types import Camera, Capture, Finding, Progress, ProgressFn, Reconstruction, View

STAGE = "evaluate"
_NOT_REGISTERED = (
    "where the photos were taken from is not known for this model, so that it can't be compared with them"
)
_SMALLER_IS_BETTER = ("contour_px", "contour_per_mille", "gmsd", "highlights")


@dataclass(frozen=True, slots=True)
class ViewPair:
    """A photo and the model seen from its camera, of one size."""

    name: str
    photo: Picture
    render: Picture


def ignore_pair(pair: ViewPair) -> None:
    """Takes no notice of the pictures that `evaluate` compares."""


def evaluate(
    reconstruction: Reconstruction,
    held_out: Capture,
    fit: Capture,
    report: ProgressFn,
    *,
    photos_given: int | None = None,
    on_pair: Callable[[ViewPair], None] = ignore_pair,
) -> Evidence:
    """Judge a result by photos that the optimiser never saw and by its surface.

    A result that is not registered with the photos is judged by nothing: its surface is measured, and the
    verdict is `unjudged`.

    Args:
        reconstruction: The result, world frame.
        held_out: The photos kept from the optimiser; without any, the fit photos are used and the verdict
            can't be high.
        fit: The photos that it was made from; their cameras say which part of the surface was seen.
        report: Called for each view; may raise `Cancelled`.
        photos_given: Photos before those without a camera were dropped; by default all have one.
        on_pair: Receives each photo with its render, for pictures of the evidence.

    Raises:
        EmptyForeground: The mesh has no faces, or none with an area.
        OptimisationDiverged: Vertices, texture coordinates or textures are not finite.
        BadMasks: A photo has no mask, or an empty one.
    """
    check_result(reconstruction)
    if not reconstruction.is_registered:
        return _without_photos(reconstruction, report)
    source: EvidenceSource = "held-out" if held_out.views else "training-views"
    views = held_out.views or fit.views
    renderer = TexturedModel.of(reconstruction)
    compared = []
    for number, view in enumerate(views):
        report(Progress(STAGE, number / (len(views) + 1), f"comparing with {view.name}"))
        pair = view_pair(renderer, view, reconstruction.cameras.get(view.name, view.camera))
        on_pair(pair)
        height, width = pair.photo.coverage.shape
        compared.append(ViewEvidence(view.name, (width, height), compare(pair.photo, pair.render)))
    report(Progress(STAGE, len(views) / (len(views) + 1), "measuring the surface"))
    registered = (len(fit.views) + len(held_out.views)) / (
        photos_given or len(fit.views) + len(held_out.views)
    )
    evidence = _judged(reconstruction, tuple(compared), source, fit, registered)
    report(Progress(STAGE, 1.0, f"{evidence.verdict.grade}: {evidence.verdict.reason}"))
    return evidence


def _without_photos(reconstruction: Reconstruction, report: ProgressFn) -> Evidence:
    """Evidence on a result that no photo can be compared with: its surface, and what is not known."""
    report(Progress(STAGE, 0.0, "measuring the surface"))
    facts = surface_facts(reconstruction)
    values = {name: getattr(facts, name) for name in ("loose_pieces", "loose_area", "open_area")}
    found = (
        Finding("not_compared", "warning", f"{_NOT_REGISTERED[0].upper()}{_NOT_REGISTERED[1:]}."),
        caveats.floaters(facts.loose_pieces, facts.loose_area),
        caveats.open_surface(facts.hole_diameters, facts.longest_side, scale_known=False),
        caveats.non_manifold(facts.non_manifold_edges),
        caveats.scale_unknown(scale_known=False),
    )
    warnings = tuple(finding for finding in found if finding is not None)
    verdict = unjudged(values, reason=_NOT_REGISTERED)
    report(Progress(STAGE, 1.0, f"{verdict.grade}: {verdict.reason}"))
    return Evidence("none", (), {}, {}, None, None, facts.topology, warnings, verdict)


def check_result(reconstruction: Reconstruction) -> None:
    """Refuse a result that can't be looked at.

    Raises:
        EmptyForeground: No faces.
        OptimisationDiverged: A value is not finite; the message names the array.
    """
    if not len(reconstruction.mesh.faces):
        raise EmptyForeground(
            "The reconstruction has no surface.", hint="Check that the masks show the object in white."
        )
    material = reconstruction.material
    arrays = {
        "vertices": reconstruction.mesh.vertices,
        "texture coordinates": reconstruction.uv.coordinates,
        "base colour texture": material.base_color_srgb,
        "occlusion-roughness-metallic texture": material.occlusion_roughness_metallic,
        "environment": reconstruction.environment.radiance_linear,
    }
    for name, array in arrays.items():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise OptimisationDiverged(
                f"{bad} of {array.size} values of the {name} are not finite.", hint="Try another seed."
            )


def view_pair(renderer: TexturedModel, view: View, camera: Camera, *, edge_px: int = 1024) -> ViewPair:
    """A photo and the model from `camera`, the photo's own or a refined one.

    Both have at most `edge_px` on the longer side: the thresholds were set on photos of 512 px.

    Raises:
        BadMasks: The photo has no mask, or an empty one.
    """
    if view.mask is None or view.mask.max() < 128:
        raise BadMasks(
            f"{view.name} has no object in its mask.", hint="Every photo needs one to be compared."
        )
    camera = smaller_camera(camera, edge_px)
    photo = _resized(picture_from_photo(view.image_srgb, view.mask), camera.size)
    return ViewPair(view.name, photo, picture_from_rgba(renderer.view(camera)))


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture at a smaller size; colours are weighted by coverage: the background does not bleed in."""
    if picture.coverage.shape == (size[1], size[0]):
        return picture
    coverage = cv2.resize(picture.coverage, size, interpolation=cv2.INTER_AREA)
    weighted = cv2.resize(
        picture.colour_srgb * picture.coverage[..., None], size, interpolation=cv2.INTER_AREA
    )
    return Picture(weighted / np.maximum(coverage, 1e-6)[..., None], coverage)


def _judged(
    reconstruction: Reconstruction,
    views: tuple[ViewEvidence, ...],
    source: EvidenceSource,
    fit: Capture,
    registered: float,
) -> Evidence:
    """Everything that follows from the compared views."""
    names = [field.name for field in fields(ViewMetrics) if field.name != "gain"]
    numbers = {name: np.array([getattr(view.metrics, name) for view in views]) for name in names}
    means = {name: float(values.mean()) for name, values in numbers.items()}
    cameras = [reconstruction.cameras.get(view.name, view.camera) for view in fit.views]
    seen = visibility(reconstruction.mesh, cameras)
    facts = surface_facts(reconstruction)
    verdict = judge(
        {
            **{name: means[name] for name in ("contour_per_mille", "psnr_db", "ssim", "gmsd", "sharpness")},
            "iou_mean": means["iou"],
            "iou_worst": float(numbers["iou"].min()),
            "views_registered": registered,
            "seen_twice": seen.seen_twice,
            "loose_pieces": facts.loose_pieces,
            "loose_area": facts.loose_area,
            "open_area": facts.open_area,
            "invented_area": facts.invented_area,
        },
        evidence_source=source,
    )
    worst = {
        name: views[int(values.argmax() if name in _SMALLER_IS_BETTER else values.argmin())].photo
        for name, values in numbers.items()
    }
    warnings = _warnings(reconstruction, views, fit, seen, facts)
    return Evidence(
        source, views, means, worst, seen.seen_once, seen.seen_twice, facts.topology, warnings, verdict
    )


def _warnings(
    reconstruction: Reconstruction,
    views: tuple[ViewEvidence, ...],
    fit: Capture,
    seen: Visibility,
    facts: SurfaceFacts,
) -> tuple[Finding, ...]:
    per_photo = {view.photo: view.metrics for view in views}
    cameras = [view.camera for view in fit.views]
    texture_px = max(reconstruction.material.base_color_srgb.shape[:2])
    centre = reconstruction.mesh.vertices.mean(0)
    found = (
        caveats.silhouette_mismatch(per_photo),
        caveats.surface_unseen(seen, fit.delivered_from_world),
        caveats.floaters(facts.loose_pieces, facts.loose_area),
        caveats.open_surface(facts.hole_diameters, facts.longest_side, scale_known=fit.scale_known),
        caveats.non_manifold(facts.non_manifold_edges),
        caveats.texture_soft(float(np.mean([view.metrics.sharpness for view in views])), per_photo),
        caveats.texture_low_res(texels_per_pixel(reconstruction, cameras), texture_px),
        caveats.thin_or_shiny(per_photo),
        caveats.few_views(len(fit.views)),
        caveats.poor_coverage(cameras, centre, fit.delivered_from_world),
        caveats.scale_unknown(scale_known=fit.scale_known),
    )
    return tuple(finding for finding in found if finding is not None)


def texels_per_pixel(reconstruction: Reconstruction, cameras: Sequence[Camera]) -> float:
    """Texels across one photo pixel on a surface that faces the median camera."""
    height, width = reconstruction.material.base_color_srgb.shape[:2]
    corners = reconstruction.uv.coordinates[reconstruction.uv.faces].astype(np.float64) * (width, height)
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    texels = 0.5 * np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]).sum()
    texels_per_unit = np.sqrt(texels / face_areas(reconstruction.mesh).sum())
    centre = reconstruction.mesh.vertices.mean(0)
    pixels_per_unit = [
        camera.intrinsics[0, 0] / np.linalg.norm(camera.world_from_camera[:3, 3] - centre)
        for camera in cameras
    ]
    return float(texels_per_unit / np.median(pixels_per_unit))
