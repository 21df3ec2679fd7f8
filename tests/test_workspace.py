from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from helpers.jobs import ball_result
from objectscan.archive import capture_hash, reconstruction_arrays, reconstruction_from
from objectscan.errors import BadWorkspace
from objectscan.types import Camera, Capture, Finding, PassReport, View
from objectscan.workspace import RESULT, load_result, locked, open_workspace, read_job, require_usable

JOB = {
    "recipe": {"preset": "preview", "steps": (1, 2)}, "seed": 0, "capture": "/photos", "capture_hash": "a",
    "version": "1", "source": "s",
}  # fmt: skip
ONE = {"one": np.arange(3)}


def _save(folder, job=JOB, **options):
    with open_workspace(folder, job, **options) as workspace:
        workspace.save("shape", ONE)


def _loads(folder, job):
    with open_workspace(folder, job) as workspace:
        return workspace.load("shape")


def test_a_finished_stage_is_found_again_by_the_same_job(tmp_path):
    _save(tmp_path / "out")
    loaded = _loads(tmp_path / "out", json.loads(json.dumps(JOB)))  # lists for tuples: the same recipe
    assert list(loaded) == ["one"]
    np.testing.assert_array_equal(loaded["one"], ONE["one"])


def test_a_capture_that_moved_is_the_same_job(tmp_path):
    _save(tmp_path / "out")
    assert _loads(tmp_path / "out", {**JOB, "capture": "/elsewhere"}) is not None


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"recipe": {"preset": "high"}}, {"capture_hash": "b"}, {"version": "2"}, {"source": "t"}],
)
def test_whatever_decides_a_result_makes_a_new_job_and_old_stages_go(tmp_path, change):
    _save(tmp_path / "out")
    assert _loads(tmp_path / "out", {**JOB, **change}) is None
    assert _loads(tmp_path / "out", JOB) is None
    assert not list((tmp_path / "out" / "stages").iterdir())


def test_a_stage_file_brought_from_another_job_is_not_used(tmp_path):
    _save(tmp_path / "out")
    _save(tmp_path / "other", {**JOB, "seed": 1})
    brought = (tmp_path / "other" / "stages" / "shape.npz").read_bytes()
    (tmp_path / "out" / "stages" / "shape.npz").write_bytes(brought)
    assert _loads(tmp_path / "out", JOB) is None


def test_a_finished_result_of_another_job_is_only_replaced_on_request(tmp_path):
    out = tmp_path / "out"
    _save(out)
    (out / "model.glb").write_bytes(b"precious")
    with pytest.raises(BadWorkspace, match=r"finished result of another job \(different: seed\)") as caught:
        _save(out, {**JOB, "seed": 1})
    assert "--overwrite" in caught.value.hint
    assert (out / "model.glb").read_bytes() == b"precious" and read_job(out)["seed"] == 0
    _save(out, {**JOB, "seed": 1}, overwrite=True)
    assert not (out / "model.glb").exists() and read_job(out)["seed"] == 1


def test_the_same_job_with_newer_code_starts_anew_without_a_question(tmp_path):
    _save(tmp_path / "out")
    (tmp_path / "out" / "model.glb").write_bytes(b"old")
    assert _loads(tmp_path / "out", {**JOB, "source": "newer"}) is None
    assert not (tmp_path / "out" / "model.glb").exists()


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    for attempt in (lambda: require_usable(tmp_path), lambda: _save(tmp_path)):
        with pytest.raises(BadWorkspace, match=r"thesis\.txt"):
            attempt()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_job_file_of_another_program_does_not_make_a_folder_ours(tmp_path):
    (tmp_path / "job.json").write_text('{"name": "nightly build"}')
    with pytest.raises(BadWorkspace, match=r"job\.json"):
        require_usable(tmp_path)


def test_what_a_user_adds_to_an_output_folder_stays(tmp_path):
    out = tmp_path / "out"
    _save(out)
    (out / "notes.txt").write_text("mine")
    (out / "stages" / "notes.txt").write_text("mine too")
    _save(out, {**JOB, "seed": 5})
    assert (out / "notes.txt").exists() and (out / "stages" / "notes.txt").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(BadWorkspace, match="is a file"):
        require_usable(tmp_path / "out")


def test_two_runs_can_not_share_a_folder(tmp_path):
    with (
        open_workspace(tmp_path / "out", JOB),
        pytest.raises(BadWorkspace, match="Another run"),
        open_workspace(tmp_path / "out", JOB),
    ):
        pass
    _save(tmp_path / "out")  # and the lock is given back


def test_half_written_and_damaged_stages_count_as_missing(tmp_path):
    out = tmp_path / "out"
    _save(out)
    whole = (out / "stages" / "shape.npz").read_bytes()
    (out / "stages" / "refine.npz.part").write_bytes(whole[:50])
    for size in (0, 10, len(whole) // 2, len(whole) - 30):
        (out / "stages" / "shape.npz").write_bytes(whole[:size])
        assert _loads(out, JOB) is None
    assert not (out / "stages" / "refine.npz.part").exists()


def test_pickled_arrays_are_never_loaded(tmp_path):
    out = tmp_path / "out"
    _save(out)
    key = np.load(out / "stages" / "shape.npz")["job_key"]
    np.savez(out / "stages" / "shape.npz", job_key=key, one=np.array([{"a": 1}], dtype=object))
    assert _loads(out, JOB) is None


def test_a_failing_write_leaves_the_old_file_and_no_part(tmp_path):
    with open_workspace(tmp_path / "out", JOB) as workspace:
        path = workspace.write("previews/still.webp", b"old")

        def fill(file):
            file.write(b"ne")
            raise OSError(28, "No space left on device")

        with pytest.raises(BadWorkspace, match="No space left"):
            workspace._replace("previews/still.webp", fill)
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in path.parent.iterdir()] == ["still.webp"]


def test_a_reconstruction_survives_saving_bit_for_bit(tmp_path):
    random = np.random.default_rng(0)
    normal = random.random((4, 4, 3)).astype(np.float32)
    whole = ball_result(passes=(PassReport("shape", 3, 0.1, {"loss": 1 / 3}),))
    camera = Camera(random.random((3, 3)), random.random((4, 4)), (640, 480))
    whole = dataclasses.replace(
        whole,
        material=dataclasses.replace(whole.material, normal=normal),
        cameras={"IMG 1ü.png": camera},
        invented_faces=np.array([3, 5], np.int32),
        findings=(Finding("simple_layout", "warning", "words", ("IMG 1ü.png",)),),
    )
    with open_workspace(tmp_path / "out", JOB) as workspace:
        workspace.save(RESULT, reconstruction_arrays(whole))
    back = load_result(tmp_path / "out")
    assert back.passes == whole.passes and back.findings == whole.findings
    assert back.cameras["IMG 1ü.png"].size == (640, 480)
    np.testing.assert_array_equal(back.cameras["IMG 1ü.png"].world_from_camera, camera.world_from_camera)
    first, second = reconstruction_arrays(whole), reconstruction_arrays(back)
    assert set(first) == set(second)
    for name in first:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_a_missing_normal_map_stays_missing():
    assert reconstruction_from(reconstruction_arrays(ball_result())).material.normal is None


def test_a_folder_without_a_result_says_what_to_do(tmp_path):
    with pytest.raises(BadWorkspace, match="no output folder"):
        load_result(tmp_path)
    _save(tmp_path / "out")
    with pytest.raises(BadWorkspace, match="no finished reconstruction"):
        load_result(tmp_path / "out")


def _capture():
    camera = Camera(np.eye(3), np.eye(4), (4, 3))
    view = View("a.png", camera, np.zeros((3, 4, 3), np.uint8), np.full((3, 4), 255, np.uint8))
    return Capture((view,), np.eye(4))


def test_the_fingerprint_covers_pixels_masks_cameras_names_and_frame():
    capture = _capture()
    (view,) = capture.views
    turned = Camera(np.eye(3), np.diag([1.0, -1, -1, 1]), (4, 3))
    others = [
        dataclasses.replace(view, image_srgb=view.image_srgb + 1),
        dataclasses.replace(view, mask=None),
        dataclasses.replace(view, mask=view.mask // 2),
        dataclasses.replace(view, camera=turned),
        dataclasses.replace(view, name="b.png"),
    ]
    captures = [dataclasses.replace(capture, views=(other,)) for other in others]
    captures.append(dataclasses.replace(capture, delivered_from_world=np.diag([1.0, -1, -1, 1])))
    captures.append(dataclasses.replace(capture, bounds=np.array([[0, 0, 0], [1, 1, 1.0]])))
    hashes = [capture_hash(each) for each in (capture, *captures)]
    assert len(set(hashes)) == len(hashes)
    assert capture_hash(_capture()) == hashes[0]


def test_a_folder_in_use_is_refused_before_cameras_are_looked_for(tmp_path):
    with (
        locked(tmp_path / "out"),
        pytest.raises(BadWorkspace, match="Another run is using"),
        locked(tmp_path / "out"),
    ):
        pass
    with locked(tmp_path / "out"):
        pass
