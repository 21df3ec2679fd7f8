from __future__ import annotations

import numpy as np
import torch
from tests.engines.reconviagen.vectors import assert_close, vector

from objectscan.engines.reconviagen.gaussians import VOXEL_SIZE, activated
from objectscan.engines.reconviagen.hammersley import view_angles_rad, voxel_offsets


def test_gaussians_are_those_published():
    v = vector("slat_gs_decoder")
    coordinates = v.given["coords"][:, 1:]
    gaussians = activated(v.expected["features"], coordinates, v.state["offset_perturbation"], resolution=8)
    assert_close(gaussians.positions, v.expected["xyz"], tolerance=1e-6)
    # The published viewer clips colours only when it draws.
    assert_close(gaussians.colours, v.expected["color"].clamp(0, 1), tolerance=1e-5)
    assert_close(gaussians.opacities, v.expected["opacity"][:, 0], tolerance=1e-5)
    assert_close(gaussians.scales, v.expected["scaling"], tolerance=1e-6)
    rotations = torch.nn.functional.normalize(v.expected["rotation"], dim=1)
    assert_close(gaussians.rotations, rotations, tolerance=1e-5)
    upper = torch.triu_indices(3, 3)
    covariances = gaussians.covariances()[:, upper[0], upper[1]]
    torch.testing.assert_close(covariances, v.expected["covariance"], rtol=1e-4, atol=1e-9)


def test_spread_points_are_those_published():
    v = vector("hammersley")
    offsets = voxel_offsets(32, voxel_size=VOXEL_SIZE)
    np.testing.assert_allclose(offsets, v.expected["offset_perturbation_32"].numpy(), atol=1e-6)
    for count in (30, 100):
        expected = v.expected[f"sphere_{count}_yaw_pitch"].numpy()
        np.testing.assert_allclose(view_angles_rad(count), expected, atol=1e-12)
