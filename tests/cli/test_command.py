"""The verbs in this process, with the ball engine."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

import objectscan.pipeline as pipeline
from helpers.jobs import BallEngine, take_small_pictures, write_ball_capture
from objectscan.cli.main import run
from objectscan.cli.output import Output
from objectscan.errors import InputError
from objectscan.render import threads as render


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = write_ball_capture(tmp_path_factory.mktemp("photos"))
    return write_ball_capture(folder, views=3, split="test")


@pytest.fixture(scope="module")
def out(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "engine_named", BallEngine)
        take_small_pictures(patch)
        assert _code("reconstruct", photos, "-o", folder, "--preset", "preview") == 0
    return folder


@pytest.fixture(autouse=True)
def _ball_engine(monkeypatch):
    monkeypatch.setattr(pipeline, "engine_named", BallEngine)
    take_small_pictures(monkeypatch)
    monkeypatch.delenv("BALL_ENGINE", raising=False)
    threads = render.thread_count()
    yield
    render.set_threads(threads)


def _code(*arguments) -> int:
    with pytest.raises(SystemExit) as caught:
        run([str(argument) for argument in arguments])
    return caught.value.code


def _events(capsys) -> list[dict]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return [json.loads(line) for line in captured.out.splitlines()]


def test_reconstruct_tells_progress_and_result_as_json_lines(photos, tmp_path, capsys):
    assert _code("reconstruct", photos, "-o", tmp_path / "out", "--preset", "preview", "--json") == 0
    events = _events(capsys)
    chosen = [event for event in events if event["event"] == "engine"]
    assert len(chosen) == 1 and chosen[0]["engine"] == "nvdiffrec" and "given cameras" in chosen[0]["reason"]
    progress = [event for event in events if event["event"] == "progress"]
    fractions = [event["fraction"] for event in progress]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0
    assert [*dict.fromkeys(event["stage"] for event in progress)] == [
        "capture", "shape", "refine", "evaluate", "preview",
    ]  # fmt: skip
    done = events[-1]
    assert done["event"] == "done" and done["grade"] in ("high", "medium", "low")
    assert done["model"] == str(tmp_path / "out" / "model.glb") and (tmp_path / "out" / "model.glb").exists()


def test_reconstruct_for_a_person_names_model_and_report(photos, tmp_path, capsys):
    assert _code("reconstruct", photos, "-o", tmp_path / "out", "--preset", "preview") == 0
    captured = capsys.readouterr()
    assert "model.glb" in captured.out and "report.html" in captured.out and "Quality" in captured.out
    assert "shape" in captured.err  # progress does not mix with the answer


def test_recipe_changes_reach_the_job(photos, tmp_path):
    arguments = ("--set", "budget.faces=777", "--set", "shape.steps=[3,4]", "--seed", "5", "--threads", "1")
    assert _code("reconstruct", photos, "-o", tmp_path / "out", "--engine", "nvdiffrec", *arguments) == 0
    job = json.loads((tmp_path / "out" / "job.json").read_text())
    assert (job["recipe"]["budget"]["faces"], job["recipe"]["shape"]["steps"], job["seed"]) == (
        777,
        [3, 4],
        5,
    )
    assert render.thread_count() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--preset", "prevew"), "Did you mean 'preview'"),
        (("--set", "budget.faces"), "has no value"),
        (("--set", "budget.face=3"), "Did you mean 'faces'"),
        (("--set", "budget.faces=many"), "takes int"),
        (("--seed", "-1"), "seed"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_wrong_options_are_named_with_exit_code_2(photos, tmp_path, capsys, arguments, words):
    assert _code("reconstruct", photos, "-o", tmp_path / "out", *arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_an_unknown_engine_is_refused(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    assert _code("reconstruct", photos, "-o", tmp_path / "out", "--engine", "magic") == 2
    assert "There is no engine 'magic'" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "code"), [("elsewhere", 3), ("diverge", 3), ("huge", 4), ("crash", 1)])
def test_each_class_of_error_has_its_exit_code(photos, tmp_path, capsys, monkeypatch, mode, code):
    monkeypatch.setenv("BALL_ENGINE", mode)
    assert _code("reconstruct", photos, "-o", tmp_path / "out", "--preset", "preview", "--json") == code
    error = _events(capsys)[-1]
    assert error["event"] == "error" and error["exit_code"] == code and error["message"] and error["hint"]


def test_a_defect_is_told_in_a_line_and_its_details_lie_in_the_folder(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BALL_ENGINE", "crash")
    assert _code("reconstruct", photos, "-o", tmp_path / "out", "--preset", "preview") == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err and "the cat stood" in captured.err
    assert str(tmp_path / "out" / "error.log") in captured.err
    assert "Traceback" in (tmp_path / "out" / "error.log").read_text()


def test_a_foreign_folder_is_refused_and_left_alone(photos, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    for verb in (("reconstruct", photos, "-o", tmp_path), ("ingest", photos, "-o", tmp_path)):
        assert _code(*verb) == 2
        assert str(tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("verb", ["inspect", "reconstruct", "ingest", "optimise"])
def test_a_broken_camera_file_is_named(tmp_path, capsys, verb):
    photos = write_ball_capture(tmp_path / "photos", views=3)
    (photos / "transforms.json").write_text("{ not json")
    out = () if verb == "inspect" else ("-o", tmp_path / "out")
    assert _code(verb, photos, *out, "--json") == 2
    error = _events(capsys)[-1]
    assert error["code"] == "bad_cameras" and "transforms.json" in error["message"]
    assert not (tmp_path / "out").exists()


def test_a_photo_that_can_not_be_used_is_named(tmp_path, capsys):
    photos = write_ball_capture(tmp_path / "photos", views=4)
    (photos / "ball_02.png").write_bytes(b"GIF89a, not really")
    assert _code("inspect", photos, "--json") == 0
    (finding,) = [event for event in _events(capsys) if event.get("code") == "photo_dropped"]
    assert finding["photos"] == ["ball_02.png"] and "ball_02.png" in finding["message"]


def test_inspect_says_what_the_photos_support(photos, capsys):
    assert _code("inspect", photos / "transforms.json", "--json") == 0
    summary = _events(capsys)[-1]
    assert summary["event"] == "summary" and summary["views"] == summary["masked_views"] == 12
    assert summary["largest_gap_deg"] == pytest.approx(30, abs=1)
    assert _code("inspect", photos / "transforms.json") == 0
    assert re.search(r"Around\s+largest gap 30 degrees", capsys.readouterr().out)


def test_the_stages_as_verbs_make_the_same_model(photos, out, tmp_path):
    assert _code("ingest", photos, "-o", tmp_path / "capture") == 0
    assert _code("optimise", tmp_path / "capture", "-o", tmp_path / "out", "--preset", "preview") == 0
    assert _code("deliver", tmp_path / "out") == 0
    assert (tmp_path / "out" / "model.glb").read_bytes() == (out / "model.glb").read_bytes()


def test_evaluate_compares_with_the_photos_of_a_split(photos, out, capsys):
    assert _code("evaluate", out, photos, "--json") == 0
    events = _events(capsys)
    views = [event for event in events if event["event"] == "view"]
    assert [view["photo"] for view in views] == [f"balltest_0{k}.png" for k in range(3)]
    (means,) = [event for event in events if event["event"] == "means"]
    assert means["iou"] > 0.95 and means["photos"] == 3
    assert means["psnr_white_db"] == pytest.approx(np.mean([view["psnr_white_db"] for view in views]))
    assert _code("evaluate", out, photos, "--split", "nothing") == 2
    assert "transforms_nothing.json" in capsys.readouterr().err


def test_evaluate_sees_a_difference_in_the_photos(photos, out, tmp_path, capsys):
    dark = write_ball_capture(tmp_path / "dark", views=3, split="test")
    for path in dark.glob("*.png"):
        picture = np.asarray(Image.open(path)).copy()
        picture[:, :48, 3] = 0
        Image.fromarray(picture).save(path)
    assert _code("evaluate", out, dark, "--json") == 0
    (means,) = [event for event in _events(capsys) if event["event"] == "means"]
    assert means["iou"] < 0.6


def test_verbs_on_a_folder_without_a_result_say_what_to_do(photos, tmp_path, capsys):
    for arguments in (("deliver", tmp_path), ("evaluate", tmp_path, photos)):
        assert _code(*arguments) == 2
        assert "objectscan reconstruct" in capsys.readouterr().err


def test_check_passes_our_model_and_refuses_a_broken_file(out, tmp_path, capsys):
    assert _code("check", out / "model.glb", "--json") == 0
    assert _events(capsys)[-1]["verdict"] in ("pass", "warn")
    (tmp_path / "broken.glb").write_bytes(b"glTF" + bytes(20))
    for name in ("broken.glb", "missing.glb"):
        assert _code("check", tmp_path / name) == 2
        assert name in capsys.readouterr().err


def test_a_wrong_setting_is_named_by_every_verb(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OBJECTSCAN_MAX_VIEWS", "lots")
    for arguments in (
        ("inspect", photos),
        ("reconstruct", photos, "-o", tmp_path / "out"),
        ("check", "x.glb"),
    ):
        assert _code(*arguments) == 2
        assert "OBJECTSCAN_MAX_VIEWS" in capsys.readouterr().err


def test_wrong_arguments_are_json_too_when_asked_for(capsys):
    assert _code("nonsense", "--json") == 2
    (error,) = _events(capsys)
    assert "nonsense" in error["message"]


def test_version_and_help(capsys):
    assert _code("--version") == 0
    assert re.fullmatch(r"objectscan \d\S*\n", capsys.readouterr().out)
    assert _code("--help") == 0
    help_text = capsys.readouterr().out
    for verb in ("reconstruct", "inspect", "ingest", "optimise", "deliver", "evaluate", "check", "doctor"):
        assert verb in help_text


def test_a_number_that_json_lacks_does_not_break_an_error_for_machines(capsys):
    Output(as_json=True).error(InputError("Wrong.", details={"share": float("nan"), "count": 3}))
    told = json.loads(capsys.readouterr().out)
    assert told["details"] == {"share": None, "count": 3} and told["code"] == "input_error"
