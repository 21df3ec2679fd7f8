"""Time and memory of the generative engine in full size on a GPU, with random weights: JSON.

    PYTHONPATH=src python benchmarks/generative.py [--out FILE] [--photos 1 4 8 16]

The weights have the published names, shapes and types and are made on the device: nothing is read or
downloaded. Random weights decide nothing sensible, so that two things are put in their place: the occupied
voxels (a ball's shell of about 20,000, as many as published results have) and the sign of the decoded field
(a ball). All steps, sizes and types are the published ones. Making the weights is not counted, and neither
would be reading them from disk. Needs torch with CUDA, numpy, jaxtyping, safetensors.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.engines.reconviagen import stages
from objectscan.engines.reconviagen.networks import published
from objectscan.engines.reconviagen.networks.convolution import VoxelConvolution3
from objectscan.engines.reconviagen.networks.voxels import Voxels
from objectscan.engines.reconviagen.preparation import EDGE_PX
from objectscan.engines.reconviagen.stages import Arrays, GenerationOptions
from objectscan.engines.reconviagen.surface import CORNERS, surface

PHOTOS = (1, 4, 8, 16)
_RESOLUTION = 64
_BALL_RADIUS, _HALF_THICKNESS = 24.0, 1.4
"""Of the shell of occupied voxels, in voxels."""
_CONVOLUTION_CHANNELS = 96
"""Of the mesh decoder's last and largest layers."""
_GAIN = 0.5
"""Of random matrices: below 1, so that no sum of half-precision blocks overflows."""


class RandomNetworks:
    """Networks of published sizes and types with random weights; keeps the time that making them took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def open(self, name: str, device: torch.device, *, part: str = "") -> Iterator[Any]:
        """See `NetworkSource.open`."""
        began = _now(device)
        tensors = {
            key: _random(key, spec, device)
            for key, spec in published.manifest(name).items()
            if published.is_used(key)
        }
        network = published.filled(published.network_shell(name), tensors)
        del tensors
        if name == published.STRUCTURE_DECODER:  # random logits may leave no voxel occupied
            network.out_layer[-1].weight.zero_()
            network.out_layer[-1].bias.fill_(1.0)
        self.seconds += _now(device) - began
        try:
            yield network.get_submodule(part)
        finally:
            del network
            if device.type == "cuda":
                torch.cuda.empty_cache()


class Meter:
    """Seconds and peak memory of named pieces of work."""

    def __init__(self, device: torch.device, networks: RandomNetworks):
        self._device, self._networks = device, networks
        self.rows: dict[str, dict[str, float]] = {}

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work and note what it took, without making weights."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        making_s, began = self._networks.seconds, _now(self._device)
        result = work()
        spent_s = _now(self._device) - began
        made_s = self._networks.seconds - making_s
        peak = torch.cuda.max_memory_allocated() if self._device.type == "cuda" else 0
        self.rows[name] = {
            "seconds": round(spent_s - made_s, 4),
            "peak_gb": round(peak / 1e9, 3),
            "weights_made_s": round(made_s, 3),
        }
        return result


@torch.inference_mode()
def generation(photos: int, options: GenerationOptions) -> dict[str, Any]:
    """All stages once, for so many photos."""
    networks = RandomNetworks()
    meter = Meter(options.device, networks)
    images = torch.rand(photos, 3, EDGE_PX, EDGE_PX, generator=torch.Generator().manual_seed(photos))
    tokens = meter.run("conditions", lambda: stages.conditions(images, networks, options, _ignore))
    grid = meter.run(
        "structure", lambda: stages.structure(tokens["structure"], networks, options, 0, _ignore)
    )
    grid = {**grid, "coordinates": shell_of_ball()}
    latents = meter.run(
        "latents", lambda: stages.latents(grid, tokens["latents"], networks, options, _ignore)["latents"]
    )
    # Random flows end anywhere; the decoders were made for numbers of about this size.
    latents = np.random.default_rng(0).normal(size=latents.shape).astype(np.float32)
    faces = _decoded(grid, latents, networks, options, meter)
    meter.run(
        "gaussians",
        lambda: stages.decoded_gaussians(
            grid["coordinates"], latents, resolution=_RESOLUTION, networks=networks, device=options.device
        ),
    )
    counted = [row for name, row in meter.rows.items() if name != "gaussians"]
    return {
        "photos": photos,
        "voxels": len(grid["coordinates"]),
        "faces": faces,
        "stages": meter.rows,
        "seconds_without_gaussians": round(sum(row["seconds"] for row in counted), 3),
        "peak_gb": max(row["peak_gb"] for row in meter.rows.values()),
    }


def _decoded(
    grid: Arrays, latents: np.ndarray, networks: RandomNetworks, options: GenerationOptions, meter: Meter
) -> int:
    """Faces of the decoded surface."""
    device = options.device
    item = np.zeros((len(latents), 1), np.int32)
    coordinates = torch.from_numpy(np.concatenate([item, grid["coordinates"]], axis=1)).to(device)
    source = torch.from_numpy(latents).to(device)

    def decode() -> tuple[Tensor, Voxels]:
        with networks.open(published.MESH_DECODER, device) as decoder:
            return decoder(source, Voxels(coordinates))

    features, fine = meter.run("surface network", decode)
    features[:, :8] = ball_field(fine.coordinates[:, 1:])
    mesh = meter.run(
        "surface extraction", lambda: surface(features, fine.coordinates[:, 1:], resolution=4 * _RESOLUTION)
    )
    return len(mesh.faces)


def shell_of_ball(radius: float = _BALL_RADIUS) -> np.ndarray:
    """Occupied voxels [T 3] around a ball's surface in a grid of 64^3, in the order of `occupied_voxels`."""
    centres = np.indices((_RESOLUTION,) * 3).reshape(3, -1).T
    distance = np.linalg.norm(centres + 0.5 - _RESOLUTION / 2, axis=1)
    return centres[np.abs(distance - radius) < _HALF_THICKNESS].astype(np.int32)


def ball_field(cells: Tensor) -> Tensor:
    """Signed distance from the ball at the eight corners of fine voxels, negative inside."""
    corners = cells[:, None] + torch.tensor(CORNERS, device=cells.device)
    fine = 4 * _RESOLUTION
    return ((corners / fine - 0.5).norm(dim=2) - _BALL_RADIUS / _RESOLUTION).float()


@torch.inference_mode()
def convolution(device: torch.device) -> dict[str, float]:
    """A 3x3x3 convolution over about a million voxels, and what memory traffic alone would take.

    `floor_ideal_ms`: each input row and each output row moves once. `floor_gather_ms`: each of a voxel's
    neighbours is gathered from memory once, each output row written once. Both at the bandwidth of a copy.
    """
    item = np.zeros((len(shell := shell_of_ball()), 1), np.int32)
    coarse = Voxels(torch.from_numpy(np.concatenate([item, shell], axis=1)).to(device))
    voxels = coarse.subdivided.subdivided
    channels = _CONVOLUTION_CHANNELS
    layer = VoxelConvolution3(channels, channels).to(device, torch.float16)
    rows = torch.randn(len(voxels), channels, device=device).half()
    tables_s = _median_s(lambda: Voxels(voxels.coordinates).pairs, device, repeats=3)
    seconds = _median_s(lambda: layer(rows, voxels), device)
    pairs = len(voxels) + sum(len(pairs.rows) for pairs in voxels.pairs)
    row_bytes = 2 * channels
    block = torch.empty(1 << 30 if device.type == "cuda" else 1 << 26, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    bytes_per_s = 2 * block.numel() / _median_s(lambda: other.copy_(block), device)
    ideal_s = 2 * len(voxels) * row_bytes / bytes_per_s
    gather_s = (pairs + len(voxels)) * row_bytes / bytes_per_s
    return {
        "voxels": len(voxels),
        "channels": channels,
        "neighbours_mean": round(pairs / len(voxels), 2),
        "copy_gb_per_s": round(bytes_per_s / 1e9, 1),
        "milliseconds": round(1e3 * seconds, 3),
        "tables_ms": round(1e3 * tables_s, 3),
        "floor_ideal_ms": round(1e3 * ideal_s, 3),
        "floor_gather_ms": round(1e3 * gather_s, 3),
        "times_floor_ideal": round(seconds / ideal_s, 2),
        "times_floor_gather": round(seconds / gather_s, 2),
        "tflop_per_s": round(2 * pairs * channels**2 / seconds / 1e12, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file; it is printed anyway")
    parser.add_argument("--photos", type=int, nargs="+", default=PHOTOS)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    began = perf_counter()
    options = GenerationOptions(device=device)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "steps": {"structure": options.structure.steps, "latents": options.latents.steps},
        "weights": "random, published names, shapes and types",
        "convolution": convolution(device),
    }
    generation(1, options)  # the first run chooses algorithms
    result["generation"] = []
    for photos in arguments.photos:
        result["generation"].append(generation(photos, options))
        _write(result, arguments.out)  # what is measured is kept if a larger run fails
    result["benchmark_seconds"] = round(perf_counter() - began, 1)
    _write(result, arguments.out)
    print(json.dumps(result, indent=1))


def _write(result: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


def _random(key: str, spec: published.TensorSpec, device: torch.device) -> Tensor:
    """Ones for norms, small numbers for vectors, rows of length `_GAIN` for matrices."""
    values = torch.empty(spec.shape, dtype=spec.dtype, device=device)
    if key.endswith("gamma") or ("norm" in key and key.endswith("weight")):
        return values.fill_(1.0)
    if len(spec.shape) < 2:
        return values.normal_(0.0, 0.02)
    return values.normal_(0.0, _GAIN * (values.numel() / spec.shape[0]) ** -0.5)


def _median_s(work: Callable[[], Any], device: torch.device, *, repeats: int = 11) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = _now(device)
        work()
        times.append(_now(device) - began)
    return float(np.median(times))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter()


def _ignore(share: float) -> None:
    """Progress that nobody follows."""


if __name__ == "__main__":
    main()
