import numpy as np
import torch

from objectscan.engines.nvdiffrec.field import CHANNELS, TextureField


def _filled(cells: tuple[int, ...]) -> TextureField:
    field = TextureField(np.array([-1.0, -1.0, -1.0]), 2.0, cells)
    field.rows.values.numpy()[:] = np.random.default_rng(0).standard_normal(field.rows.values.numpy().shape)
    return field


def _slow(field: TextureField, point: np.ndarray) -> np.ndarray:
    """Sum over levels of the eight weighted corners, one at a time."""
    total = np.zeros(CHANNELS)
    unit = (point + 1.0) / 2.0
    for level, n in enumerate(field.layout.cells):
        low = np.minimum((unit * n).astype(int), n - 1)
        share = unit * n - low
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod([s if c else 1 - s for c, s in zip(corner, share, strict=True)])
            x, y, z = low + corner
            row = field.layout.starts[level] + (x * (n + 1) + y) * (n + 1) + z
            total += weight * field.rows.values.numpy()[row]
    return total


def test_lookup_equals_the_slow_sum_of_corners():
    field = _filled((3, 7))
    points = np.random.default_rng(1).uniform(-1, 1, (40, 3)).astype(np.float32)
    raw = field.raw(torch.from_numpy(points)).detach().numpy()
    np.testing.assert_allclose(raw, [_slow(field, p) for p in points], atol=2e-5)


def test_gradients_to_points_and_table_agree_with_differences():
    field = _filled((3, 7))
    points = torch.tensor(
        np.random.default_rng(2).uniform(-0.9, 0.9, (20, 3)).astype(np.float32), requires_grad=True
    )
    weights = torch.randn(20, CHANNELS)
    (field.raw(points) * weights).sum().backward()
    step = 1e-3
    for axis in range(3):
        shift = torch.zeros(3)
        shift[axis] = step
        with torch.no_grad():
            change = ((field.raw(points + shift) - field.raw(points - shift)) * weights).sum(dim=1) / (
                2 * step
            )
        # A difference that crosses a cell border sees two slopes: compare the typical point.
        assert (change - points.grad[:, axis]).abs().median() < 2e-2
    gradient, row = field.rows.gradient.clone(), int(np.flatnonzero(field.rows.touched)[5])
    with torch.no_grad():
        before = (field.raw(points) * weights).sum()
        field.rows.values.numpy()[row, 2] += 0.5
        after = (field.raw(points) * weights).sum()
    assert abs(float(after - before) - 0.5 * gradient[row, 2]) < 1e-3


def test_a_step_moves_only_rows_that_were_seen():
    field = _filled((16,))
    before = field.rows.values.numpy().copy()
    field.raw(torch.zeros(1, 3, requires_grad=True)).sum().backward()
    field.rows.step(0.1)
    moved = np.flatnonzero((field.rows.values.numpy() != before).any(axis=1))
    assert 1 <= len(moved) <= 8
    assert (field.rows.gradient == 0).all()
