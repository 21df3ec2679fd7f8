from __future__ import annotations

import itertools
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from videos import SIZE, blurred, passing, wall, write_sound, write_video

from objectscan.capture.limits import VideoLimits
from objectscan.capture.video import frames_from_video, sharpness, shows_the_same
from objectscan.capture.video_stream import frames_of, video_facts
from objectscan.errors import BadVideo, Cancelled, InputError, MissingDependency


def place(image: np.ndarray) -> tuple[float, int]:
    """How well a frame is found again on the wall, and at which column."""
    answer = cv2.matchTemplate(wall(), image, cv2.TM_CCOEFF_NORMED)
    _, best, _, (column, _) = cv2.minMaxLoc(answer)
    return best, column


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_frames_are_numbered_upright_in_order_and_without_exif(tmp_path):
    video = write_video(tmp_path / "walk.mp4", passing(60))
    frames = frames_from_video(video, tmp_path / "out", target_count=8)
    assert [path.name for path in frames.paths] == [f"frame_{i:04d}.jpg" for i in range(1, 9)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [p.name for p in frames.paths]
    columns = []
    for path in frames.paths:
        picture = Image.open(path)
        assert picture.size == SIZE and not picture.getexif()
        found, column = place(np.asarray(picture))
        assert found > 0.95
        columns.append(column)
    assert columns == sorted(columns) and len(set(columns)) == 8
    assert list(frames.times_s) == sorted(frames.times_s)
    assert frames.findings == ()


def test_the_sharpest_frame_of_each_stretch_is_taken(tmp_path):
    sharp = {2, 7, 13, 17, 22, 28, 31, 36}  # one in each stretch of five frames
    frames = [frame if i in sharp else blurred(frame) for i, frame in enumerate(passing(40, 10.0))]
    video = write_video(tmp_path / "shaky.mp4", frames)
    found = frames_from_video(video, tmp_path / "out", target_count=4)
    assert len(found.paths) == 4
    assert {round(time * 30) for time in found.times_s} <= sharp


def test_a_resting_camera_gives_one_photo_for_the_rest(tmp_path):
    moving = passing(20, 10.0)
    frames = moving[:10] + [moving[9]] * 40 + moving[10:]
    video = write_video(tmp_path / "rest.mp4", frames)
    found = frames_from_video(video, tmp_path / "out", target_count=70)
    columns = [place(read(path))[1] for path in found.paths]
    assert len(columns) == 20
    assert min(b - a for a, b in itertools.pairwise(columns)) > 5


def test_a_film_of_a_wall_that_never_moves_gives_one_frame_and_says_so(tmp_path):
    video = write_video(tmp_path / "still.mp4", [passing(1)[0]] * 30)
    found = frames_from_video(video, tmp_path / "out", target_count=10)
    assert len(found.paths) == 1
    assert [finding.code for finding in found.findings] == ["video_few_frames"]
    assert "1 frames that differ, not 10" in found.findings[0].message


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_the_rotation_that_the_file_states_is_applied(tmp_path, angle, turns):
    video = write_video(tmp_path / "turned.mp4", passing(12), rotation_deg=angle)
    found = frames_from_video(video, tmp_path / "out", target_count=3)
    for path in found.paths:
        assert place(np.ascontiguousarray(np.rot90(read(path), -turns)))[0] > 0.95


def test_stretches_follow_the_time_stamps_of_a_video_with_a_variable_rate(tmp_path):
    # Thirty frames in the first second, then one every half second for nine seconds.
    times = [*range(30), *range(45, 300, 15)]
    video = write_video(tmp_path / "variable.mp4", passing(len(times), 10.0), times=times)
    found = frames_from_video(video, tmp_path / "out", target_count=10)
    assert np.isclose(video_facts(video, VideoLimits()).duration_s, 9.5, atol=0.1)
    assert len(found.times_s) == 10
    assert np.diff(found.times_s).max() < 2.0
    assert sum(time <= 1.0 for time in found.times_s) <= 3


@pytest.mark.parametrize("suffix", ["mov", "mkv", "avi", "ts"])
def test_other_containers_are_read_whatever_their_name(tmp_path, suffix):
    renamed = write_video(tmp_path / f"film.{suffix}", passing(20)).rename(tmp_path / "film.bin")
    assert len(frames_from_video(renamed, tmp_path / "out", target_count=4).paths) == 4


def test_a_name_with_a_colon_is_a_file_not_a_protocol(tmp_path):
    video = write_video(tmp_path / "plain.mp4", passing(12)).rename(tmp_path / "concat:a|b.mp4")
    assert len(frames_from_video(video, tmp_path / "out", target_count=3).paths) == 3


def test_a_file_that_is_no_video_is_refused_by_name(tmp_path):
    file = tmp_path / "notes.mp4"
    file.write_text("A list of things to buy. " * 40)
    with pytest.raises(BadVideo, match=r"notes\.mp4 is not a supported video") as caught:
        frames_from_video(file, tmp_path / "out")
    assert "MP4" in caught.value.hint


def test_a_playlist_is_refused_and_what_it_names_is_not_opened(tmp_path):
    secret = write_video(tmp_path / "secret.mp4", passing(12))
    file = tmp_path / "list.m3u8"
    file.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadVideo, match="not a supported video"):
        frames_from_video(file, tmp_path / "out")


def test_an_empty_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(BadVideo, match="0 bytes"):
        frames_from_video(tmp_path / "empty.mp4", tmp_path / "out")
    with pytest.raises(BadVideo, match="is not a file"):
        frames_from_video(tmp_path / "nowhere.mp4", tmp_path / "out")


def test_sound_alone_is_refused(tmp_path):
    with pytest.raises(BadVideo, match="holds no pictures, only audio"):
        frames_from_video(write_sound(tmp_path / "song.mp4"), tmp_path / "out")


def test_a_video_without_its_index_is_refused(tmp_path):
    video = write_video(tmp_path / "cut.mp4", passing(30))
    data = video.read_bytes()
    assert data.find(b"moov") > len(data) // 2  # the index stands at the end
    video.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadVideo, match=r"cut\.mp4 can't be opened"):
        frames_from_video(video, tmp_path / "out")


def test_a_video_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path):
    video = write_video(tmp_path / "cut.mp4", passing(120, 6.0), options={"movflags": "faststart"})
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    found = frames_from_video(video, tmp_path / "out", target_count=4)
    assert len(found.paths) == 4
    assert "video_cut_short" in [finding.code for finding in found.findings]


def test_a_video_whose_frames_are_all_damaged_is_refused(tmp_path):
    video = write_video(tmp_path / "noise.avi", passing(10))
    data = bytearray(video.read_bytes())
    start = data.find(b"movi") + 4
    end = data.find(b"idx1")
    chunk = start
    while chunk + 8 <= end:  # the chunks' heads stay, their content becomes zeros
        size = int.from_bytes(data[chunk + 4 : chunk + 8], "little")
        data[chunk + 8 : chunk + 8 + size] = bytes(size)
        chunk += 8 + size + size % 2
    video.write_bytes(data)
    with pytest.raises(BadVideo, match=r"can be decoded|unknown or damaged|can't be opened"):
        frames_from_video(video, tmp_path / "out")
    assert not list((tmp_path / "out").glob("**/*.jpg"))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (VideoLimits(max_bytes=1000), "MB, more than"),
        (VideoLimits(max_duration_s=0.5), "seconds, more than"),
        (VideoLimits(max_frames=10), "more than 10 frames"),
        (VideoLimits(max_pixels=10_000), "192 x 128 pixels"),
        (VideoLimits(min_side_px=200), "at least 200"),
    ],
)
def test_each_limit_is_obeyed_and_named(tmp_path, limits, words):
    video = write_video(tmp_path / "walk.mp4", passing(30))
    with pytest.raises(BadVideo, match=words):
        frames_from_video(video, tmp_path / "out", limits=limits)


def test_frames_are_decoded_one_at_a_time(tmp_path):
    video = write_video(tmp_path / "walk.mp4", passing(30))
    stream = frames_of(video, VideoLimits())
    first = next(stream)
    assert first.time_s == 0.0 and first.gray(96).shape == (64, 96)
    stream.close()  # and the file with it: an open one would be a ResourceWarning


def test_progress_rises_and_a_report_that_raises_stops_the_work(tmp_path):
    video = write_video(tmp_path / "walk.mp4", passing(30))
    told = []
    frames_from_video(video, tmp_path / "out", target_count=3, report=lambda p: told.append(p.fraction))
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 20

    def stop(progress):
        if progress.fraction > 0.5:
            raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled):
        frames_from_video(video, tmp_path / "other", target_count=3, report=stop)
    assert not list((tmp_path / "other").iterdir())


def test_frames_of_an_earlier_run_are_replaced_and_other_files_stay(tmp_path):
    out = tmp_path / "out"
    frames_from_video(write_video(tmp_path / "a.mp4", passing(30)), out, target_count=6)
    (out / "note.txt").write_text("mine")
    frames_from_video(write_video(tmp_path / "b.mp4", passing(30)), out, target_count=3)
    assert sorted(p.name for p in out.iterdir()) == [f"frame_000{i}.jpg" for i in (1, 2, 3)] + ["note.txt"]


def test_no_frames_can_not_be_asked_for(tmp_path):
    with pytest.raises(InputError, match="0 frames"):
        frames_from_video(tmp_path / "any.mp4", tmp_path / "out", target_count=0)


def test_without_pyav_the_error_names_the_extra(tmp_path, monkeypatch):
    video = write_video(tmp_path / "walk.mp4", passing(5))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependency, match=r"objectscan\[video\]"):
        frames_from_video(video, tmp_path / "out")


def test_blur_lowers_sharpness_and_a_shift_is_something_new():
    gray = cv2.cvtColor(passing(1)[0], cv2.COLOR_RGB2GRAY)
    assert sharpness(blurred(gray)) < 0.5 * sharpness(gray)
    assert shows_the_same(gray, gray)
    assert not shows_the_same(gray, np.roll(gray, 4, axis=1))


def test_an_object_that_turns_before_a_still_wall_is_something_new():
    first = cv2.cvtColor(passing(1)[0], cv2.COLOR_RGB2GRAY)
    second = first.copy()
    second[40:100, 60:130] = np.roll(first[40:100, 60:130], 5, axis=1)
    assert not shows_the_same(first, second)
