from __future__ import annotations

import asyncio
import hashlib
import threading
import time

import pytest
import sqlalchemy as sa

from helpers.api import Api, photo
from objectscan.client import AsyncClient, Client, calls
from objectscan.client.calls import EventReader, JobOptions, photo_files, target_of
from objectscan.client.model import Artifact
from objectscan.client.problems import error_of
from objectscan.errors import (
    BadRecipe,
    Cancelled,
    InputError,
    NotAuthenticated,
    ObjectscanError,
    ServiceFailed,
    TooFewViews,
    UnknownJob,
)
from objectscan.jobs.database import now
from objectscan.jobs.events import append_event
from objectscan.jobs.model import jobs


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with Api(tmp_path_factory.mktemp("api")).running() as running:
        yield running


@pytest.fixture
def client(api):
    with Client(api.base, key=api.key()) as made:
        yield made


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "photos"
    (made / "masks").mkdir(parents=True)
    for number in range(5):
        (made / f"IMG_{number}.jpg").write_bytes(photo(number))
    (made / ".hidden").write_bytes(b"x")
    return made


def finish(api, job_id: str, body: bytes = b"glTF") -> None:
    """What a worker's last write would be."""
    folder = f"jobs/{job_id}/1"
    files = []
    for name in ("model.glb", "previews/turn.webp"):
        api.service.storage.tenant("a").put(f"{folder}/{name}", [body])
        files.append({"name": name, "size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()})
    values = {"state": "succeeded", "finished_at": now(), "artifacts": {"folder": folder, "files": files}}
    with api.service.database.writing() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(**values))
        append_event(connection, "a", job_id, "succeeded", {"attempt": 1})


def test_a_folder_is_sent_waited_for_and_its_results_fetched(api, client, folder, tmp_path):
    job = client.submit(folder, JobOptions(preset="preview", tags=("x",), notes={"n": 1}, seed=4))
    assert (job.state, job.values["seed"], job.values["notes"]) == ("queued", 4, {"n": 1})
    threading.Timer(0.5, finish, (api, job.id)).start()
    kinds: list[str] = []
    done = client.wait(job.id, timeout_s=30, on_event=lambda event: kinds.append(event.kind))
    assert done.state == "succeeded" and kinds[-1] == "succeeded"
    paths = client.download(job.id, tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in paths)
    assert found == ["model.glb", "previews/turn.webp"]
    assert all(path.read_bytes() == b"glTF" for path in paths)
    assert [each.id for each in client.list_jobs(tag="x").jobs] == [job.id]
    client.delete(job.id)
    with pytest.raises(UnknownJob):
        client.job(job.id)


def test_a_large_set_goes_by_resumable_upload(client, folder, monkeypatch):
    monkeypatch.setattr(calls, "RESUMABLE_FROM_BYTES", 1)
    monkeypatch.setattr(calls, "PIECE_BYTES", 700)
    seen: list[tuple[int, int]] = []
    job = client.submit(
        folder, JobOptions(preset="preview"), on_sent=lambda sent, total: seen.append((sent, total))
    )
    assert job.state == "queued" and len(seen) == 5 and seen[-1][0] == seen[-1][1]


def test_an_upload_goes_on_after_a_broken_piece(api, client, folder, monkeypatch):
    monkeypatch.setattr(calls, "PIECE_BYTES", 700)
    whole, broken = Client._call, []

    def unreliable(self, method, path, **values):
        answer = whole(self, method, path, **values)
        if method == "PATCH" and len(broken) < 2:
            broken.append(path)  # the bytes arrived, the answer was lost
            raise ServiceFailed("cut off")
        return answer

    monkeypatch.setattr(Client, "_call", unreliable)
    files = photo_files(folder)
    ids = client.upload(files)
    job = client.submit_json({"upload_ids": ids}, JobOptions())
    part, stored = api.service.storage.tenant("a"), api.service.job(job.id).input
    assert len(broken) == 2
    assert all(b"".join(part.get(f"{stored}/{name}")) == path.read_bytes() for name, path in files)


def test_errors_of_the_service_are_errors_of_the_tree(api, client, folder):
    (folder / "IMG_2.jpg").unlink()
    with pytest.raises(TooFewViews) as told:
        client.submit(folder)
    assert told.value.details["status"] == 422 and told.value.hint
    with pytest.raises(BadRecipe):
        client.submit_json({"input": "x"}, JobOptions(preset="none"))
    with Client(api.base, key="os_0_0") as stranger, pytest.raises(NotAuthenticated):
        stranger.list_jobs()
    with (
        Client("http://127.0.0.1:9", key="k") as nobody,
        pytest.raises(ServiceFailed, match="does not answer"),
    ):
        nobody.list_jobs()


def test_a_job_that_was_cancelled_or_takes_too_long_ends_the_wait(client, folder):
    job = client.submit(folder)
    with pytest.raises(TimeoutError):
        client.wait(job.id, timeout_s=0.0)
    threading.Timer(0.3, client.cancel, (job.id,)).start()
    with pytest.raises(ObjectscanError, match="cancelled"):
        client.wait(job.id, timeout_s=20)
    assert client.retry(job.id).state == "queued"
    assert client.cancel(job.id).is_finished


def test_where_events_do_not_get_through_it_asks(api, client, folder, monkeypatch):
    def blocked(self, job_id, *, after=""):
        raise ServiceFailed("A proxy holds them back.")

    monkeypatch.setattr(Client, "events", blocked)
    job = client.submit(folder)
    finish(api, job.id)
    began = time.monotonic()
    assert client.wait(job.id, timeout_s=20).state == "succeeded" and time.monotonic() - began < 5


def test_a_damaged_result_gets_no_name(api, client, folder, tmp_path):
    job = client.submit(folder)
    finish(api, job.id)
    api.service.storage.tenant("a").put(f"jobs/{job.id}/1/model.glb", [b"glTX"])
    with pytest.raises(ServiceFailed):
        client.download(job.id, tmp_path / "out", names=["model.glb"])
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_the_async_client_does_the_same(api, folder, tmp_path):
    async def work():
        async with AsyncClient(api.base, key=api.key()) as client:
            job = await client.submit(folder, JobOptions(preset="preview"))
            asyncio.get_running_loop().call_later(0.5, finish, api, job.id)
            done = await client.wait(job.id, timeout_s=30)
            paths = await client.download(job.id, tmp_path / "out", names=["model.glb"])
            ids = await client.upload(photo_files(folder))
            again = await client.submit_json({"upload_ids": ids}, JobOptions())
            await client.cancel(again.id)
            page = await client.list_jobs(limit=1)
            return done, paths, again, page

    done, paths, again, page = asyncio.run(work())
    assert done.state == "succeeded" and [path.name for path in paths] == ["model.glb"]
    assert page.jobs[0].id == again.id and page.next_cursor


def test_both_clients_have_the_same_calls():
    def public(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)


def test_events_are_read_from_lines_however_they_are_cut():
    lines = [": ping", "id: 7", "event: progress", 'data: {"a":', "data: 1}", "", "data: {}", ""]
    reader, found = EventReader(), []
    for line in lines:
        found += reader.read([line])
    assert [(each.id, each.kind, each.data) for each in found] == [
        ("7", "progress", {"a": 1}),
        ("7", "message", {}),
    ]


def test_unknown_codes_and_pages_of_proxies_are_told_by_their_status():
    assert type(error_of(418, b"<html>")) is InputError
    assert type(error_of(502, b"<html>")) is ServiceFailed
    assert type(error_of(409, b'{"code": "cancelled", "detail": "x"}')) is Cancelled


def test_a_result_that_would_lie_outside_the_folder_is_refused(tmp_path):
    with pytest.raises(ServiceFailed):
        target_of(tmp_path, Artifact("../x", 1, ""))


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(TooFewViews):
        photo_files(tmp_path)


def test_notes_beside_the_photos_stay_at_home_and_camera_files_go_along(tmp_path):
    for name in (
        "a.jpg",
        "README.txt",
        "notes.md",
        "cameras.txt",
        "transforms.json",
        "masks/a.png",
        ".b.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [name for name, _ in photo_files(tmp_path)]
    assert names == ["a.jpg", "cameras.txt", "masks/a.png", "transforms.json"]
