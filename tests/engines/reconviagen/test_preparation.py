from __future__ import annotations

import numpy as np
import pytest
from tests.engines.reconviagen.vectors import vector

from objectscan.engines.reconviagen.preparation import network_input, prepared
from objectscan.errors import BadMasks


@pytest.mark.parametrize("name", ["edge", "tall", "wide"])
def test_cut_out_photos_are_prepared_to_the_published_bytes(name: str):
    v = vector("preprocess_rgba")
    result = prepared(v.given[name].numpy(), name=name, edge_px=64)
    assert np.array_equal(result, v.expected[f"{name}_64"].numpy())


def test_an_object_off_the_centre_may_stay_there():
    v = vector("preprocess_rgba")
    result = prepared(v.given["wide"].numpy(), name="wide", edge_px=64, recentre=False)
    assert np.array_equal(result, v.expected["wide_64_recenter_false"].numpy())


def test_a_photo_without_object_is_refused_by_name():
    with pytest.raises(BadMasks, match=r"back\.png"):
        prepared(np.full((8, 8, 4), 200, np.uint8), name="back.png")


def test_a_single_opaque_pixel_is_an_object():
    photo = np.zeros((40, 40, 4), np.uint8)
    photo[20, 20] = 255
    assert prepared(photo, name="dot.png", edge_px=14).shape == (14, 14, 4)


def test_networks_see_colours_on_black():
    photo = np.full((20, 20, 4), 255, np.uint8)
    photo[:, :10, 3] = 0
    images = network_input([prepared(photo, name="half.png", edge_px=28)])
    assert images.shape == (1, 3, 28, 28)
    assert float(images.max()) == 1.0
    assert float(images[..., 0].max()) == 0.0
