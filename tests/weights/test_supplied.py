from __future__ import annotations

import pytest

from objectscan.errors import BadWeights, InputError, MissingWeights
from objectscan.weights.folder import ModelFolder
from objectscan.weights.pull import carry_out, plan_pull
from objectscan.weights.supplied import SuppliedFolder
from weights import samples

NOW = "2026-01-02T03:04:05+00:00"


def bring(folder, root, *models) -> None:
    source = SuppliedFolder(folder)
    carry_out(plan_pull(models, root, source), source, now=NOW)


@pytest.mark.parametrize(
    "layout",
    ["{name}", ".", "models--{repository}/snapshots/{revision}"],
    ids=["a models folder", "a snapshot", "the hub's cache"],
)
def test_files_are_found_in_each_usual_layout(tmp_path, layout):
    model = samples.model()
    samples.write(tmp_path / "usb", (model,), layout=layout)
    bring(tmp_path / "usb", tmp_path / "models", model)
    assert (tmp_path / "models/small/ckpts/flow.safetensors").read_bytes() == samples.content()
    lock = ModelFolder(tmp_path / "models", model).lock()
    assert lock.files["ckpts/flow.safetensors"].witness == "nothing"
    assert lock.origin == str(tmp_path / "usb")


def test_sums_travel_with_a_models_folder(tmp_path):
    model = samples.model()
    samples.write(tmp_path / "usb", (model,))
    bring(tmp_path / "usb", tmp_path / "first", model)
    path = tmp_path / "first/small/ckpts/flow.safetensors"
    path.write_bytes(samples.content(seed=8))  # damaged on the way; size and tensors still fit
    with pytest.raises(BadWeights, match="SHA-256"):
        bring(tmp_path / "first", tmp_path / "second", model)


def test_a_missing_file_is_told_with_the_places_that_were_searched(tmp_path):
    small, _ = samples.two_models()
    samples.write(tmp_path / "usb", (small,))
    (tmp_path / "usb/small/ckpts/decoder.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"ckpts/decoder.safetensors of someone/small") as caught:
        bring(tmp_path / "usb", tmp_path / "models", small)
    assert str(tmp_path / "usb" / "small") in caught.value.hint


@pytest.mark.parametrize("ending", [".pt", ".bin", ".pth", ".ckpt"])
def test_a_pickle_is_refused_by_name(tmp_path, ending):
    path = tmp_path / f"flow{ending}"
    path.write_bytes(b"\x80\x02")
    model = samples.model(files=(samples.weight_file("flow.safetensors"),))
    with pytest.raises(BadWeights, match=f"flow{ending} is a pickle"):
        bring(tmp_path, tmp_path / "models", model)


def test_a_file_of_another_size_than_known_is_refused(tmp_path):
    model = samples.model(files=(samples.weight_file(size_bytes=12),))
    samples.write(tmp_path, (model,))
    with pytest.raises(BadWeights, match="not 12"):
        bring(tmp_path, tmp_path / "models", model)


def test_a_cut_file_is_refused(tmp_path):
    model = samples.model()
    samples.write(tmp_path, (model,))
    path = tmp_path / "small/ckpts/flow.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadWeights, match="no whole safetensors file"):
        bring(tmp_path, tmp_path / "models", model)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        SuppliedFolder(tmp_path / "nothing")
