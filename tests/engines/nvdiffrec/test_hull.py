import numpy as np
import pytest

from objectscan.engines.nvdiffrec.hull import HullField, carve, object_bounds
from objectscan.engines.nvdiffrec.silhouettes import outline_distance, silhouettes
from objectscan.errors import BadMasks, EmptyForeground
from objectscan.types import Camera, View

SUPERSAMPLES = 4


def looking_at(eye, target, *, size=(160, 120), focal=200.0) -> Camera:
    forward = (target - eye) / np.linalg.norm(target - eye)
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    world_from_camera = np.eye(4)
    world_from_camera[:3] = np.stack([right, np.cross(forward, right), forward, eye], axis=1)
    # An off-centre principal point: nothing may assume the middle.
    intrinsics = np.array([[focal, 0, size[0] / 2 + 5.3], [0, 1.1 * focal, size[1] / 2 - 3.1], [0, 0, 1]])
    return Camera(intrinsics, world_from_camera, size)


def rays(camera: Camera) -> np.ndarray:
    """Unit directions in the world, SUPERSAMPLES^2 a pixel."""
    width, height = camera.size
    u, v = ((np.arange(n * SUPERSAMPLES) + 0.5) / SUPERSAMPLES for n in (width, height))
    pixels = np.stack([*np.meshgrid(u, v), np.ones((len(v), len(u)))], axis=-1)
    directions = pixels @ np.linalg.inv(camera.intrinsics).T @ camera.world_from_camera[:3, :3].T
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def mask_of(camera: Camera, hit) -> np.ndarray:
    width, height = camera.size
    covered = hit(camera.world_from_camera[:3, 3], rays(camera))
    share = covered.reshape(height, SUPERSAMPLES, width, SUPERSAMPLES).mean(axis=(1, 3))
    return np.round(255 * share).astype(np.uint8)


def sphere(centre, radius):
    def hit(eye, directions):
        along = directions @ (centre - eye)
        return (centre - eye) @ (centre - eye) - along**2 < radius**2

    return hit


def cube(centre, half):
    def hit(eye, directions):
        with np.errstate(divide="ignore"):
            near, far = (centre - half - eye) / directions, (centre + half - eye) / directions
        return np.minimum(near, far).max(axis=-1) < np.maximum(near, far).min(axis=-1)

    return hit


def orbit(count: int, centre, distance: float, hit, **camera_options) -> list[View]:
    """Views spread evenly over a sphere of directions."""
    views = []
    for i in range(count):
        height, turn = 1 - 2 * (i + 0.5) / count, i * np.pi * (3 - 5**0.5)
        ring = np.sqrt(1 - height**2)
        eye = centre + distance * np.array([ring * np.cos(turn), ring * np.sin(turn), height])
        camera = looking_at(eye, np.asarray(centre, float), **camera_options)
        blank = np.zeros((camera.size[1], camera.size[0], 3), np.uint8)
        views.append(View(f"{i:02}.png", camera, blank, mask_of(camera, hit)))
    return views


def hull_of(views, bounds, resolution, *, outvoted_views=0) -> HullField:
    """The hull on a grid of `resolution` cells along the longest side of its box, as the engine makes it."""
    outlines = silhouettes(views)
    eyes = np.stack([view.camera.world_from_camera[:3, 3] for view in views])
    box = object_bounds(outlines, eyes, bounds, outvoted_views=outvoted_views)
    return carve(outlines, box, float((box[1] - box[0]).max()) / resolution, outvoted_views=outvoted_views)


def crossings(hull) -> np.ndarray:
    """World points where the field changes sign along grid edges."""
    index = np.stack(np.meshgrid(*map(np.arange, hull.values.shape), indexing="ij"), axis=-1)
    points, found = hull.origin + hull.spacing * index, []
    for axis in range(3):
        s, p = np.moveaxis(hull.values, axis, 0), np.moveaxis(points, axis, 0)
        changes = (s[1:] < 0) != (s[:-1] < 0)
        a, b = s[:-1][changes], s[1:][changes]
        found.append(p[:-1][changes] + (a / (a - b))[:, None] * (p[1:][changes] - p[:-1][changes]))
    return np.concatenate(found)


def with_mask(view: View, mask) -> View:
    return View(view.name, view.camera, view.image_srgb, mask)


@pytest.fixture(scope="module")
def sphere_views() -> list[View]:
    return orbit(90, np.array([3.0, -2.0, 5.0]), 3.0, sphere(np.array([3.0, -2.0, 5.0]), 0.7))


def test_hull_of_a_sphere_seen_from_everywhere_has_its_radius_to_a_tenth_of_a_voxel(sphere_views):
    hull = hull_of(sphere_views, None, 40)
    radii = np.linalg.norm(crossings(hull) - [3, -2, 5], axis=1)
    assert abs(radii - 0.7).mean() < 0.1 * hull.spacing
    assert abs(radii - 0.7).max() < 0.25 * hull.spacing


def test_box_is_tight_around_the_sphere(sphere_views):
    hull = hull_of(sphere_views, None, 40)
    assert hull.values.dtype == np.float32
    assert 1.4 < 40 * hull.spacing < 1.55
    inside = np.argwhere(hull.values < 0)
    assert (inside.min(axis=0) >= 3).all()
    assert (inside.min(axis=0) <= 6).all()
    assert (inside.max(axis=0) <= np.array(hull.values.shape) - 4).all()


def test_hull_of_a_cube_contains_all_its_points():
    centre, half = np.array([0.2, 0.1, -0.3]), 0.5
    hull = hull_of(orbit(24, centre, 4.0, cube(centre, half)), None, 32)
    axis = np.linspace(-half, half, 9) * 0.98
    points = centre + np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    nearest = np.round((points - hull.origin) / hull.spacing).astype(int)
    assert hull.values[tuple(nearest.T)].max() < 0.6 * hull.spacing
    inner = np.abs(points - centre).max(axis=1) < 0.9 * half
    assert (hull.values[tuple(nearest[inner].T)] < 0).all()


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_hull_scales_with_the_world(scale):
    unit = hull_of(orbit(10, np.array([1.0, 0, 0]), 4.0, sphere(np.array([1.0, 0, 0]), 0.6)), None, 24)
    centre = np.array([scale, 0, 0])
    scaled = hull_of(orbit(10, centre, 4.0 * scale, sphere(centre, 0.6 * scale)), None, 24)
    assert scaled.values.shape == unit.values.shape
    np.testing.assert_allclose(scaled.values / scale, unit.values, atol=1e-3 * unit.spacing)


def test_field_is_positive_on_the_border_even_where_bounds_cut_the_object(sphere_views):
    bounds = np.array([[2.8, -2.5, 4.5], [3.2, -1.5, 5.5]])
    values = hull_of(sphere_views, bounds, 24).values
    border = np.ones(values.shape, bool)
    border[1:-1, 1:-1, 1:-1] = False
    assert (values[border] > 0).all()
    assert (values < 0).any()


def test_given_bounds_that_are_too_wide_give_the_same_hull(sphere_views):
    free = hull_of(sphere_views, None, 32)
    bound = hull_of(sphere_views, np.array([[0.0, -5, 2], [6, 1, 8]]), 32)
    assert abs(bound.spacing / free.spacing - 1) < 0.05


def test_a_wrong_mask_cuts_the_hull_unless_it_is_outvoted():
    views = orbit(24, np.zeros(3), 3.0, sphere(np.zeros(3), 0.7))
    # Seen along an axis, so that a wrong mask would also cut the box.
    camera = looking_at(np.array([0.0, -3.0, 0.0]), np.zeros(3))
    mask = mask_of(camera, sphere(np.zeros(3), 0.7))
    mask[:, 84:] = 0
    views.append(View("half.png", camera, np.zeros((120, 160, 3), np.uint8), mask))

    def volume(hull):
        return (hull.values < 0).sum() * hull.spacing**3

    true = 4 / 3 * np.pi * 0.7**3
    assert volume(hull_of(views, None, 40)) < 0.7 * true
    assert 0.97 * true < volume(hull_of(views, None, 40, outvoted_views=1)) < 1.25 * true


def test_views_that_crop_the_object_do_not_cut_it_at_their_border():
    centre = np.zeros(3)
    whole = orbit(24, centre, 4.0, sphere(centre, 0.7))
    close = orbit(12, centre, 4.0, sphere(centre, 0.7), focal=900.0)
    assert all(view.mask.min() == 255 or view.mask[0].max() == 255 for view in close[3:9])
    alone, both = hull_of(whole, None, 32), hull_of(whole + close, None, 32)
    assert (both.values < 0).sum() * both.spacing**3 > 0.97 * (alone.values < 0).sum() * alone.spacing**3


def test_a_stated_box_is_never_left(sphere_views):
    stated = np.array([[2.8, -2.5, 4.5], [3.2, -1.5, 5.5]])
    eyes = np.stack([view.camera.world_from_camera[:3, 3] for view in sphere_views])
    box = object_bounds(silhouettes(sphere_views), eyes, stated)
    assert (box[0] >= stated[0]).all()
    assert (box[1] <= stated[1]).all()


def test_space_of_which_fewer_than_two_photos_speak_is_outside():
    camera = looking_at(np.array([0.0, -3.0, 0.0]), np.zeros(3))
    away = looking_at(np.array([0.0, 30.0, 0.0]), np.array([0.0, 60.0, 0.0]))
    full = np.full((120, 160), 255, np.uint8)
    blank = np.zeros((120, 160, 3), np.uint8)
    box = np.array([[-1.0, -1, -1], [1, 1, 1]])
    here, there = View("here.png", camera, blank, full), View("there.png", away, blank, full)
    assert (carve(silhouettes([here, there]), box, 0.2).values > 0).all()
    assert (carve(silhouettes([here, here]), box, 0.2).values < 0).any()
    assert (carve(silhouettes([here]), box, 0.2).values < 0).any()


def test_masks_that_agree_nowhere_name_the_photo_that_stands_alone(sphere_views):
    views = sphere_views[::6]
    mask = np.zeros_like(views[3].mask)
    mask[2:9, 2:9] = 255
    views[3] = with_mask(views[3], mask)
    with pytest.raises(EmptyForeground, match=views[3].name) as caught:
        hull_of(views, None, 24)
    assert caught.value.details["photos"] == [views[3].name]


def test_photos_with_an_empty_mask_are_refused_by_name(sphere_views):
    empty = with_mask(sphere_views[2], np.full_like(sphere_views[2].mask, 127))
    with pytest.raises(BadMasks, match=r"1 of 2 photos have no foreground mask: 02.png"):
        silhouettes([sphere_views[0], empty])


def test_photos_without_a_mask_are_refused_by_name(sphere_views):
    with pytest.raises(BadMasks, match=r"1 of 2 photos have no foreground mask: 01.png"):
        silhouettes([sphere_views[0], with_mask(sphere_views[1], None)])
    with pytest.raises(BadMasks, match="0 of 0 photos"):
        silhouettes([])


def test_large_masks_are_measured_smaller_with_the_same_outline(monkeypatch):
    monkeypatch.setattr("objectscan.engines.nvdiffrec.silhouettes._LONGEST_EDGE_PX", 100)
    views = orbit(3, np.zeros(3), 4.0, sphere(np.zeros(3), 0.7))
    outlines = silhouettes(views)
    assert outlines.distance_px[0].shape == (75, 100)
    for k, view in enumerate(views):
        # Points around the tangent circle of the sphere project onto the outline.
        eye = view.camera.world_from_camera[:3, 3]
        axes = np.linalg.svd((eye / np.linalg.norm(eye))[None])[2][1:]
        turn = np.linspace(0, 2 * np.pi, 12)[:, None]
        ring = np.cos(turn) * axes[0] + np.sin(turn) * axes[1]
        rim = 0.7 * (ring * np.sqrt(1 - (0.7 / 4) ** 2) + eye / 4 * (0.7 / 4))
        image = rim @ outlines.projection[k, :, :3].T + outlines.projection[k, :, 3]
        column, row = np.floor(image[:, :2] / image[:, 2:]).astype(int).T
        assert np.abs(outlines.distance_px[k][row, column]).max() < 0.8


def test_outline_distance_of_a_soft_disc_is_right_to_a_tenth_of_a_pixel():
    fine = (np.arange(64 * 8) + 0.5) / 8
    x, y = np.meshgrid(fine, fine)
    disc = np.hypot(x - 31.3, y - 29.8) < 17.6
    mask = 255 * disc.reshape(64, 8, 64, 8).mean(axis=(1, 3)).astype(np.float32)
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    truth = np.hypot(x - 31.3, y - 29.8) - 17.6
    error = np.abs(outline_distance(mask) - truth)
    assert error[np.abs(truth) < 7].max() < 0.14
    assert error[np.abs(truth) < 7].mean() < 0.05
    assert error.max() < 0.8


def test_outline_distance_equals_the_distance_to_densely_sampled_segments():
    rng = np.random.default_rng(3)
    mask = rng.integers(0, 256, (9, 11)).astype(np.float32)
    level = mask.astype(float) - 127.5
    # Ends of the polygon's segments: the sign changes on the sides of the cells.
    sides = []
    for r in range(9):
        for c in range(11):
            for dr, dc in ((0, 1), (1, 0)):
                if r + dr < 9 and c + dc < 11 and (level[r, c] >= 0) != (level[r + dr, c + dc] >= 0):
                    t = level[r, c] / (level[r, c] - level[r + dr, c + dc])
                    sides.append((r + t * dr, c + t * dc))
    nearest = np.hypot(*(np.indices((9, 11)).reshape(2, -1, 1) - np.array(sides).T[:, None])).min(axis=1)
    found = outline_distance(mask)
    assert ((found < 0) == (level >= 0)).all()
    # A segment comes closer than its ends, by less than half its length of at most sqrt(2).
    assert (np.abs(found.ravel()) <= nearest + 1e-5).all()
    assert (np.abs(found.ravel()) >= np.sqrt(np.maximum(nearest**2 - 0.5, 0)) - 1e-5).all()


@pytest.mark.parametrize(("value", "sign"), [(0, 1), (255, -1)])
def test_a_mask_without_outline_is_far_from_it(value, sign):
    distance = outline_distance(np.full((30, 40), value, np.float32))
    assert (sign * distance >= 49).all()
