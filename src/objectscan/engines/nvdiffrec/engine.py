"""The engine `nvdiffrec`: hull, free surface, bridge, refinement. Read `reconstruct`; the rest serves it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from objectscan.engines.nvdiffrec.appearance import LIGHT_EDGE, Appearance
from objectscan.engines.nvdiffrec.bridge import TexturedStart, bridge
from objectscan.engines.nvdiffrec.cameras import ViewCameras
from objectscan.engines.nvdiffrec.field import TextureField
from objectscan.engines.nvdiffrec.prior import seen_vertices, unseen_faces, with_earlier_colours
from objectscan.engines.nvdiffrec.refine_pass import Refined, RefinePass
from objectscan.engines.nvdiffrec.shape_pass import ShapePass
from objectscan.engines.nvdiffrec.start import StartingSurface, given_surface, starting_surface
from objectscan.engines.nvdiffrec.surface_grid import SurfaceGrid
from objectscan.engines.nvdiffrec.textures import material_from_texels
from objectscan.errors import BadCameras
from objectscan.recipes import Recipe
from objectscan.render.warmup import load_kernels
from objectscan.settings import Settings
from objectscan.types import (
    Camera,
    Capture,
    Checkpoints,
    Environment,
    Finding,
    Mesh,
    PassReport,
    Progress,
    ProgressFn,
    Reconstruction,
    UvMap,
)


@dataclass(frozen=True, slots=True)
class _Setup:
    """What both passes share, made anew from capture and recipe on every (re)start."""

    grid: SurfaceGrid
    field: TextureField
    appearance: Appearance
    cameras: ViewCameras
    is_given: bool
    """Whether the surface stood before: then only what is seen of it moves."""


class NvdiffrecEngine:
    """Optimises geometry, PBR materials and light from posed, masked photos (Munkberg et al., CVPR 2022)."""

    name = "nvdiffrec"
    stages: tuple[tuple[str, float], ...] = (
        ("hull", 0.01),
        ("stereo", 0.22),
        ("shape", 0.58),
        ("bridge", 0.01),
        ("refine", 0.18),
    )

    def __init__(self) -> None:
        """On the CPU, until `prepare` says otherwise."""
        self._device = torch.device("cpu")

    def memory_bytes(self, capture: Capture, recipe: Recipe) -> int:
        """Photos of the finest level, the grid with its optimiser state, one step's tensors (measured
        factors).
        """
        edge_px = max(*recipe.shape.image_edges_px, recipe.refine.image_edge_px)
        pixels = [
            np.prod([side * min(1.0, edge_px / max(view.camera.size)) for side in view.camera.size])
            for view in capture.views
        ]
        photos = 6 * sum(pixels)
        batch = max(recipe.shape.views_per_step, recipe.refine.views_per_step)
        grid = 150 * max(recipe.shape.resolutions) ** 3
        textures = 110 * recipe.budget.texture_size_px**2
        return int(photos + 900 * batch * max(pixels) + grid + textures + 0.6e9)

    def prepare(self, device: str, settings: Settings) -> None:
        """Choose the device and load the renderer's kernels: 1.8 s in a new process, 5 ms from then on."""
        self._device = torch.device(device)
        load_kernels(device)

    def reconstruct(
        self, capture: Capture, recipe: Recipe, *, seed: int, report: ProgressFn, checkpoints: Checkpoints,
        prior: Reconstruction | None = None,
    ) -> Reconstruction:  # fmt: skip
        """See `engines.base.Engine.reconstruct`.

        Args:
            capture: Views with masks and cameras.
            recipe: Sizes and steps.
            seed: Results repeat for a seed on one machine.
            report: Receives progress.
            checkpoints: What an earlier run kept.
            prior: A surface to begin at in place of the visual hull, in the capture's world. What no view
                shows of it stays as it is, in shape and colour, and is told in `invented_faces`.

        Raises:
            BadCameras: The capture's cameras are not known.
        """
        if not capture.cameras_known:
            raise BadCameras(
                "The engine 'nvdiffrec' needs cameras, and this capture has none.",
                hint="Give a folder of plain photos, so that they are found, or use --engine reconviagen.",
            )
        torch.manual_seed(seed)
        shape_rng, refine_rng = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
        surface = (
            starting_surface(
                capture, recipe, seed=seed, report=report, checkpoints=checkpoints, device=self._device
            )
            if prior is None
            else given_surface(prior.mesh, capture, recipe, report)
        )
        setup = self._setup(surface, capture, recipe)
        mesh, shape_report = self._shape(setup, capture, recipe, shape_rng, report, checkpoints)
        start = self._bridge(mesh, setup, capture, recipe, report, checkpoints)
        seen = None if prior is None else seen_vertices(start.mesh, [view.camera for view in capture.views])
        if prior is not None and seen is not None:
            texels = with_earlier_colours(start.texels, start.mesh, start.uv, prior, seen)
            start = dataclasses.replace(start, texels=texels)
        refine = RefinePass(
            start, setup.appearance, setup.cameras, capture.views, recipe.refine,
            held=None if seen is None else ~seen,
        )  # fmt: skip
        refined = refine.run(refine_rng, report)
        result = self._result(refined, start, setup, capture, recipe, (shape_report, refined.report))
        if seen is None:
            return result
        return dataclasses.replace(result, invented_faces=unseen_faces(result.mesh, seen))

    def _setup(self, start: StartingSurface, capture: Capture, recipe: Recipe) -> _Setup:
        # The texture field covers the cube around the box, with room for a surface that grows while it is
        # fitted.
        centre, radius = start.box.mean(axis=0), 0.55 * start.longest_side
        return _Setup(
            grid=SurfaceGrid(start, recipe.shape, device=self._device),
            field=TextureField(centre - radius, 2 * radius, device=self._device),
            appearance=Appearance(len(capture.views), device=self._device),
            cameras=ViewCameras(
                len(capture.views), centre, radius, learn=recipe.refine_cameras, device=self._device
            ),
            is_given=start.given is not None,
        )

    def _shape(
        self, setup: _Setup, capture: Capture, recipe: Recipe, rng: np.random.Generator, report: ProgressFn,
        checkpoints: Checkpoints,
    ) -> tuple[Mesh, PassReport]:  # fmt: skip
        saved = checkpoints.load("shape")
        if saved is None:
            shape = ShapePass(
                setup.grid, setup.field, setup.appearance, setup.cameras, capture.views, recipe.shape,
                only_seen=setup.is_given,
            )  # fmt: skip
            mesh, pass_report = shape.run(rng, report)
            saved = {
                "vertices": mesh.vertices, "faces": mesh.faces, "field": setup.field.rows.saved(),
                **_shared_state(setup), **_report_arrays(pass_report),
            }  # fmt: skip
            checkpoints.save("shape", saved)
            return mesh, pass_report
        setup.field.rows.load(saved["field"])
        _restore_shared(setup, saved)
        return Mesh(saved["vertices"], saved["faces"]), _report_from("shape", saved)

    def _bridge(
        self,
        mesh: Mesh,
        setup: _Setup,
        capture: Capture,
        recipe: Recipe,
        report: ProgressFn,
        checkpoints: Checkpoints,
    ) -> TexturedStart:
        report(Progress("bridge", 0.0))
        saved = checkpoints.load("bridge")
        if saved is None:
            start = bridge(mesh, setup.field, capture.views, recipe.budget, report)
            saved = {
                "vertices": start.mesh.vertices, "faces": start.mesh.faces, "texels": start.texels,
                "uv": start.uv.coordinates, "uv_faces": start.uv.faces,
                "findings": np.array(json.dumps([dataclasses.asdict(finding) for finding in start.findings])),
            }  # fmt: skip
            checkpoints.save("bridge", saved)
        report(Progress("bridge", 1.0))
        findings = tuple(
            Finding(**{**f, "photos": tuple(f["photos"])}) for f in json.loads(str(saved["findings"]))
        )
        mesh, uv = Mesh(saved["vertices"], saved["faces"]), UvMap(saved["uv"], saved["uv_faces"])
        return TexturedStart(mesh, uv, saved["texels"], findings)

    def _result(
        self, refined: Refined, start: TexturedStart, setup: _Setup, capture: Capture, recipe: Recipe,
        passes: tuple[PassReport, ...],
    ) -> Reconstruction:  # fmt: skip
        radiance = setup.appearance.radiance().detach().cpu().numpy().astype(np.float32)
        return Reconstruction(
            mesh=refined.mesh,
            uv=start.uv,
            material=material_from_texels(refined.texels),
            environment=Environment(radiance.reshape(6, LIGHT_EDGE, LIGHT_EDGE, 3)),
            passes=passes,
            cameras=_refined_cameras(setup, capture) if recipe.refine_cameras else {},
            findings=start.findings,
        )


def _refined_cameras(setup: _Setup, capture: Capture) -> dict[str, Camera]:
    given = np.stack([np.linalg.inv(view.camera.world_from_camera) for view in capture.views])
    camera_from_world, zoom = setup.cameras.corrected(given)
    cameras = {}
    for view, matrix, factor in zip(capture.views, camera_from_world, zoom, strict=True):
        intrinsics = view.camera.intrinsics.copy()
        intrinsics[0, 0] *= factor
        intrinsics[1, 1] *= factor
        cameras[view.name] = Camera(intrinsics, np.linalg.inv(matrix), view.camera.size)
    return cameras


def _shared_state(setup: _Setup) -> dict[str, np.ndarray]:
    return {
        "log_radiance": setup.appearance.log_radiance.detach().cpu().numpy(),
        "log_gains": setup.appearance.log_gains.detach().cpu().numpy(),
        "camera_delta": setup.cameras.delta.detach().cpu().numpy(),
    }


def _restore_shared(setup: _Setup, saved: Mapping[str, np.ndarray]) -> None:
    with torch.no_grad():
        setup.appearance.log_radiance.copy_(torch.from_numpy(saved["log_radiance"]))
        setup.appearance.log_gains.copy_(torch.from_numpy(saved["log_gains"]))
        setup.cameras.delta.copy_(torch.from_numpy(saved["camera_delta"]))


def _report_arrays(report: PassReport) -> dict[str, np.ndarray]:
    names = sorted(report.facts)
    return {
        "pass_steps": np.array(report.steps),
        "pass_seconds": np.array(report.seconds),
        "fact_names": np.array(names),
        "fact_values": np.array([report.facts[name] for name in names]),
    }


def _report_from(name: str, saved: Mapping[str, np.ndarray]) -> PassReport:
    facts = dict(zip(saved["fact_names"].tolist(), saved["fact_values"].tolist(), strict=True))
    return PassReport(name, int(saved["pass_steps"]), float(saved["pass_seconds"]), facts)
