from __future__ import annotations

from objectscan.weights.folder import ModelFolder
from objectscan.weights.pull import carry_out, plan_pull
from objectscan.weights.supplied import SuppliedFolder
from objectscan.weights.verify import verify
from weights import samples


def brought(tmp_path, model) -> ModelFolder:
    samples.write(tmp_path / "usb", (model,))
    source = SuppliedFolder(tmp_path / "usb")
    carry_out(plan_pull([model], tmp_path / "models", source), source, now="2026-01-02")
    return ModelFolder(tmp_path / "models", model)


def states(folder: ModelFolder) -> list[str]:
    return [verdict.state for verdict in verify(folder)]


def test_files_that_came_the_regular_way_are_right(tmp_path):
    small, _ = samples.two_models()
    verdicts = list(verify(brought(tmp_path, small)))
    assert [verdict.state for verdict in verdicts] == ["right", "right"]
    assert "no published sum was known" in verdicts[0].words


def test_one_changed_bit_is_found(tmp_path):
    folder = brought(tmp_path, samples.model())
    path = folder.path / "ckpts/flow.safetensors"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    (verdict,) = verify(folder)
    assert verdict.state == "wrong" and "SHA-256" in verdict.words


def test_missing_cut_and_foreign_files_are_told_apart(tmp_path):
    several = tuple(samples.weight_file(f"{name}.safetensors", name) for name in "abc")
    folder = brought(tmp_path, samples.model(files=several))
    (folder.path / "a.safetensors").unlink()
    (folder.path / "b.safetensors").write_bytes(samples.content()[:500])
    assert states(folder) == ["missing", "wrong", "right"]


def test_a_file_without_a_record_is_not_called_right(tmp_path):
    model = samples.model()
    samples.write(tmp_path, (model,))
    assert states(ModelFolder(tmp_path, model)) == ["unrecorded"]


def test_the_sum_of_the_catalogue_outranks_the_record(tmp_path):
    folder = brought(tmp_path, samples.model())
    strict = samples.model(files=(samples.weight_file(sha256="cd" * 32),))
    assert states(ModelFolder(folder.path.parent, strict)) == ["wrong"]
