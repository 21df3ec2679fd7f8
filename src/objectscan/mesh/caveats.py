"""What a person should know about a result, in words: findings with codes, listed in docs/findings.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from objectscan.mesh.metrics import ViewMetrics
from objectscan.mesh.verdict import PROFILE
from objectscan.mesh.visibility import Visibility
from objectscan.types import Camera, Finding

_THRESHOLDS = {rule.name: rule for rule in PROFILE.rules}
FEW_VIEWS = 12
"""Below this many photos the sides between them are guessed."""
COVERAGE_GAP_DEGREES = 60.0
UNSEEN_SHARE = 0.10
HIGHLIGHT_SHARE = 0.02
"""A fiftieth of the object brighter than the model can explain: more than a few lamp reflections."""
TEXELS_PER_PIXEL = 0.7
_LARGEST_TEXTURE_PX = 8192  # viewers on phones stop at 4096 to 8192


def surface_unseen(seen: Visibility, delivered_from_world: Float[np.ndarray, "4 4"]) -> Finding | None:
    """More than a tenth of the surface was in no photo."""
    unseen = seen.views == 0
    share = float(unseen.mean())
    if share <= UNSEEN_SHARE:
        return None
    up = float((seen.samples.normals[unseen] @ delivered_from_world[1, :3]).mean())
    where, remedy = "on the sides", "between the ones you have"
    if up < -0.3:
        where, remedy = "the underside", "from below"
    elif up > 0.3:
        where, remedy = "the top", "from above"
    return _warning(
        "surface_unseen",
        f"About {100 * share:.0f} % of the surface (mostly {where}) was in no photo. It was closed and "
        f"coloured "
        f"by guess; add 3-4 photos {remedy}.",
    )


def open_surface(hole_sizes: Sequence[float], longest_side: float, *, scale_known: bool) -> Finding | None:
    """The welded mesh has boundary edges. `hole_sizes`: diameter of each hole, world units."""
    if not hole_sizes:
        return None
    size = _length(max(hole_sizes), longest_side, scale_known=scale_known)
    count = _counted(len(hole_sizes), "hole")
    return _warning(
        "open_surface", f"The mesh has {count} (largest {size}). Fine for viewing, not for 3D printing."
    )


def non_manifold(edges: int) -> Finding | None:
    """Edges that join more than two faces."""
    if edges == 0:
        return None
    joins = "edge joins" if edges == 1 else "edges join"
    return _warning(
        "non_manifold",
        f"{edges} {joins} more than two faces; slicers may refuse the mesh. Repair it in a mesh editor "
        f"to print.",
    )


def floaters(pieces: int, area_share: float) -> Finding | None:
    """Components beyond the largest that carry more than 0.5 % of the area, or more than three of them."""
    if area_share <= _THRESHOLDS["loose_area"].high and pieces <= _THRESHOLDS["loose_pieces"].high:
        return None
    return _warning(
        "floaters",
        f"{_counted(pieces, 'loose piece')} with {100 * area_share:.1f} % of the surface float beside "
        f"the object. "
        "Delete them in a mesh editor, or check the masks for background that was left in.",
    )


def texture_soft(sharpness: float, per_photo: Mapping[str, ViewMetrics]) -> Finding | None:
    """The render shows less fine detail than the photos."""
    limit = _THRESHOLDS["sharpness"].high
    if sharpness >= limit:
        return None
    return _warning(
        "texture_soft",
        f"Texture is softer than the photos (detail {sharpness:.2f} of theirs, {limit:.2f} is good): "
        f"blurred shots "
        "or slightly wrong camera poses.",
        tuple(name for name, numbers in per_photo.items() if numbers.sharpness < limit),
    )


def texture_low_res(texels_per_pixel: float, texture_size_px: int) -> Finding | None:
    """The texture has fewer texels than the median photo has pixels on the object."""
    if texels_per_pixel >= TEXELS_PER_PIXEL or texture_size_px >= _LARGEST_TEXTURE_PX:
        return None
    needed_px = texture_size_px * TEXELS_PER_PIXEL / max(texels_per_pixel, 1e-6)
    wanted_px = min(_LARGEST_TEXTURE_PX, 2 ** int(np.ceil(np.log2(needed_px))))
    return _warning(
        "texture_low_res",
        f"The texture holds less detail than your photos ({texels_per_pixel:.2f} texels per photo "
        f"pixel); ask for "
        f"{wanted_px} px.",
    )


def silhouette_mismatch(per_photo: Mapping[str, ViewMetrics]) -> Finding | None:
    """The outline differs in some photos by more than the verdict's worst-view threshold."""
    limit = _THRESHOLDS["iou_worst"].high
    photos = sorted((n for n in per_photo if per_photo[n].iou < limit), key=lambda n: per_photo[n].iou)
    if not photos:
        return None
    worst = f"{photos[0]} (overlap {per_photo[photos[0]].iou:.2f})"
    others = f" and {len(photos) - 1} more" if len(photos) > 1 else ""
    return _warning(
        "silhouette_mismatch",
        f"The outline differs from {worst}{others}; see the difference pictures. Check the masks and "
        f"the camera "
        "of these photos.",
        tuple(photos),
    )


def thin_or_shiny(per_photo: Mapping[str, ViewMetrics]) -> Finding | None:
    """Photos show bright reflections that the model does not have."""
    photos = tuple(name for name, numbers in per_photo.items() if numbers.highlights > HIGHLIGHT_SHARE)
    if not photos:
        return None
    share = max(per_photo[name].highlights for name in photos)
    return _warning(
        "thin_or_shiny",
        f"Up to {100 * share:.0f} % of the object is much brighter in a photo than in the model. Shiny or "
        "transparent parts are unreliable; soft, even light helps.",
        photos,
    )


def few_views(photos: int) -> Finding | None:
    """Fewer photos than a full turn needs."""
    if photos >= FEW_VIEWS:
        return None
    return _warning(
        "few_views",
        f"Only {_counted(photos, 'photo')} went into the model. Parts between them are guessed; take 24 "
        f"or more, "
        "about 15 degrees apart.",
    )


def poor_coverage(
    cameras: Sequence[Camera],
    centre: Float[np.ndarray, "xyz=3"],
    delivered_from_world: Float[np.ndarray, "4 4"],
) -> Finding | None:
    """A gap of more than 60 degrees around the vertical without a photo; 0 is the front (+Z), 90 its "
    "right.
    """
    towards = np.array([camera.world_from_camera[:3, 3] - centre for camera in cameras]).reshape(-1, 3)
    towards = towards @ delivered_from_world[:3, :3].T
    level = np.hypot(towards[:, 0], towards[:, 2]) > 0.35 * np.linalg.norm(
        towards, axis=1
    )  # not from the poles
    angles = np.sort(np.degrees(np.arctan2(towards[level, 0], towards[level, 2])) % 360.0)
    if not len(angles):
        return _warning("poor_coverage", "No photo was taken from the side. Walk around the object once.")
    gaps = np.diff(np.append(angles, angles[0] + 360.0))
    k = int(gaps.argmax())
    if gaps[k] <= COVERAGE_GAP_DEGREES + 0.5:  # six photos 60 degrees apart are a full turn
        return None
    return _warning(
        "poor_coverage",
        f"No photo between {angles[k]:.0f} and {(angles[k] + gaps[k]) % 360.0:.0f} degrees around the "
        f"object (0 is "
        "the front). Add photos there, about 15 degrees apart.",
    )


def scale_unknown(*, scale_known: bool) -> Finding | None:
    """Nothing in the capture tells the real size."""
    if scale_known:
        return None
    return Finding(
        "scale_unknown", "info", "Size is arbitrary: nothing in the photos tells metres. Scale the model."
    )


def _warning(code: str, message: str, photos: tuple[str, ...] = ()) -> Finding:
    return Finding(code, "warning", message, photos)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _length(length: float, longest_side: float, *, scale_known: bool) -> str:
    """Millimetres or centimetres if the scale is known, else a share of the object's longest side."""
    if not scale_known:
        return f"{100 * length / longest_side:.1f} % of the object's longest side"
    return f"{1000 * length:.1f} mm" if length < 0.01 else f"{100 * length:.1f} cm"
