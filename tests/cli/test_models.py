"""`objectscan models ...` against a hub on this machine: words, JSON lines and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save

import objectscan.cli.acceptance as acceptance
import objectscan.cli.model_verbs as model_verbs
import objectscan.pipeline as pipeline
from helpers.jobs import BallEngine, take_small_pictures, write_ball_capture
from objectscan.cli.main import run
from objectscan.errors import BadRecipe
from objectscan.render import threads as render
from weights import samples
from weights.fake_hub import FakeHub, serving

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serving(FakeHub(files=samples.published(*samples.two_models()))) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setenv("OBJECTSCAN_MODELS", str(tmp_path / "models"))
        monkeypatch.setattr(model_verbs, "CATALOGUE", samples.catalogue())
        monkeypatch.setattr(acceptance, "CATALOGUE", samples.catalogue())
        for name in ("_PAUSES_S", "_FIRST_PAUSES_S"):
            monkeypatch.setattr(f"objectscan.weights.pull.{name}", (0.0, 0.0))
        yield running


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "models"


def code(*arguments) -> int:
    with pytest.raises(SystemExit) as caught:
        run(["models", *map(str, arguments)])
    return caught.value.code


def events(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


ACCEPTED = ("--accept", "MIT", "--accept", "No-Trade")


def test_list_tells_sizes_licences_and_what_is_missing(hub, root, capsys):
    assert code("list", "--json") == 0
    told = events(capsys)
    strict = next(event for event in told if event.get("name") == "strict")
    assert strict["state"] == "not here" and strict["commercial_use"] == "forbidden"
    assert strict["size_bytes"] == samples.tensor_list().size_bytes
    assert [e["missing"] for e in told if e["event"] == "collection"] == [["small", "strict"], ["small"]]
    assert told[-1] == {"event": "done", "folder": str(root)}
    assert code("pull", "small", "--accept", "MIT") == 0
    capsys.readouterr()
    assert code("list") == 0
    assert "Collection free: complete" in capsys.readouterr().out


def test_pull_shows_the_licence_and_refuses_without_consent(hub, root, capsys):
    assert code("pull", "all", "--accept", "MIT") == 2
    captured = capsys.readouterr()
    assert "Licence of strict: No-Trade (no commercial use)" in captured.out
    assert "https://example.org/strict" in captured.out
    assert "Not accepted yet: 'No-Trade'" in captured.err and "--accept No-Trade" in captured.err
    assert hub.requests == [] and not root.exists()


def test_pull_then_verify_then_path(hub, root, capsys):
    assert code("pull", "all", *ACCEPTED, "--json") == 0
    told = events(capsys)
    plan = next(event for event in told if event["event"] == "plan")
    assert plan["files"] == 3
    fractions = [event["fraction"] for event in told if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert code("verify", "--json") == 0
    assert [event["state"] for event in events(capsys) if event["event"] == "file"] == ["right"] * 3
    assert code("path", "strict") == 0
    assert capsys.readouterr().out.strip() == str(root / "strict")


def test_pull_with_a_cut_connection_resumes(hub, capsys):
    hub.cuts = [100_000]
    assert code("pull", "strict", *ACCEPTED) == 0
    assert hub.bytes_sent_from() == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"served": {"ckpts/flow.safetensors": samples.content(seed=7)}}, "arrived with SHA-256"),
        ({"refusals": {"ckpts/flow.safetensors": (403, "GatedRepo")}}, "refuses"),
        ({"refusals": {"ckpts/flow.safetensors": (404, "EntryNotFound")}}, "does not have the file"),
        ({"cuts": [0] * 20}, "does not deliver"),
        ({"stumbles": [500] * 20}, "answered 500"),
    ],
    ids=["checksum", "gated", "missing", "silent", "broken"],
)
def test_what_goes_wrong_with_a_hub_ends_in_words_and_exit_code_4(hub, capsys, fault, words):
    for name, value in fault.items():
        setattr(hub, name, value)
    assert code("pull", "strict", *ACCEPTED) == 4
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_a_wrong_shape_ends_in_words_and_exit_code_4(hub, root, capsys):
    wrong = {**samples.tensors(), "head.bias": np.zeros(9, np.float32)}
    hub.files = {key: save(wrong) for key in hub.files}
    assert code("pull", "strict", *ACCEPTED) == 4
    assert "'head.bias' is F32 [9], not F32 [4]" in capsys.readouterr().err
    assert list(root.rglob("*.safetensors")) == []


def test_a_full_disk_ends_in_words_and_exit_code_4(hub, monkeypatch, capsys):
    monkeypatch.setattr("objectscan.weights.pull.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert code("pull", "strict", *ACCEPTED) == 4
    assert "GB are free there" in capsys.readouterr().err


def test_pull_from_a_folder_needs_no_network(hub, root, tmp_path, monkeypatch):
    samples.write(tmp_path / "usb", samples.two_models())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert code("pull", "all", "--from", tmp_path / "usb", *ACCEPTED) == 0
    assert hub.requests == [] and (root / "strict/ckpts/flow.safetensors").is_file()


def test_verify_without_weights_and_with_damaged_ones(hub, root, capsys):
    assert code("verify") == 4
    assert "There are no weights in" in capsys.readouterr().err
    assert code("pull", "small", "--accept", "MIT") == 0
    path = root / "small/ckpts/flow.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 255
    path.write_bytes(data)
    assert code("verify", "small") == 4
    assert "1 weight files are not right: small/ckpts/flow.safetensors" in capsys.readouterr().err
    path.unlink()
    assert code("verify", "small", "--json") == 4
    assert events(capsys)[-1]["code"] == "missing_weights"


def test_an_unknown_model_is_an_input_error(hub, capsys):
    assert code("pull", "smal") == 2
    assert "Did you mean 'small'?" in capsys.readouterr().err


REAL_PULL = """
import sys
import objectscan.cli.model_verbs as verbs
from weights import samples
verbs.CATALOGUE = samples.catalogue()
from objectscan.cli.main import run
run(["models", "pull", "strict", "--accept", "No-Trade"])
"""


def test_a_pull_stopped_by_a_signal_says_how_to_go_on(hub, root):
    big = {**samples.tensors(), "torso.weight": np.zeros((300, 500), np.float16)}
    hub.files = {key: save(big) for key in hub.files}
    hub.cuts, tests = [150_000] + [0] * 1000, SOURCE.parent / "tests"
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{tests}"}
    process = subprocess.Popen(
        [sys.executable, "-c", REAL_PULL], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(hub.bytes_sent_from()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "To go on where it stopped: objectscan models pull strict --accept No-Trade" in error
    hub.cuts = []
    assert code("pull", "strict") == 0  # the licence was accepted
    assert hub.bytes_sent_from()[-1] == "bytes=150000-"


@pytest.fixture
def ready(hub, monkeypatch):
    """Weights here, memory enough, and an engine of that name."""
    assert code("pull", "all", *ACCEPTED) == 0
    monkeypatch.setattr(acceptance, "free_memory_bytes", lambda: 64 * 10**9)
    monkeypatch.setattr(acceptance, "engine_named", BallEngine)
    monkeypatch.setattr(pipeline, "engine_named", BallEngine)
    take_small_pictures(monkeypatch)
    before = render.thread_count()
    yield
    render.set_threads(before)


def test_acceptance_without_weights_names_what_is_missing_and_tells_the_other_facts(
    hub, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(acceptance, "free_memory_bytes", lambda: 10**9)
    assert code("accept", "--collection", "all", "--json") == 4
    told = events(capsys)
    assert told[-1]["code"] == "missing_weights" and "models pull all" in told[-1]["hint"]
    assert "small, strict" in told[-1]["message"]
    facts = {event["name"]: event["ok"] for event in told if event["event"] == "fact"}
    assert facts["weights small"] is False and {"gpu", "memory", "sample", "engine"} <= set(facts)
    verdict = next(event for event in told if event["event"] == "verdict")
    assert verdict["verdict"] == "not accepted" and len(verdict["reasons"]) >= 2


def test_acceptance_without_the_engine_says_so(ready, monkeypatch, tmp_path, capsys):
    def refuse(name):
        raise BadRecipe(f"There is no engine '{name}'.", hint="Known: nvdiffrec.")

    monkeypatch.setattr(acceptance, "engine_named", refuse)
    assert code("accept", "--collection", "all", "-o", tmp_path / "out") == 4
    captured = capsys.readouterr()
    assert "not accepted: engine: There is no engine 'reconviagen'" in captured.out
    assert "install a newer one" in captured.err and not (tmp_path / "out").exists()


def test_acceptance_with_damaged_weights_runs_nothing(ready, root, tmp_path, capsys):
    path = root / "small/ckpts/flow.safetensors"
    path.write_bytes(samples.content(seed=70))
    assert code("accept", "--collection", "all", "-o", tmp_path / "out") == 4
    assert "not accepted: small/ckpts/flow.safetensors: its SHA-256 is" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_acceptance_runs_the_engine_end_to_end_and_gives_a_verdict(ready, tmp_path, capsys):
    photos = write_ball_capture(tmp_path / "photos")
    assert code("accept", "--collection", "all", "--sample", photos, "-o", tmp_path / "out", "--json") == 0
    told = events(capsys)
    assert told[-1] == {"event": "verdict", "verdict": "accepted", "reasons": []}
    assert (tmp_path / "out/model.glb").stat().st_size > 0
    job = json.loads((tmp_path / "out/job.json").read_text())
    assert job["recipe"]["engine"] == "reconviagen"


def test_a_result_of_low_quality_is_not_accepted(ready, tmp_path, monkeypatch, capsys):
    photos = write_ball_capture(tmp_path / "photos")
    real = pipeline.deliver

    def poor(*arguments):
        asset = real(*arguments)
        return SimpleNamespace(
            model=asset.model, report=asset.report,
            evidence=SimpleNamespace(verdict=SimpleNamespace(grade="low", reason="it looks wrong")),
        )  # fmt: skip

    monkeypatch.setattr(pipeline, "deliver", poor)
    assert code("accept", "--collection", "all", "--sample", photos, "-o", tmp_path / "out") == 4
    captured = capsys.readouterr()
    assert "not accepted: the quality of the sample is low: it looks wrong" in captured.out
