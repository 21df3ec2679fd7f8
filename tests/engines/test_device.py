import pytest
import torch

from objectscan.engines.base import device_for
from objectscan.errors import InputError, ResourceError
from objectscan.settings import settings_from


def settings(device: str):
    return settings_from({"OBJECTSCAN_DEVICE": device})


@pytest.mark.parametrize(
    ("wanted", "has_gpu", "chosen"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_the_setting_chooses_and_auto_takes_a_gpu_that_is_here(wanted, has_gpu, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert device_for(settings(wanted)) == chosen


def test_a_gpu_that_is_asked_for_and_not_here_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="can't use a GPU"):
        device_for(settings("cuda"))


def test_another_device_is_refused():
    with pytest.raises(InputError, match="'tpu'"):
        device_for(settings("tpu"))
