"""Downloads from a hub that is really there, over HTTP, with everything that can go wrong."""

from __future__ import annotations

import errno
import hashlib
import json
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from objectscan.errors import (
    BadWeights,
    BadWorkspace,
    Cancelled,
    DownloadFailed,
    LicenceNotAccepted,
    NotEnoughSpace,
)
from objectscan.weights import part as part_module
from objectscan.weights import pull as pull_module
from objectscan.weights.folder import LOCK_NAME, ModelFolder
from objectscan.weights.hub import Hub, hub_from
from objectscan.weights.part import sha256_of
from objectscan.weights.pull import carry_out, plan_pull, require_licences
from weights import samples

NOW = "2026-01-02T03:04:05+00:00"


class Pauses(list):
    """Instead of sleeping."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def pull(hub, root: Path, *models, report=lambda progress: None, token=None) -> Pauses:
    pauses = Pauses()
    with Hub(hub.endpoint, token) as source:
        plan = plan_pull(models, root, source, wait=pauses)
        carry_out(plan, source, now=NOW, report=report, wait=pauses)
    return pauses


def file_names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_files_arrive_whole_with_a_lock_that_tells_their_sums(hub, tmp_path):
    small, strict = samples.two_models()
    hub.files = samples.published(small, strict)
    pull(hub, tmp_path, small, strict)
    for (repository, _, path), data in hub.files.items():
        assert (tmp_path / repository.split("/")[1] / path).read_bytes() == data
    lock = ModelFolder(tmp_path, small).lock()
    assert (lock.revision, lock.origin, lock.accepted_licence) == (small.revision, hub.endpoint, "MIT")
    record = lock.files["ckpts/flow.safetensors"]
    assert record.witness == "hub"
    assert record.sha256 == sha256_of(tmp_path / "small" / "ckpts" / "flow.safetensors")
    assert not [name for name in file_names(tmp_path) if name.endswith(".part")]


def test_a_second_pull_asks_nobody(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    pull(hub, tmp_path, model)
    hub.requests.clear()
    pull(hub, tmp_path, model)
    assert hub.requests == []


def test_a_cut_connection_is_resumed_where_it_broke(hub, tmp_path):
    model = samples.model()
    hub.files, hub.cuts = samples.published(model), [100_000, 50_000]
    pauses = pull(hub, tmp_path, model)
    assert hub.bytes_sent_from() == [None, "bytes=100000-", "bytes=150000-"]
    assert pauses == [1.0, 1.0]  # each try brought something
    assert (tmp_path / "small/ckpts/flow.safetensors").read_bytes() == samples.content()


def test_a_killed_pull_goes_on_in_another_process(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)

    def stop(progress):
        if progress.fraction > 0.2:
            raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled):
        pull(hub, tmp_path, model, report=stop)
    assert not (tmp_path / "small/ckpts/flow.safetensors").exists()
    (part,) = (tmp_path / "small/ckpts").glob("*.part")
    came = part.stat().st_size
    pull(hub, tmp_path, model)
    assert came > 0 and hub.bytes_sent_from() == [None, f"bytes={came}-"]
    assert (tmp_path / "small/ckpts/flow.safetensors").read_bytes() == samples.content()


def test_a_server_that_cannot_resume_makes_it_start_anew(hub, tmp_path):
    model = samples.model()
    hub.files, hub.cuts, hub.ignores_range = samples.published(model), [100_000], True
    pull(hub, tmp_path, model)
    assert (tmp_path / "small/ckpts/flow.safetensors").read_bytes() == samples.content()


def test_a_silent_hub_is_given_up_after_six_tries_and_what_came_is_kept(hub, tmp_path):
    model = samples.model()
    hub.files, hub.cuts = samples.published(model), [70_000] + [0] * 20
    with pytest.raises(DownloadFailed, match=r"does not deliver, try after try") as caught:
        pull(hub, tmp_path, model)
    assert "run the same command again" in caught.value.hint
    (part,) = (tmp_path / "small/ckpts").glob("*.part")
    assert part.read_bytes() == samples.content()[:70_000]


def test_a_busy_hub_is_asked_again(hub, tmp_path):
    model = samples.model()
    hub.files, hub.stumbles = samples.published(model), [503, 429]
    assert pull(hub, tmp_path, model) == [1.0, 2.0]


def test_wrong_bytes_are_refused_and_removed(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    hub.served = {"ckpts/flow.safetensors": samples.content(seed=99)}
    with pytest.raises(BadWeights, match="SHA-256") as caught:
        pull(hub, tmp_path, model)
    assert caught.value.details["expected"] == samples_sum()
    assert file_names(tmp_path) == {f"small/{LOCK_NAME}", "small/.lock"}
    hub.served = {}
    pull(hub, tmp_path, model)  # and a second try starts from nothing
    assert (tmp_path / "small/ckpts/flow.safetensors").read_bytes() == samples.content()


def samples_sum() -> str:
    return hashlib.sha256(samples.content()).hexdigest()


def test_more_bytes_than_announced_are_refused(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    hub.served = {"ckpts/flow.safetensors": samples.content() + b"more"}
    with pytest.raises(BadWeights, match="longer than"):
        pull(hub, tmp_path, model)


def test_a_damaged_beginning_of_an_earlier_try_is_found_out(hub, tmp_path):
    model = samples.model()
    hub.files, hub.cuts = samples.published(model), [100_000] + [0] * 20
    with pytest.raises(DownloadFailed):
        pull(hub, tmp_path, model)
    (part,) = (tmp_path / "small/ckpts").glob("*.part")
    part.write_bytes(bytes(100_000))
    hub.cuts = []
    with pytest.raises(BadWeights, match="SHA-256"):
        pull(hub, tmp_path, model)
    pull(hub, tmp_path, model)


def test_a_hub_that_offers_another_file_than_the_catalogue_knows_is_refused_before_the_download(
    hub, tmp_path
):
    model = samples.model(files=(samples.weight_file(sha256="ab" * 32),))
    hub.files = samples.published(model)
    with pytest.raises(BadWeights, match=r"SHA-256 .* is known to be right"):
        pull(hub, tmp_path, model)
    assert hub.bytes_sent_from() == []
    longer = samples.model(files=(samples.weight_file(size_bytes=7),))
    with pytest.raises(BadWeights, match="7 is known"):
        pull(hub, tmp_path, longer)


def test_a_sum_of_the_catalogue_counts_if_the_hub_states_none(hub, tmp_path):
    model = samples.model(files=(samples.weight_file(sha256=samples_sum()),))
    hub.files, hub.states_sum = samples.published(model), False
    pull(hub, tmp_path, model)
    assert ModelFolder(tmp_path, model).lock().files["ckpts/flow.safetensors"].witness == "catalogue"


def test_a_file_without_any_known_sum_is_recorded_as_unwitnessed(hub, tmp_path):
    model = samples.model()
    hub.files, hub.states_sum = samples.published(model), False
    pull(hub, tmp_path, model)
    assert ModelFolder(tmp_path, model).lock().files["ckpts/flow.safetensors"].witness == "nothing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {**t, "head.bias": np.zeros(5, np.float32)}, r"'head.bias' is F32 \[5\], not F32 \[4\]"),
        (lambda t: {k: v for k, v in t.items() if k != "head.bias"}, "'head.bias' is missing"),
        (lambda t: {**t, "extra": np.zeros(1, np.float32)}, "'extra' is not expected"),
        (
            lambda t: {**t, "torso.weight": t["torso.weight"].astype(np.float32)},
            r"'torso.weight' is F32 \[300, 500\], not F16",
        ),
    ],
    ids=["shape", "missing", "unexpected", "type"],
)
def test_a_file_with_other_tensors_is_not_put_in_place(hub, tmp_path, change, words):
    model = samples.model()
    hub.files = {key: save(change(samples.tensors())) for key in samples.published(model)}
    with pytest.raises(BadWeights, match=words):
        pull(hub, tmp_path, model)
    assert not [name for name in file_names(tmp_path) if ".safetensors" in name]


def test_a_file_that_is_no_safetensors_is_refused(hub, tmp_path):
    model = samples.model()
    hub.files = {key: b"\x80\x02pickle" * 50 for key in samples.published(model)}
    with pytest.raises(BadWeights, match="no whole safetensors file"):
        pull(hub, tmp_path, model)


def test_a_missing_file_and_a_missing_revision_are_told_apart(hub, tmp_path):
    small, strict = samples.two_models()
    hub.files = samples.published(small)
    del hub.files[small.repository, small.revision, "ckpts/decoder.safetensors"]
    with pytest.raises(DownloadFailed, match=r"the file of someone/small \(ckpts/decoder.safetensors\): 404"):
        pull(hub, tmp_path, small)
    with pytest.raises(DownloadFailed, match=f"the pinned revision.*{strict.revision}"):
        pull(hub, tmp_path, strict)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_what_to_do(hub, tmp_path, status):
    model = samples.model()
    hub.files = samples.published(model)
    hub.refusals = {"ckpts/flow.safetensors": (status, "GatedRepo")}
    with pytest.raises(DownloadFailed, match=f"{status} told: GatedRepo") as caught:
        pull(hub, tmp_path, model)
    assert "HF_TOKEN" in caught.value.hint and model.page in caught.value.hint


def test_a_renamed_repository_is_followed_on_the_hub(hub, tmp_path):
    model = samples.model()
    hub.files = {
        ("new/name", revision, path): data for (_, revision, path), data in samples.published(model).items()
    }
    hub.renamed = {model.repository: "new/name"}
    pull(hub, tmp_path, model)
    assert ModelFolder(tmp_path, model).lock().files["ckpts/flow.safetensors"].witness == "hub"


def test_a_hub_that_leads_in_a_circle_is_told(hub, tmp_path):
    model = samples.model()
    hub.renamed = {model.repository: model.repository}
    with pytest.raises(DownloadFailed, match="leads in a circle"):
        pull(hub, tmp_path, model)


def test_a_mirror_that_answers_with_another_revision_is_refused(hub, tmp_path):
    model = samples.model()
    hub.files, hub.commit = samples.published(model), "f" * 40
    with pytest.raises(DownloadFailed, match="f" * 40):
        pull(hub, tmp_path, model)


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    pull(hub, tmp_path, model, token="secret")
    sent = {request.server: request.authorization for request in hub.requests}
    assert sent == {"hub": "Bearer secret", "storage": None}


def test_no_network_is_an_error_with_a_way_out(tmp_path):
    pauses = Pauses()
    with hub_from({"HF_ENDPOINT": "http://127.0.0.1:9"}) as source, pytest.raises(DownloadFailed) as caught:
        plan_pull([samples.model()], tmp_path, source, wait=pauses)
    assert "127.0.0.1:9" in caught.value.message and "--from" in caught.value.hint
    assert pauses == [1.0, 2.0, 4.0]


def test_an_endpoint_that_is_no_address_is_refused():
    with pytest.raises(DownloadFailed, match="HF_ENDPOINT is 'nonsense'"):
        hub_from({"HF_ENDPOINT": "nonsense"})


def disk_with(free_bytes: int):
    usage = namedtuple("usage", "total used free")
    return lambda path: usage(10**12, 0, free_bytes)


def test_a_small_disk_is_told_before_anything_comes(hub, tmp_path, monkeypatch):
    model = samples.model()
    hub.files = samples.published(model)
    monkeypatch.setattr(pull_module.shutil, "disk_usage", disk_with(1_000_000))
    with pytest.raises(NotEnoughSpace, match=r"needs 0\.05 GB, and 0\.00 GB are free") as caught:
        pull(hub, tmp_path, model)
    assert caught.value.details["needed_bytes"] == len(samples.content()) + 50_000_000
    assert hub.bytes_sent_from() == []


def test_what_is_here_already_needs_no_space(hub, tmp_path, monkeypatch):
    model = samples.model()
    hub.files, hub.cuts = samples.published(model), [200_000] + [0] * 20
    with pytest.raises(DownloadFailed):
        pull(hub, tmp_path, model)
    hub.cuts = []
    needed = len(samples.content()) - 200_000 + 50_000_000
    monkeypatch.setattr(pull_module.shutil, "disk_usage", disk_with(needed))
    pull(hub, tmp_path, model)


def test_a_disk_that_becomes_full_keeps_what_came(hub, tmp_path, monkeypatch):
    model = samples.model()
    hub.files = samples.published(model)
    real_open = Path.open

    class Full:
        """A file on a disk with 64 kB."""

        def __init__(self, file):
            self.file, self.left = file, 65_536

        def write(self, block):
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = self.file.write(block[: self.left])
            self.left -= written
            return written

        def __getattr__(self, name):
            return getattr(self.file, name)

    def open_full(self, *arguments, **options):
        file = real_open(self, *arguments, **options)
        return Full(file) if self.name.endswith(".part") and "safetensors" in self.name else file

    monkeypatch.setattr(part_module.Path, "open", open_full)
    with pytest.raises(NotEnoughSpace, match="became full"):
        pull(hub, tmp_path, model)
    monkeypatch.undo()
    pull(hub, tmp_path, model)
    assert (tmp_path / "small/ckpts/flow.safetensors").read_bytes() == samples.content()


def test_nothing_comes_under_a_licence_that_nobody_accepted(tmp_path):
    with pytest.raises(LicenceNotAccepted) as caught:
        require_licences(samples.two_models(), tmp_path, ["MIT"])
    assert "'No-Trade' of strict (commercial use forbidden; https://example.org/strict)" in str(caught.value)
    assert "MIT" not in caught.value.message and caught.value.hint.endswith("--accept No-Trade.")
    assert list(tmp_path.iterdir()) == []
    require_licences(samples.two_models(), tmp_path, ["MIT", "No-Trade"])


def test_a_licence_accepted_once_is_remembered_until_it_changes(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    pull(hub, tmp_path, model)
    require_licences([model], tmp_path, [])
    with pytest.raises(LicenceNotAccepted):
        require_licences([replace(model, licence=samples.STRICT)], tmp_path, [])


def test_a_right_file_that_somebody_copied_is_adopted(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    samples.write(tmp_path, (model,))
    pull(hub, tmp_path, model)
    assert hub.bytes_sent_from() == []
    assert ModelFolder(tmp_path, model).is_recorded(model.files[0], ModelFolder(tmp_path, model).lock())


def test_a_wrong_file_that_somebody_copied_is_replaced(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    samples.write(tmp_path, (model,))
    (tmp_path / "small/ckpts/flow.safetensors").write_bytes(samples.content(seed=3))
    pull(hub, tmp_path, model)
    assert (tmp_path / "small/ckpts/flow.safetensors").read_bytes() == samples.content()


def test_weights_of_an_older_revision_are_replaced(hub, tmp_path):
    older = samples.model()
    newer = replace(older, revision="e" * 40)
    hub.files = samples.published(older)
    pull(hub, tmp_path, older)
    hub.files[newer.repository, newer.revision, "ckpts/flow.safetensors"] = samples.content(seed=5)
    pull(hub, tmp_path, newer)
    assert (tmp_path / "small/ckpts/flow.safetensors").read_bytes() == samples.content(seed=5)
    assert ModelFolder(tmp_path, newer).lock().revision == "e" * 40


def test_two_pulls_into_one_folder_do_not_mix(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    with ModelFolder(tmp_path, model).alone(), pytest.raises(BadWorkspace, match="Another process"):
        pull(hub, tmp_path, model)


def test_a_damaged_lock_file_is_told_by_name(hub, tmp_path):
    model = samples.model()
    hub.files = samples.published(model)
    pull(hub, tmp_path, model)
    (tmp_path / "small" / LOCK_NAME).write_text(json.dumps({"files": {"a": {"sum": 1}}}))
    with pytest.raises(BadWeights, match=LOCK_NAME):
        pull(hub, tmp_path, model)


def test_progress_names_each_file_and_ends_at_one(hub, tmp_path):
    small, _ = samples.two_models()
    hub.files, told = samples.published(small), []
    pull(hub, tmp_path, small, report=told.append)
    last = {progress.stage: progress.fraction for progress in told}
    assert last == {"small/ckpts/flow.safetensors": 1.0, "small/ckpts/decoder.safetensors": 1.0}
