from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from objectscan.mesh import caveats
from objectscan.mesh.metrics import ViewMetrics
from objectscan.mesh.visibility import SurfaceSamples, Visibility
from objectscan.types import Camera

UPRIGHT = np.eye(4)
Z_UP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)


def metrics(**changes: float) -> ViewMetrics:
    values = {
        "iou": 0.99,
        "contour_px": 1.0,
        "contour_per_mille": 2.0,
        "psnr_db": 30.0,
        "psnr_white_db": 30.0,
        "ssim": 0.95,
        "gmsd": 0.04,
        "sharpness": 0.9,
        "highlights": 0.0,
    }
    return ViewMetrics(**(values | changes), gain=(1.0, 1.0, 1.0))


def seen(share_unseen: float, normal: tuple[float, float, float]) -> Visibility:
    views = np.where(np.arange(100) < 100 * share_unseen, 0, 3).astype(np.int32)
    normals = np.tile(np.float32(normal), (100, 1))
    return Visibility(SurfaceSamples(np.zeros((100, 3), np.float32), normals), views)


def cameras_at(*azimuths_degrees: float, elevation_degrees: float = 10.0) -> list[Camera]:
    cameras = []
    for azimuth in np.radians(azimuths_degrees):
        elevation = np.radians(elevation_degrees)
        pose = np.eye(4)
        pose[:3, 3] = [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
        cameras.append(Camera(np.eye(3), pose, (8, 8)))
    return cameras


def test_unseen_surface_names_its_share_and_side() -> None:
    below = caveats.surface_unseen(seen(0.18, (0, -1, 0)), UPRIGHT)
    assert below is not None and below.code == "surface_unseen"
    assert "About 18 %" in below.message and "underside" in below.message and "from below" in below.message
    above = caveats.surface_unseen(seen(0.3, (0, 0, 1)), Z_UP)
    assert above is not None and "the top" in above.message
    side = caveats.surface_unseen(seen(0.3, (1, 0, 0)), UPRIGHT)
    assert side is not None and "sides" in side.message
    assert caveats.surface_unseen(seen(0.1, (0, -1, 0)), UPRIGHT) is None


def test_holes_are_counted_and_measured_in_real_units_if_they_are_known() -> None:
    known = caveats.open_surface((0.04, 0.01, 0.002), 0.2, scale_known=True)
    assert known is not None and "3 holes (largest 4.0 cm)" in known.message
    small = caveats.open_surface((0.002,), 0.2, scale_known=True)
    assert small is not None and "1 hole (largest 2.0 mm)" in small.message
    unknown = caveats.open_surface((0.05,), 0.2, scale_known=False)
    assert unknown is not None and "25.0 % of the object's longest side" in unknown.message
    assert caveats.open_surface((), 0.2, scale_known=True) is None


def test_non_manifold_edges_are_counted() -> None:
    assert caveats.non_manifold(0) is None
    one, many = caveats.non_manifold(1), caveats.non_manifold(12)
    assert one is not None and one.message.startswith("1 edge joins")
    assert many is not None and many.message.startswith("12 edges join")


@pytest.mark.parametrize(
    ("pieces", "area", "found"), [(0, 0.0, False), (3, 0.005, False), (4, 0.001, True), (1, 0.006, True)]
)
def test_floaters_matter_by_number_or_by_area(pieces: int, area: float, found: bool) -> None:
    finding = caveats.floaters(pieces, area)
    assert (finding is not None) == found
    assert finding is None or f"{pieces} loose piece" in finding.message


def test_soft_texture_names_the_soft_photos() -> None:
    photos = {"a.jpg": metrics(sharpness=0.5), "b.jpg": metrics(sharpness=0.65)}
    finding = caveats.texture_soft(0.575, photos)
    assert finding is not None and finding.photos == ("a.jpg",) and "0.57" in finding.message
    assert caveats.texture_soft(0.6, photos) is None


def test_a_coarse_texture_asks_for_the_next_size_that_is_enough() -> None:
    assert caveats.texture_low_res(0.7, 1024) is None
    two, four = caveats.texture_low_res(0.5, 1024), caveats.texture_low_res(0.3, 1024)
    assert two is not None and "2048 px" in two.message
    assert four is not None and "4096 px" in four.message
    assert caveats.texture_low_res(0.1, 8192) is None


def test_mismatching_outlines_are_listed_worst_first() -> None:
    photos = {"a.jpg": metrics(iou=0.95), "b.jpg": metrics(iou=0.90), "c.jpg": metrics(iou=0.96)}
    finding = caveats.silhouette_mismatch(photos)
    assert finding is not None and finding.photos == ("b.jpg", "a.jpg")
    assert "b.jpg (overlap 0.90) and 1 more" in finding.message
    assert caveats.silhouette_mismatch({"c.jpg": metrics(iou=0.96)}) is None


def test_unexplained_highlights_are_reported() -> None:
    finding = caveats.thin_or_shiny({"a.jpg": metrics(highlights=0.08), "b.jpg": metrics()})
    assert finding is not None and finding.photos == ("a.jpg",) and "8 %" in finding.message
    assert caveats.thin_or_shiny({"b.jpg": metrics(highlights=0.02)}) is None


def test_few_photos_are_said_to_be_few() -> None:
    assert caveats.few_views(12) is None
    finding = caveats.few_views(1)
    assert finding is not None and "1 photo went" in finding.message


def test_the_gap_around_the_object_is_named_in_degrees() -> None:
    ring = [angle for angle in range(0, 360, 20) if not 90 < angle < 170]
    finding = caveats.poor_coverage(cameras_at(*ring), np.zeros(3), UPRIGHT)
    assert finding is not None and "between 80 and 180 degrees" in finding.message
    assert caveats.poor_coverage(cameras_at(*range(0, 360, 60)), np.zeros(3), UPRIGHT) is None
    wrapped = caveats.poor_coverage(cameras_at(*range(40, 330, 20)), np.zeros(3), UPRIGHT)
    assert wrapped is not None and "between 320 and 40 degrees" in wrapped.message


def test_photos_from_straight_above_do_not_fill_a_gap() -> None:
    from_above = cameras_at(0, 90, 180, 270, elevation_degrees=85)
    finding = caveats.poor_coverage(from_above, np.zeros(3), UPRIGHT)
    assert finding is not None and "from the side" in finding.message


def test_unknown_scale_is_information_not_a_warning() -> None:
    finding = caveats.scale_unknown(scale_known=False)
    assert finding is not None and finding.severity == "info"
    assert caveats.scale_unknown(scale_known=True) is None


def test_every_code_is_documented() -> None:
    """docs/findings.md lists each code of the module, with what to do."""
    root = Path(__file__).parents[2]
    codes = re.findall(
        r'_warning\(\s*"(\w+)"|Finding\(\s*"(\w+)"', (root / "src/objectscan/mesh/caveats.py").read_text()
    )
    documented = (root / "docs/findings.md").read_text()
    assert len(codes) >= 11
    assert all(f"`{first or second}`" in documented for first, second in codes)
