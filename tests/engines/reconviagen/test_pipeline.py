from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.engines.reconviagen.tiny import EDGE_PX, OPTIONS, cut_outs, tiny_networks, write_weights

from objectscan.engines.reconviagen.network_source import StoredNetworks
from objectscan.engines.reconviagen.networks import published
from objectscan.engines.reconviagen.pipeline import STAGES, Generated, generate
from objectscan.engines.reconviagen.stages import GenerationOptions, decoded_gaussians
from objectscan.errors import BadMasks, Cancelled, EmptyForeground, OptimisationDiverged, TooFewViews
from objectscan.types import Checkpoints, NoCheckpoints, Progress, ProgressFn, ignore_progress


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> StoredNetworks:
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return tiny_networks(folder)


class Memory:
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.saved: dict[str, dict[str, np.ndarray]] = {}

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        return self.saved.get(name)

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.saved[name] = dict(arrays)


class Opened:
    """A source that writes down which networks were opened, and may spoil one of them."""

    def __init__(self, source: StoredNetworks, *, spoilt: str = "", value: float = 0.0):
        self.source, self.spoilt, self.value = source, spoilt, value
        self.names: list[str] = []
        self.open_now = 0

    def open(self, name: str, device: torch.device, *, part: str = "") -> AbstractContextManager[Any]:
        return self._open(name, device, part)

    @contextmanager
    def _open(self, name: str, device: torch.device, part: str) -> Iterator[Any]:
        self.names.append(name)
        self.open_now += 1
        assert self.open_now == 1, "two networks at once"
        with self.source.open(name, device, part=part) as network:
            if name == self.spoilt:
                layer = network.out_layer[-1] if name == published.STRUCTURE_DECODER else network.out_layer
                layer.weight.zero_()
                layer.bias.fill_(self.value)
            yield network
        self.open_now -= 1


def run(
    source: Any,
    *,
    photos: int = 2,
    options: GenerationOptions = OPTIONS,
    seed: int = 3,
    report: ProgressFn = ignore_progress,
    checkpoints: Checkpoints | None = None,
) -> Generated:
    return generate(
        cut_outs(photos), source, options, seed=seed, report=report,
        checkpoints=checkpoints or NoCheckpoints(), edge_px=EDGE_PX,
    )  # fmt: skip


def test_photos_become_a_coloured_mesh(networks: StoredNetworks):
    result = run(networks)
    vertices, faces = result.mesh.vertices, result.mesh.faces
    assert len(vertices) > 100
    assert np.abs(vertices).max() <= 0.5 + 0.5 / 32  # corners move by up to half a voxel
    assert faces.min() == 0 and faces.max() == len(vertices) - 1
    assert result.colours_srgb.shape == vertices.shape
    assert 0 <= result.colours_srgb.min() < result.colours_srgb.max() <= 1
    assert [report.name for report in result.passes] == list(STAGES)
    assert [report.steps for report in result.passes] == [0, 4, 3, 0]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(networks: StoredNetworks):
    first, again, other = run(networks), run(networks), run(networks, seed=4)
    assert first.mesh.vertices.tobytes() == again.mesh.vertices.tobytes()
    assert first.colours_srgb.tobytes() == again.colours_srgb.tobytes()
    assert first.mesh.vertices.tobytes() != other.mesh.vertices.tobytes()


def test_noise_is_drawn_as_published(networks: StoredNetworks):
    """One generator on the CPU: the structure's noise, then the latents'."""
    memory = Memory()
    run(networks, checkpoints=memory)
    torch.manual_seed(3)
    torch.randn(1, 8, 2, 2, 2)
    state = torch.from_numpy(memory.saved["structure"]["random_state"])
    rng = torch.Generator()
    rng.set_state(state)
    assert torch.equal(torch.randn(20, 8, generator=rng), torch.randn(20, 8))


@pytest.mark.parametrize("kept", range(1, len(STAGES) + 1))
def test_each_stage_is_resumed_to_the_same_bytes(networks: StoredNetworks, kept: int):
    memory = Memory()
    whole = run(networks, checkpoints=memory)
    for name in STAGES[kept:]:
        del memory.saved[name]
    source = Opened(networks)
    resumed = run(source, checkpoints=memory)
    assert resumed.mesh.vertices.tobytes() == whole.mesh.vertices.tobytes()
    assert resumed.colours_srgb.tobytes() == whole.colours_srgb.tobytes()
    first_network = [published.STRUCTURE_FLOW, published.LATENT_FLOW, published.MESH_DECODER, None][kept - 1]
    assert (source.names[0] if source.names else None) == first_network


def test_networks_are_on_the_device_one_at_a_time(networks: StoredNetworks):
    source = Opened(networks)
    run(source)
    assert source.names == [name for name in published.NETWORKS if name != published.GAUSSIAN_DECODER]
    assert source.open_now == 0


def test_progress_comes_with_each_step(networks: StoredNetworks):
    messages: list[Progress] = []
    run(networks, report=messages.append)
    fractions = [message.fraction for message in messages if message.stage == "structure"]
    assert fractions == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert list(dict.fromkeys(message.stage for message in messages)) == list(STAGES)


def test_it_stops_between_steps_and_keeps_what_is_finished(networks: StoredNetworks):
    def stop(progress: Progress) -> None:
        if progress.stage == "latents" and progress.fraction > 0.3:
            raise Cancelled("stopped")

    memory = Memory()
    with pytest.raises(Cancelled):
        run(networks, report=stop, checkpoints=memory)
    assert set(memory.saved) == {"conditions", "structure"}


def test_the_order_of_the_photos_matters_to_geometry(networks: StoredNetworks):
    memories = Memory(), Memory()
    for memory, photos in zip(memories, (cut_outs(2), cut_outs(2)[::-1]), strict=True):
        generate(
            photos, networks, OPTIONS, seed=3, report=ignore_progress, checkpoints=memory, edge_px=EDGE_PX
        )
    first, second = (memory.saved["conditions"]["latents"] for memory in memories)
    assert np.abs(first - second[::-1]).max() > 1e-3


def test_without_vggt_each_view_steers_in_turn(networks: StoredNetworks):
    source, memory = Opened(networks), Memory()
    result = run(source, photos=3, options=replace(OPTIONS, conditions="trellis"), checkpoints=memory)
    assert published.VGGT not in source.names
    assert memory.saved["conditions"]["structure"].shape[0] == 3
    assert len(result.mesh.faces) > 100


def test_gaussians_are_decoded_from_the_result(networks: StoredNetworks):
    result = run(networks)
    gaussians = decoded_gaussians(
        result.coordinates, result.latents, resolution=result.resolution, networks=networks,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert len(gaussians.positions) == 4 * len(result.coordinates)
    assert float(gaussians.positions.abs().max()) < 0.6
    assert float(gaussians.scales.min()) > 0


def test_an_empty_structure_is_an_error(networks: StoredNetworks):
    with pytest.raises(EmptyForeground, match="no voxel"):
        run(Opened(networks, spoilt=published.STRUCTURE_DECODER, value=-1.0))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (published.STRUCTURE_FLOW, "state of the structure .* step 1"),
        (published.LATENT_FLOW, "state of the latents .* step 1"),
        (published.MESH_DECODER, "surface features"),
    ],
)
def test_a_value_that_is_undefined_names_its_stage(networks: StoredNetworks, name: str, words: str):
    with pytest.raises(OptimisationDiverged, match=words):
        run(Opened(networks, spoilt=name, value=float("nan")))


def test_no_photos_and_empty_photos_are_refused(networks: StoredNetworks):
    with pytest.raises(TooFewViews):
        run(networks, photos=0)
    photos = cut_outs(2)
    photos[1].rgba_srgb[..., 3] = 0
    with pytest.raises(BadMasks, match=r"photo1\.png"):
        generate(photos, networks, OPTIONS, seed=0, report=ignore_progress, checkpoints=NoCheckpoints())
