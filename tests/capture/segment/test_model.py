from __future__ import annotations

import numpy as np
import pytest
from onnx_files import write_model
from scenes import iou

from objectscan.capture.segment import load_segmenter, model, segmenter_from
from objectscan.capture.segment.model import OnnxSegmenter
from objectscan.errors import BadSegmentationModel, InputError
from objectscan.settings import settings_from

GREY = np.full((50, 70, 3), 51, np.uint8)  # 0.2 of white


def sigmoid(value: float) -> float:
    return 1 / (1 + np.exp(-value))


def disc(size: tuple[int, int] = (200, 150)) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[: size[1], : size[0]]
    inside = (columns - 100) ** 2 + (rows - 75) ** 2 < 45**2
    picture = np.full((*inside.shape, 3), (170, 165, 160), np.uint8)
    picture[inside] = (200, 40, 30)
    return picture, np.where(inside, 255, 0).astype(np.uint8)


def test_the_bundled_network_finds_a_red_disc_on_grey():
    picture, truth = disc()
    mask = load_segmenter().foreground(picture)
    assert mask.shape == truth.shape and mask.dtype == np.uint8
    assert iou(mask, truth) > 0.95
    assert 0 < np.count_nonzero((mask > 10) & (mask < 245)) < truth.size / 4  # soft at the edge only


def test_damaged_bundled_weights_are_noticed(tmp_path, monkeypatch):
    damaged = tmp_path / "u2netp.onnx"
    damaged.write_bytes(model.WEIGHTS.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr(model, "WEIGHTS", damaged)
    with pytest.raises(BadSegmentationModel, match="missing or damaged"):
        load_segmenter()


@pytest.mark.parametrize(
    ("name", "options", "family", "mean"),
    [
        ("net.onnx", {}, "u2net", None),
        ("net.onnx", {"shape": (1, 3, 1024, 1024), "outputs": 3}, "isnet", 0.2 - 0.5),
        ("net.onnx", {"shape": (1, 3, 1024, 1024)}, "birefnet", None),
        ("my-ISNet_v2.onnx", {}, "isnet", 0.2 - 0.5),
        ("BiRefNet-lite.onnx", {"shape": (1, 3, "height", "width")}, "birefnet", None),
    ],
)
def test_the_normalisation_follows_name_size_and_outputs(tmp_path, name, options, family, mean):
    network = OnnxSegmenter(write_model(tmp_path / name, **options))
    assert network.family == family
    if mean is None:
        rule = model.NORMALISATIONS[family]
        bright = 1.0 if family == "u2net" else 0.2  # U2-Net's pictures are scaled to their brightest value
        mean = np.mean([(bright - m) / d for m, d in zip(rule.mean, rule.deviation, strict=True)])
    mask = network.foreground(GREY)
    assert mask.shape == (50, 70)
    assert np.allclose(mask, 255 * sigmoid(mean), atol=1)  # these outputs are logits


def test_outputs_that_are_shares_already_are_not_squashed_again(tmp_path):
    file = write_model(tmp_path / "isnet.onnx", squashed=True)
    assert np.allclose(OnnxSegmenter(file).foreground(GREY), 255 * sigmoid(0.2 - 0.5), atol=1)


def test_half_precision_is_served(tmp_path):
    network = OnnxSegmenter(write_model(tmp_path / "isnet.onnx", kind=10))
    assert np.allclose(network.foreground(GREY), 255 * sigmoid(0.2 - 0.5), atol=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (1, 3, 64, 32)}, "not a square"),
        ({"shape": (1, 3, 8, 8)}, "not a square of 32"),
        ({"shape": (1, 4, 64, 64)}, "shape"),
        ({"shape": (3, 64, 64)}, "can't"),
        ({"second_input": True}, "2 inputs"),
        ({"kind": 11}, "not float"),
    ],
)
def test_a_network_of_another_kind_is_refused_with_the_reason(tmp_path, options, words):
    file = write_model(tmp_path / "strange.onnx", **options)
    with pytest.raises(BadSegmentationModel, match=words) as caught:
        OnnxSegmenter(file)
    assert "strange.onnx" in caught.value.message


def test_a_file_that_is_no_network_and_one_that_is_missing_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(BadSegmentationModel, match=r"text\.onnx can't be used"):
        OnnxSegmenter(tmp_path / "text.onnx")
    with pytest.raises(BadSegmentationModel, match="There is no segmentation model"):
        OnnxSegmenter(tmp_path / "nowhere.onnx")


def test_settings_name_the_network_and_its_family(tmp_path):
    file = write_model(tmp_path / "net.onnx")
    chosen = {"OBJECTSCAN_SEGMENTATION_MODEL": str(file), "OBJECTSCAN_SEGMENTATION_FAMILY": "isnet"}
    network = segmenter_from(settings_from(chosen))
    assert (network.family, network.side_px) == ("isnet", 64)
    assert segmenter_from(settings_from({})).side_px == 320
    with pytest.raises(InputError, match="segmentation_family is 'sam'"):
        segmenter_from(settings_from({"OBJECTSCAN_SEGMENTATION_FAMILY": "sam"}))
