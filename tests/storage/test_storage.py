"""The same behaviour on a disk and in S3."""

from __future__ import annotations

import hashlib
import tracemalloc
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from objectscan.errors import BadKey, BadServiceSetup, StorageFailed
from objectscan.storage import Storage, open_storage
from objectscan.storage.base import TenantStorage

HOSTILE = [
    "", "/etc/passwd", "..", "../b/x", "a/../../b/x", "a//b", "./x", "a/.", "a/..", "a\\..\\b", ".hidden",
    "a/.env",
    "a\0b", "a\nb", "c:/x", "x ", " x", "a/ b", "x#1", "a/" * 400, "x" * 300, "a?b", "a*b",
    "\ud800",
]  # fmt: skip


@pytest.fixture
def files(storage: Storage) -> TenantStorage:
    return storage.tenant("a")


def content(files: TenantStorage, key: str, **span) -> bytes:
    return b"".join(files.get(key, **span))


def test_what_is_put_can_be_got_with_its_hash(files):
    written = files.put("jobs/1/model.glb", [b"abc", b"", b"def"])
    assert (written.size_bytes, written.sha256) == (6, hashlib.sha256(b"abcdef").hexdigest())
    assert content(files, "jobs/1/model.glb") == b"abcdef"
    head = files.head("jobs/1/model.glb")
    assert (head.key, head.size_bytes) == ("jobs/1/model.glb", 6) and head.etag


def test_an_empty_file_is_a_file(files):
    files.put("empty", [])
    assert content(files, "empty") == b"" and files.head("empty").size_bytes == 0


def test_names_that_people_give_their_photos_come_back_as_they_are(files):
    names = [
        "IMG 0001 (2).JPG",
        "Fußball ö.png",
        "写真.jpg",
        "50%20.png",
        "a+b=c&d.jpg",
        "x~1.heic",
        "it's #2.jpg",
    ]
    for name in names:
        files.put(f"uploads/1/{name}", [name.encode()])
    assert {stored.key for stored in files.list("uploads/1")} == {f"uploads/1/{name}" for name in names}
    for name in names:
        assert content(files, f"uploads/1/{name}") == name.encode()


def test_a_file_is_replaced_whole_and_its_tag_changes(files):
    files.put("x", [b"one"])
    before = files.head("x").etag
    files.put("x", [b"three"])
    assert content(files, "x") == b"three" and files.head("x").etag != before


def test_a_file_whose_source_breaks_off_does_not_appear(files):
    def broken():
        yield b"x" * 6_000_000
        raise BadKey("the sender has gone")

    files.put("kept", [b"old"])
    for key in ("kept", "new"):
        with pytest.raises(BadKey, match="gone"):
            files.put(key, broken())
    assert {stored.key for stored in files.list()} == {"kept"} and content(files, "kept") == b"old"


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        ({}, b"0123456789"), ({"start": 3}, b"3456789"), ({"start": 3, "stop": 5}, b"34"),
        ({"stop": 4}, b"0123"), ({"start": 8, "stop": 100}, b"89"), ({"start": 5, "stop": 5}, b""),
    ],
)  # fmt: skip
def test_a_range_of_a_file_is_read_alone(files, span, wanted):
    files.put("x", [b"0123456789"])
    assert content(files, "x", **span) == wanted


def test_a_range_beyond_the_end_is_refused(files):
    files.put("x", [b"0123456789"])
    with pytest.raises(StorageFailed, match="'x'"):
        content(files, "x", start=10, stop=12)


def test_a_missing_file_is_told_as_such_and_can_be_deleted(files):
    for action in (files.head, lambda key: content(files, key)):
        with pytest.raises(FileNotFoundError):
            action("nowhere/x")
    files.delete("nowhere/x")


def test_a_folder_is_listed_and_deleted_without_its_neighbours(files):
    for key in ("jobs/1/a", "jobs/1/b/c", "jobs/10/a", "jobs/1.txt"):
        files.put(key, [b"12"])
    assert {stored.key for stored in files.list("jobs/1")} == {"jobs/1/a", "jobs/1/b/c"}
    assert files.delete_folder("jobs/1") == 2
    assert {stored.key for stored in files.list()} == {"jobs/10/a", "jobs/1.txt"}
    assert files.usage_bytes() == 4


def test_nothing_of_one_tenant_can_be_reached_by_another(storage):
    mine, other = storage.tenant("a"), storage.tenant("ab")
    mine.put("secret/x", [b"mine"])
    assert list(other.list()) == [] and other.usage_bytes() == 0
    with pytest.raises(FileNotFoundError):
        content(other, "secret/x")
    for key in ("../a/secret/x", "/tenants/a/secret/x", "x/../../a/secret/x", "..%2fa/secret/x/.."):
        for action in (other.head, other.delete, other.delete_folder, lambda k: content(other, k),
                       lambda k: other.put(k, [b"x"]), lambda k: other.link(k, expires_s=60)):  # fmt: skip
            with pytest.raises(BadKey):
                action(key)
    other.delete("secret/x")
    assert content(mine, "secret/x") == b"mine"
    assert sorted(storage.tenants()) == ["a"]
    other.put("y", [b"1"])
    assert sorted(storage.tenants()) == ["a", "ab"]


@pytest.mark.parametrize("key", HOSTILE, ids=range(len(HOSTILE)))
def test_a_key_that_could_lead_elsewhere_is_refused(tmp_path, key):
    files = open_storage(f"file://{tmp_path}/files").tenant("a")
    with pytest.raises(BadKey):
        files.put(key, [b"x"])
    assert list((tmp_path / "files").rglob("*")) == []


@pytest.mark.parametrize("tenant", ["", "A", "a/b", "..", "a.b", "ä", "a" * 64, "-a", "a\n", "*"])
def test_a_tenant_is_a_plain_name(tmp_path, tenant):
    with pytest.raises(BadKey):
        open_storage(f"file://{tmp_path}").tenant(tenant)


def test_files_come_and_go_by_path(files, tmp_path):
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(b"x" * 9_000_000)
    assert files.put_file("big", source).size_bytes == 9_000_000
    files.get_file("big", target)
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(FileNotFoundError):
        files.get_file("none", tmp_path / "none")
    assert {path.name for path in tmp_path.iterdir()} - {"files"} == {"source", "deep"}


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path, files):
    files.put("x", [b"abc"])
    with pytest.raises(OSError, match="No space"):
        full = tmp_path / "full"
        full.mkdir()
        (full / "x.part").symlink_to("/dev/full")
        files.get_file("x", full / "x")
    assert list(full.iterdir()) == []


def test_memory_does_not_grow_with_the_file(tmp_path):
    files = open_storage(f"file://{tmp_path}").tenant("a")
    process = psutil.Process()
    before = process.memory_info().rss
    chunk = bytes(1_000_000)
    tracemalloc.start()
    files.put("big", (chunk for _ in range(200)))
    size = sum(len(part) for part in files.get("big"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 200_000_000 and peak < 40_000_000
    assert process.memory_info().rss - before < 100_000_000


def test_a_link_to_s3_opens_for_everybody_until_it_ends(s3):
    files = open_storage(f"{s3}/links").tenant("a")
    files.put("jobs/1/a b.glb", [b"abc"])
    with urllib.request.urlopen(files.link("jobs/1/a b.glb", expires_s=60)) as answer:
        assert answer.read() == b"abc"
    request = urllib.request.Request(
        files.link("uploads/1/x.jpg", expires_s=60, method="PUT"), data=b"photo", method="PUT",
        headers={"Content-Type": "image/jpeg"},
    )  # fmt: skip
    with urllib.request.urlopen(request):
        assert content(files, "uploads/1/x.jpg") == b"photo"


def test_a_local_link_without_a_secret_is_refused(tmp_path):
    with pytest.raises(StorageFailed, match="secret"):
        open_storage(f"file://{tmp_path}").tenant("a").link("x", expires_s=60)


@pytest.mark.parametrize(
    "url", ["", "files", "ftp://x/y", "file://host/x", "s3://", "file:///proc/nowhere/x"]
)
def test_an_address_of_no_storage_is_refused(url):
    with pytest.raises(BadServiceSetup):
        open_storage(url)


def test_a_storage_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    files = open_storage("s3://bucket").tenant("a")
    with pytest.raises(StorageFailed, match="'x'"):
        files.head("x")


def test_files_are_for_their_owner_only(tmp_path):
    open_storage(f"file://{tmp_path}/files").tenant("a").put("x", [b"1"])
    assert Path(tmp_path / "files").stat().st_mode & 0o077 == 0
