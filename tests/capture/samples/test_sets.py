"""The sample sets get the verdicts that are written beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from objectscan.capture.checks import judge_photos
from objectscan.capture.gather import gather
from objectscan.capture.plain import require_enough
from objectscan.capture.samples.sets import SETS, SampleSet, write_samples
from objectscan.capture.solve import SolveLimits, require_good_cameras, solve_cameras
from objectscan.cli.main import run
from objectscan.errors import BadWorkspace, ObjectscanError


def named(name: str) -> SampleSet:
    return next(sample for sample in SETS if sample.name == name)


def reason_of(folder: Path, work: Path) -> str | None:
    """Why the first steps of `reconstruct` refuse a set."""
    try:
        photos = gather(folder, work)
        require_enough(photos)
        judgement = judge_photos(photos)
        if judgement.reason is None:
            require_good_cameras(solve_cameras(photos, work, seed=0, limits=SolveLimits(threads=1)))
        return judgement.reason
    except ObjectscanError as refused:
        return str(refused.details.get("reason"))


@pytest.mark.parametrize(
    "name",
    ["too_few", "out_of_focus", "under_exposed", "over_exposed", "no_detail", "one_place", "nothing_shared"],
)
def test_a_bad_set_is_refused_for_its_reason(tmp_path: Path, name: str):
    expected = write_samples(tmp_path / "sets", [named(name)])
    row = json.loads(expected.read_text())[0]
    assert row["verdict"] == "reject"
    assert reason_of(tmp_path / "sets" / name, tmp_path / "work") == row["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["good", "turned_on_the_spot"])
def test_a_set_that_takes_long_to_solve_too(tmp_path: Path, name: str):
    write_samples(tmp_path / "sets", [named(name)])
    assert reason_of(tmp_path / "sets" / name, tmp_path / "work") == named(name).reason


def test_the_command_writes_them_and_names_the_verdicts(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(
        "objectscan.capture.samples.sets.write_samples.__defaults__", ((named("no_detail"),),)
    )
    with pytest.raises(SystemExit) as ended:
        run(["samples", "-o", str(tmp_path / "sets")])
    assert not ended.value.code
    assert "insufficient_features" in capsys.readouterr().out
    assert len(list((tmp_path / "sets" / "no_detail").glob("*.jpg"))) == 10


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadWorkspace, match="not an empty folder"):
        write_samples(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_the_guide_is_printed(capsys):
    with pytest.raises(SystemExit):
        run(["capture-guide"])
    told = capsys.readouterr().out
    assert "24 to 40 photos" in told and "objectscan inspect" in told
