"""Light, exposure, and from covered pixels to the picture that is compared with a photo."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor

from objectscan.engines.nvdiffrec.devices import backend_of
from objectscan.engines.nvdiffrec.field import MaterialSample
from objectscan.render import (
    Hits,
    PrefilteredLight,
    PrefilterOperator,
    antialias,
    linear_from_srgb,
    rasterize,
    scatter_covered,
    shade_split_sum,
    srgb_from_linear,
)

LIGHT_EDGE = 32
"""Texels a side of the learnt cubemap: photos of one object do not constrain more (docs/experiments.md)."""


class Appearance:
    """What all views share besides the surface: the environment, and one colour gain a view."""

    def __init__(self, views: int, *, device: torch.device):
        """A grey environment and unit gains."""
        shape = (6, LIGHT_EDGE, LIGHT_EDGE, 3)
        self.log_radiance = torch.full(shape, -0.2, device=device, requires_grad=True)
        self.log_gains = torch.zeros(views, 3, device=device, requires_grad=True)
        self._prefilter = PrefilterOperator(LIGHT_EDGE)
        self._graphed = self._captured() if self.log_radiance.is_cuda else None

    def radiance(self) -> Float[Tensor, "6 R R 3"]:
        """Linear radiance, positive."""
        return self.log_radiance.exp()

    def light_and_prior(self) -> tuple[PrefilteredLight, Tensor]:
        """The environment filtered for diffuse and specular lookup, and the `regularisation`; differentiable.

        On a GPU both are one CUDA graph each way instead of some hundred launches, and valid until the next
        call.
        """
        if self._graphed is None:
            return self.light(), self.regularisation()
        *levels, prior = self._graphed(self.log_radiance, self.log_gains)
        return PrefilteredLight(levels[-1], tuple(levels)), prior

    def _captured(self) -> Callable[..., tuple[Tensor, ...]]:
        def work(log_radiance: Tensor, log_gains: Tensor) -> tuple[Tensor, ...]:
            light = self._prefilter(log_radiance.exp())
            return (*light.specular, _regularisation(log_radiance, log_gains))

        # Copies: autograd remembers on which stream a tensor was first used, and captures run on another one.
        given = tuple(one.detach().clone().requires_grad_() for one in (self.log_radiance, self.log_gains))
        with warnings.catch_warnings():
            # Said of the copies, whose gradients are asked for and never accumulated.
            warnings.filterwarnings("ignore", "The AccumulateGrad node's stream does not match")
            return cast(Callable[..., tuple[Tensor, ...]], torch.cuda.make_graphed_callables(work, given))

    def light(self) -> PrefilteredLight:
        """The environment filtered for diffuse and specular lookup; differentiable in the radiance."""
        return self._prefilter(self.radiance())

    def regularisation(self) -> Tensor:
        """Priors: the light is white and smooth, gains are near one (else colour, light and gain trade
        freely).
        """
        return _regularisation(self.log_radiance, self.log_gains)

    def gains(self, index: Tensor, hits: Hits) -> Float[Tensor, "P 3"]:
        """The gain of each covered pixel's view."""
        chosen = self.log_gains[index.to(self.log_gains.device, non_blocking=True)]
        gains: Tensor = backend_of(chosen).of_views(chosen.exp(), hits)
        return gains


def _regularisation(log_radiance: Tensor, log_gains: Tensor) -> Tensor:
    radiance = log_radiance.exp()
    chroma = (radiance - radiance.mean(dim=-1, keepdim=True)).abs().mean()
    rough = log_radiance.diff(dim=1).square().mean() + log_radiance.diff(dim=2).square().mean()
    return 0.005 * chroma + 0.01 * rough + 0.5 * log_gains.square().mean()


def shade(
    material: MaterialSample,
    normals: Float[Tensor, "P 3"],
    directions_to_camera: Float[Tensor, "P 3"],
    light: PrefilteredLight,
    gains: Float[Tensor, "P 3"],
) -> Float[Tensor, "P 3"]:
    """SRGB colour of surface points, clipped at white with a small slope so that over-bright pixels can
    return.
    """
    base = linear_from_srgb(material.base_color_srgb)
    linear = shade_split_sum(
        base, material.occlusion_roughness_metallic, normals, directions_to_camera, light
    )
    exposed = linear * gains
    clipped = torch.where(exposed > 1.0, 1.0 + 0.01 * (exposed - 1.0), exposed)
    return srgb_from_linear(clipped)


def render_views(
    clip_positions: Float[Tensor, "B V 4"],
    faces: Int32[Tensor, "F 3"],
    adjacency: Int32[Tensor, "F 3"],
    size: tuple[int, int],
    colour_of: Callable[[Hits], Float[Tensor, "P 3"]],
    *,
    derivatives: bool = False,
) -> Float[Tensor, "B H W 4"]:
    """Antialiased pictures, sRGB multiplied by coverage, and coverage."""
    hits = rasterize(clip_positions, faces, size, derivatives=derivatives)
    colour = colour_of(hits)
    flat = scatter_covered(F.pad(colour, (0, 1), value=1.0), hits)
    return antialias(flat, hits, clip_positions, faces, adjacency)
