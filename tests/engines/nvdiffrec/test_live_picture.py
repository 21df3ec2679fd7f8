import numpy as np
import torch

from objectscan.engines.nvdiffrec.live_picture import LivePicture


def _halves():
    """A model that covers the left half in red, a photo that shows it in green."""
    rendered, target = torch.zeros(2, 8, 12, 4), torch.zeros(2, 8, 12, 5)
    rendered[:, :, :6] = torch.tensor([0.5, 0.0, 0.0, 0.5])
    target[:, :, :6] = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])
    return rendered, target


def test_photo_and_model_stand_side_by_side_on_one_ground():
    live = LivePicture()
    live.look(*_halves())
    picture = live.take()
    assert picture.shape == (8, 24, 3) and picture.dtype == np.uint8
    assert picture[4, 2].tolist() == [0, 255, 0]
    half_covered = picture[4, 14].astype(int)
    assert half_covered[0] > 230 and abs(half_covered[1] - 115) < 3  # red over the grey ground
    assert np.abs(picture[4, 9].astype(int) - picture[4, 21]).max() <= 2


def test_pictures_are_made_now_and_then_and_taken_once():
    now = [0.0]
    live = LivePicture(every_s=3.0, clock=lambda: now[0])
    live.look(*_halves())
    assert live.take() is not None and live.take() is None
    now[0] = 2.9
    live.look(*_halves())
    assert live.take() is None
    now[0] = 3.1
    live.look(*_halves())
    assert live.take() is not None
