"""The same work by both backends and how far apart their results are, for emulated and real GPU tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.shapes import bumpy_sphere, camera_from_world, orbit, perspective, sphere, to_clip
from objectscan.render import antialias, build_adjacency, interpolate, interpolate_covered, rasterize

Result = dict[str, Tensor]


def scene(name: str) -> tuple[Tensor, Tensor, Tensor, tuple[int, int]]:
    """(clip positions, vertices, faces, size) that take every path of the rasteriser."""
    if name == "floor":  # two triangles through the near plane, larger than the picture
        vertices = np.array([[-50, 0, -50], [50, 0, -50], [50, 0, 50], [-50, 0, 50]], float)
        faces = np.array([[0, 1, 2], [0, 2, 3]])
        eyes = [([0.3, 1, 0], [0.3, 0.8, -5]), ([0.3, 1, 0], [2, 0.5, -5])]
        cameras = np.stack([perspective(1.0) @ camera_from_world(eye, target) for eye, target in eyes])
        size = (104, 96)
    else:
        divisions, distance, size = {
            "bumpy": (10, 3.0, (104, 96)),
            "fine": (36, 3.0, (56, 48)),  # triangles smaller than pixels
            "coarse": (1, 2.0, (200, 160)),  # larger than a tile
        }[name]
        vertices, faces = bumpy_sphere(divisions)
        cameras = orbit(2, distance)
    clip = to_clip(vertices, cameras)
    return (
        clip,
        torch.from_numpy(vertices).float(),
        torch.from_numpy(np.ascontiguousarray(faces, np.int32)),
        size,
    )


def random_like(tensor: Tensor, seed: int = 1) -> Tensor:
    """Normal numbers, the same on every device."""
    return torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed)).to(tensor.device)


def render_all(name: str, device: str = "cpu", *, direct: bool = True) -> Result:
    """Every output of rasterize, interpolate and antialias, and every gradient of a loss of all of them.

    `direct`: values send their gradients to the positions with no picture of gradients between.
    """
    clip, vertices, faces, size = scene(name)
    clip, vertices = (tensor.to(device).requires_grad_() for tensor in (clip, vertices))
    faces = faces.to(device)
    hits = rasterize(clip, faces, size, derivatives=True)
    if not direct:
        hits._cache.pop("source", None)
    picture = interpolate(vertices, faces, hits)
    values, slopes = interpolate_covered(vertices, faces, hits, derivatives=True)
    adjacency = build_adjacency(faces)
    smooth = antialias(picture, hits, clip, faces, adjacency)
    assert hits.derivatives is not None
    outputs = {
        "barycentrics": hits.barycentrics, "derivatives": hits.derivatives, "picture": picture,
        "values": values, "slopes": slopes, "smooth": smooth,
    }  # fmt: skip
    result: Result = {"triangle": hits.triangle, "depth": hits.depth, "adjacency": adjacency}
    for key, output in outputs.items():
        loss = (output * random_like(output)).sum()
        gradients = torch.autograd.grad(loss, [clip, vertices], retain_graph=True, allow_unused=True)
        for leaf, gradient in zip(("clip", "vertices"), gradients, strict=True):
            if gradient is not None:
                result[f"d {key} / d {leaf}"] = gradient
    return {key: tensor.detach().cpu() for key, tensor in {**result, **outputs}.items()}


def distance(one: Tensor, other: Tensor) -> float:
    """Norm of the difference over the norm; infinite for shapes that differ and for NaN."""
    if one.shape != other.shape:
        return float("inf")
    norm = float(one.double().norm())
    apart = float((one.double() - other.double()).norm())
    return apart if norm == 0.0 else (apart / norm if np.isfinite(apart) else float("inf"))


def differences(expected: Result, seen: Result) -> dict[str, float]:
    """`distance` of each result; 0 or infinity for whole numbers, which must be equal."""
    assert expected.keys() == seen.keys()
    found = {}
    for key, tensor in expected.items():
        if tensor.is_floating_point():
            found[key] = distance(tensor, seen[key])
        else:
            found[key] = 0.0 if torch.equal(tensor, seen[key]) else float("inf")
    return found


def assert_same(expected: Result, seen: Result) -> dict[str, float]:
    """Whole numbers equal, values within 1e-6, gradients within 1e-5."""
    found = differences(expected, seen)
    limits = {key: 1e-5 if key.startswith("d ") else 1e-6 for key in found}
    wrong = {key: value for key, value in found.items() if not value <= limits[key]}
    assert not wrong, f"too far apart: {wrong}"
    return found


def gradients_of(work: Callable[..., Any], *inputs: Tensor) -> Result:
    """Outputs of `work` and the gradients of a random sum of them in each floating input."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    outputs = work(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = sum((output * random_like(output, seed)).sum() for seed, output in enumerate(outputs))
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    result = {f"output {index}": output.detach().cpu() for index, output in enumerate(outputs)}
    for index, gradient in enumerate(gradients):
        if gradient is not None:
            result[f"d / d {index}"] = gradient.detach().cpu()
    return result


def silhouette_gradient(divisions: int, size_px: int, device: torch.device, max_steps: int = 64) -> float:
    """d(projected area) / d(radius) of a sphere, divided by the analytic value."""
    vertices, faces = sphere(divisions)
    triangles = torch.from_numpy(faces).to(device)
    radius = torch.ones((), dtype=torch.float64, device=device, requires_grad=True)
    points = F.pad(torch.from_numpy(vertices).to(device) * radius, (0, 1), value=1.0)
    cameras = orbit(4)
    clip = (points @ torch.from_numpy(cameras).to(device).transpose(1, 2)).float()
    hits = rasterize(clip, triangles, (size_px, size_px))
    adjacency = build_adjacency(triangles)
    mask = antialias(hits.covered[..., None].float(), hits, clip, triangles, adjacency, max_steps=max_steps)
    (gradient,) = torch.autograd.grad(mask.double().sum() / len(cameras), radius)

    def area(
        r: float,
    ) -> float:  # of the disc that a sphere at distance 3 covers, focal length 2.4 half sizes
        return torch.pi * (2.4 * size_px / 2) ** 2 * r * r / (9 - r * r)

    analytic = (area(1 + 1e-5) - area(1 - 1e-5)) / 2e-5
    return float(gradient) / analytic
