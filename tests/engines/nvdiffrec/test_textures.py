import numpy as np
import torch

from objectscan.engines.nvdiffrec.textures import CHANNELS, LearntTextures, material_from_texels


def test_lookup_at_texel_centres_gives_the_texels():
    texels = np.random.default_rng(0).random((8, 8, CHANNELS)).astype(np.float32)
    rows, columns = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    uv = np.stack([(columns + 0.5) / 8, (rows + 0.5) / 8], axis=-1).reshape(-1, 2).astype(np.float32)
    values = LearntTextures(texels)(torch.from_numpy(uv)).detach().numpy()
    np.testing.assert_allclose(values, texels.reshape(-1, CHANNELS), atol=1e-6)


def test_a_step_towards_a_colour_reaches_it_and_leaves_other_texels():
    textures = LearntTextures(np.full((16, 16, CHANNELS), 0.5, np.float32))
    uv = torch.tensor([[0.25, 0.25]])
    for _ in range(200):
        (textures(uv)[:, :3] - torch.tensor([0.9, 0.1, 0.3])).square().sum().backward()
        textures.step(np.full(CHANNELS, 0.02, np.float32))
    np.testing.assert_allclose(textures(uv)[0, :3].detach().numpy(), [0.9, 0.1, 0.3], atol=0.02)
    assert (textures.texels()[10:, 10:] == 0.5).all()


def test_values_stay_in_range():
    textures = LearntTextures(np.full((4, 4, CHANNELS), 0.5, np.float32))
    for _ in range(50):
        textures(torch.tensor([[0.5, 0.5]])).sum().backward()
        textures.step(np.full(CHANNELS, 0.1, np.float32))
    assert textures.texels()[..., :3].min() >= 0.0
    assert textures.texels()[..., 4].min() >= 0.08 - 1e-6


def test_no_slope_means_a_normal_straight_out():
    texels = np.zeros((2, 2, CHANNELS), np.float32)
    np.testing.assert_array_equal(material_from_texels(texels).normal, np.broadcast_to([0, 0, 1], (2, 2, 3)))
