import numpy as np

from objectscan.engines.nvdiffrec.distance import redistance, resample


def _radius(count: int) -> np.ndarray:
    axis = np.linspace(-1, 1, count)
    return np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij")))


def test_a_warped_field_becomes_the_distance_to_the_same_sphere():
    radius, spacing = _radius(41), 2 / 40
    warped = ((radius - 0.6) * (2.0 + np.sin(5 * radius))).astype(np.float32)
    error = np.abs(redistance(warped, spacing) - (radius - 0.6)) / spacing
    assert error[np.abs(radius - 0.6) < 3 * spacing].mean() < 0.1
    assert error.max() < 1.5


def test_redistancing_keeps_signs():
    field = np.random.default_rng(0).standard_normal((12, 13, 14)).astype(np.float32)
    assert ((redistance(field, 0.1) < 0) == (field < 0)).all()


def test_a_field_without_a_surface_comes_back():
    field = np.ones((5, 5, 5), np.float32)
    np.testing.assert_array_equal(redistance(field, 0.1), field)


def test_resampling_a_linear_field_is_exact():
    x, y, z = np.meshgrid(np.arange(8.0), np.arange(9.0), np.arange(10.0), indexing="ij")
    field = (x + 2 * y - z).astype(np.float32)
    finer = resample(field, np.zeros(3), 1.0, (5, 5, 5), np.array([1.0, 2.0, 3.0]), 0.5)
    i, j, k = np.meshgrid(*[np.arange(5) * 0.5] * 3, indexing="ij")
    np.testing.assert_allclose(finer, (1 + i) + 2 * (2 + j) - (3 + k), atol=1e-5)
