import pytest
import torch

from objectscan.engines.nvdiffrec.photo_loss import STRIDES_PX, PhotoWeights, photo_loss

ONLY = {
    "colour": PhotoWeights(1.0, 0.0, 0.0), "outline": PhotoWeights(0.0, 1.0, 0.0),
    "contrast": PhotoWeights(0.0, 0.0, 1.0),
}  # fmt: skip


def numbers(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pictures():
    """A rendered batch, and photos with a soft mask and a patch that is not known."""
    rendered, target = numbers(2, 17, 21, 4, seed=1), numbers(2, 17, 21, 5, seed=2)
    target[..., 4] = 1.0
    target[:, 3:7, 5:9, 4] = 0.0
    return rendered.requires_grad_(), target


def colour_slowly(rendered, target):
    return ((rendered[..., :3] - target[..., :3]).abs() * target[..., 4:]).sum() / 3


def outline_slowly(rendered, target):
    difference = (rendered[..., 3] - target[..., 3]) * target[..., 4]
    return ((difference.square() + 1e-4).sqrt() - 1e-2).sum()


def contrast_slowly(rendered, target):
    """Whole pictures shifted against each other."""
    inside, error = target[..., 3] * target[..., 4], rendered[..., :3] - target[..., :3]
    total = 0.0
    for stride in STRIDES_PX:
        for axis in (1, 2):
            count = error.shape[axis] - stride
            first, second = (error.narrow(axis, at, count) for at in (0, stride))
            weights = inside.narrow(axis, 0, count) * inside.narrow(axis, stride, count)
            total = total + ((first - second).abs() * weights[..., None]).sum()
    return total / (3 * len(STRIDES_PX))


@pytest.mark.parametrize("twin", [colour_slowly, outline_slowly, contrast_slowly])
def test_each_part_and_its_gradient_equal_the_slow_twin(twin):
    rendered, target = pictures()
    name = twin.__name__.removesuffix("_slowly")
    ours = photo_loss(rendered, target, ONLY[name])
    theirs = twin(rendered, target) / (target[..., 3] * target[..., 4]).sum()
    torch.testing.assert_close(ours.total, theirs, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(ours.parts[list(ONLY).index(name)], theirs.detach(), rtol=1e-6, atol=1e-8)
    gradients = [torch.autograd.grad(value, rendered)[0] for value in (ours.total, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


def test_the_total_is_the_weighted_sum_of_the_parts():
    rendered, target = pictures()
    weights = PhotoWeights(0.7, 1.3, 2.0)
    loss = photo_loss(rendered, target, weights)
    expected = loss.parts @ torch.tensor([0.7, 1.3, 2.0], dtype=torch.float64)
    torch.testing.assert_close(loss.total.detach(), expected)
    assert not loss.parts.requires_grad and bool((loss.parts > 0).all())


def test_a_picture_that_is_evenly_too_dark_has_no_contrast_error():
    _, target = pictures()
    darker = torch.cat([target[..., :3] - 0.25, target[..., 3:4]], dim=-1)
    colour, outline, contrast = photo_loss(darker, target, PhotoWeights(contrast=1.0)).parts.tolist()
    assert colour > 0.2 and abs(outline) < 1e-9 and contrast < 1e-9


def test_unknown_pixels_count_for_nothing_and_background_for_no_contrast():
    rendered, target = pictures()
    target[:, :, :10, 3] = 0.0
    (gradient,) = torch.autograd.grad(photo_loss(rendered, target, ONLY["contrast"]).total, rendered)
    assert not gradient[:, :, :10].any() and not gradient[..., 3].any() and gradient[:, :, 12:, :3].any()
    (gradient,) = torch.autograd.grad(photo_loss(rendered, target, PhotoWeights()).total, rendered)
    assert not gradient[:, 3:7, 5:9].any() and gradient[:, :3].all()


def test_an_object_smaller_than_the_widest_stride_has_contrasts_still():
    rendered, target = numbers(1, 3, 3, 4, seed=3), numbers(1, 3, 3, 5, seed=4)
    assert float(photo_loss(rendered, target, ONLY["contrast"]).total) > 0
    empty = torch.zeros_like(target)
    assert float(photo_loss(rendered, empty, PhotoWeights(contrast=1.0)).total) == pytest.approx(0, abs=1e-6)
