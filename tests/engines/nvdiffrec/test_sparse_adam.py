import numpy as np
import torch

from objectscan.engines.nvdiffrec.sparse_adam import SparseRows, gather_rows


def test_rows_seen_at_every_step_move_as_with_torch():
    start = torch.randn(6, 3)
    rows = SparseRows(start.clone(), betas=(0.9, 0.99))
    reference = start.clone().requires_grad_()
    adam = torch.optim.Adam([reference], lr=0.05, betas=(0.9, 0.99), eps=1e-12)
    target = torch.randn(6, 3)
    for _ in range(20):
        (gather_rows(rows, torch.arange(6)) - target).square().sum().backward()
        rows.step(0.05)
        adam.zero_grad()
        (reference - target).square().sum().backward()
        adam.step()
    np.testing.assert_allclose(rows.values.numpy(), reference.detach().numpy(), atol=1e-4)


def test_gathering_a_row_twice_adds_both_gradients():
    rows = SparseRows(torch.ones(3, 2))
    (gather_rows(rows, torch.tensor([1, 1])) * torch.tensor([[1.0, 2.0], [10.0, 20.0]])).sum().backward()
    np.testing.assert_array_equal(rows.gradient, [[0, 0], [11, 22], [0, 0]])
    np.testing.assert_array_equal(rows.touched, [0, 1, 0])


def test_each_channel_has_its_own_rate():
    rows = SparseRows(torch.zeros(1, 2))
    gather_rows(rows, torch.tensor([0])).sum().backward()
    rows.step(np.array([0.5, 0.0], np.float32))
    np.testing.assert_allclose(rows.values.numpy(), [[-0.5, 0.0]], atol=1e-5)
