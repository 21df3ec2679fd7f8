from __future__ import annotations

import torch
from tests.engines.reconviagen.vectors import assert_close, vector

from objectscan.engines.reconviagen.refinement_losses import dice_loss, structural_similarity


def test_similarity_of_images_is_that_published():
    v = vector("losses")
    similarity = structural_similarity(v.given["a"], v.given["b"])
    assert_close(similarity, v.expected["ssim_per_image"], tolerance=1e-5)
    assert_close(similarity.mean(), v.expected["ssim_mean"], tolerance=1e-5)
    assert_close((v.given["a"] - v.given["b"]).abs().mean(), v.expected["l1"], tolerance=1e-6)


def test_an_image_is_like_itself():
    images = torch.rand(2, 3, 16, 16)
    assert_close(structural_similarity(images, images), torch.ones(2), tolerance=1e-6)


def test_the_loss_of_occupancy_is_that_published():
    v = vector("ss_refine_dice")
    loss = dice_loss(v.given["logits"], v.given["occupancy"])
    assert_close(loss, v.expected["loss"], tolerance=1e-6)
