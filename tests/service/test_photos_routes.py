from __future__ import annotations

import io
import time

import pytest
from PIL import Image

from helpers.api import made, photo, photos, problem
from helpers.jobs import write_ball_capture
from helpers.servers import until


def judged(client, path: str) -> dict:
    """The judgement, once it is there."""
    deadline = time.monotonic() + 60
    while True:
        answer = client.get(path)
        if answer.status_code == 200:
            return answer.json()
        assert answer.status_code == 202, answer.text
        assert answer.json()["verdict"] is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def uploaded(client, files) -> dict:
    answer = client.post("/v1/inputs", files=files)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/inputs/{answer.json()['input']}/photos"
    return answer.json()


def test_an_input_is_judged_and_becomes_a_job(client):
    sent = uploaded(client, photos(4, size=(640, 480)))
    path = f"/v1/inputs/{sent['input']}/photos"
    told = judged(client, path)
    assert told["verdict"] in ("good", "doubtful")
    assert [p["name"] for p in told["photos"]] == [f"IMG_{n:02d}.jpg" for n in range(4)]
    assert {(p["width"], p["height"]) for p in told["photos"]} == {(640, 480)}
    small = client.get(told["photos"][0]["thumbnail_url"])
    assert small.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (320, 240)
    assert client.get(told["photos"][1]["url"]).content == photo(1, size=(640, 480))
    job = client.post("/v1/jobs", json={"input": sent["input"], "preset": "preview"})
    assert (job.status_code, job.json()["preset"]) == (202, "preview")
    again = judged(client, job.json()["urls"]["photos"])
    assert again["verdict"] == told["verdict"]  # not judged twice: it is kept beside the photos
    assert client.get(again["photos"][0]["thumbnail_url"]).content == small.content


def test_a_damaged_photo_is_named_and_has_no_thumbnail(client):
    broken = photo(9, size=(640, 480))[:2000]
    files = [*photos(4, size=(640, 480)), ("photos", ("broken.jpg", broken, "image/jpeg"))]
    told = judged(client, f"/v1/inputs/{uploaded(client, files)['input']}/photos")
    bad = told["photos"][-1] if told["photos"][-1]["name"] == "broken.jpg" else told["photos"][0]
    assert bad["name"] == "broken.jpg"
    assert [finding["code"] for finding in bad["findings"]] == ["photo_dropped"]
    assert bad["thumbnail_url"] is None
    assert bad["findings"][0]["severity"] == "warning"
    problem(client.get(f"{bad['url']}/thumbnail"), 404, "not_found")
    assert told["verdict"] == "doubtful"


def test_photos_that_show_nothing_are_refused_with_advice(client):
    files = []
    for number in range(4):
        grey = io.BytesIO()
        Image.new("RGB", (640, 480), (100 + 20 * number, 128, 128)).save(grey, "JPEG")
        files.append(("photos", (f"{number}.jpg", grey.getvalue(), "image/jpeg")))
    told = judged(client, f"/v1/inputs/{uploaded(client, files)['input']}/photos")
    assert told["verdict"] == "refused"
    reason = next(finding for finding in told["findings"] if finding["severity"] == "error")
    assert reason["hint"] and len(reason["photos"]) == 4


def test_a_capture_with_cameras_keeps_its_folders_and_is_checked(tmp_path, client):
    folder = write_ball_capture(tmp_path / "ball", views=6)
    files = [
        ("photos", (f"ball/{path.name}", path.read_bytes(), "application/octet-stream"))
        for path in sorted(folder.iterdir())
    ]
    told = judged(client, f"/v1/inputs/{uploaded(client, files)['input']}/photos")
    assert told["verdict"] in ("good", "doubtful")
    assert len(told["photos"]) == 6  # the camera file is none
    text = (folder / "transforms.json").read_text()
    for wrong, code in ((text.replace("ball_03", "gone"), "bad_cameras"), ("{", "bad_cameras")):
        changed = [f for f in files if "transforms" not in f[1][0]]
        changed.append(("photos", ("ball/transforms.json", wrong.encode(), "application/json")))
        problem(client.post("/v1/jobs", files=changed), 422, code)


def test_a_job_is_judged_when_somebody_asks(api, client):
    job = made(client, preset="preview")
    told = judged(client, job["urls"]["photos"])
    assert told["input"] is None
    assert len(told["photos"]) == 5


def test_a_photo_that_is_not_there_is_said_so(client):
    path = made(client)["urls"]["photos"]
    problem(client.get(f"{path}/7"), 404, "not_found")
    problem(client.get(f"{path}/-1"), 404, "not_found")
    problem(client.get(f"{path}/0/thumbnail"), 404, "not_found")
    problem(client.get("/v1/inputs/nothing/photos"), 404, "not_found")
    problem(client.get("/v1/inputs/3f0c5f0e-8d0a-4a55-9a43-2a8ac0f6a8a5/photos"), 404, "not_found")


def test_another_tenants_input_is_not_there(api, client):
    sent = uploaded(client, photos())
    stranger = api.with_key(api.key("b"))
    problem(stranger.get(f"/v1/inputs/{sent['input']}/photos"), 404, "not_found")
    problem(stranger.get(f"/v1/inputs/{sent['input']}/photos/0"), 404, "not_found")
    problem(stranger.post("/v1/jobs", json={"input": sent["input"]}), 404, "not_found")


def test_a_judging_process_that_dies_refuses_and_does_not_fail(api, client, monkeypatch):
    async def die(*_):
        from objectscan.service.checker import _too_much

        raise _too_much("ended with code -9")

    monkeypatch.setattr(api.context.checker, "_answer", die)
    told = judged(client, f"/v1/inputs/{uploaded(client, photos())['input']}/photos")
    assert told["verdict"] == "refused"
    assert "ended with code -9" in told["findings"][0]["message"]


def test_nothing_is_left_in_the_folder_for_incoming_files(api, client):
    judged(client, f"/v1/inputs/{uploaded(client, photos())['input']}/photos")
    until(lambda: list(api.context.incoming.iterdir()) == [])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_kinds_of_pictures_are_taken(client, kind):
    files = [("photos", (f"{n}.img", photo(n, kind=kind), "")) for n in range(3)]
    told = judged(client, f"/v1/inputs/{uploaded(client, files)['input']}/photos")
    assert {photo["width"] for photo in told["photos"]} == {96}
