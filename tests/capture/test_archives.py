import io
import stat
import zipfile

import pytest

from objectscan.capture.archives import ArchiveLimits, is_archive, unpack_photos
from objectscan.errors import InputError, TooFewViews, UnsafeArchive


def packed(tmp_path, members, **options):
    file = tmp_path / "photos.zip"
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file


def test_photos_of_any_folder_come_out_flat_and_junk_stays_behind(tmp_path):
    file = packed(
        tmp_path,
        [
            ("a/1.jpg", b"one"), ("b/1.jpg", b"two"), ("2.png", b"three"), ("a/masks/1.png", b"mask"),
            ("__MACOSX/a/._1.jpg", b"junk"), (".DS_Store", b"junk"), ("a/Thumbs.db", b"junk"),
        ],
    )  # fmt: skip
    assert is_archive(file)
    folder = unpack_photos(file, tmp_path / "out")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {"1.jpg": b"one", "1-2.jpg": b"two", "2.png": b"three", "masks/1.png": b"mask"}


@pytest.mark.parametrize(
    "path", ["../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:evil.jpg"]
)
def test_a_path_that_leads_out_is_refused_and_nothing_is_written(tmp_path, path):
    file = packed(tmp_path, [("good.jpg", b"1"), (path, b"2")])
    with pytest.raises(UnsafeArchive, match="leads out") as refused:
        unpack_photos(file, tmp_path / "out")
    assert refused.value.details["reason"] == "unsafe_archive" and refused.value.exit_code == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["photos.zip"]


def test_links_and_archives_inside_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UnsafeArchive, match="a link"):
        unpack_photos(packed(tmp_path, [(link, b"/etc/passwd")]), tmp_path / "out")
    with pytest.raises(UnsafeArchive, match="another archive"):
        unpack_photos(packed(tmp_path, [("more.zip", b"PK")]), tmp_path / "out")


def test_a_bomb_is_stopped_while_it_unpacks(tmp_path):
    file = packed(tmp_path, [("big.jpg", bytes(40_000_000))], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UnsafeArchive, match=r"more than 1[0-9] MB") as refused:
        unpack_photos(file, tmp_path / "out")
    assert refused.value.details["reason"] == "archive_too_large"
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) < 20_000_000


def test_too_many_files_are_refused(tmp_path):
    file = packed(tmp_path, [(f"{k}.jpg", b"x") for k in range(12)])
    with pytest.raises(UnsafeArchive, match="12 files; the limit is 10") as refused:
        unpack_photos(file, tmp_path / "out", ArchiveLimits(max_entries=10))
    assert refused.value.details["reason"] == "too_many_files"


def test_damage_is_told(tmp_path):
    file = packed(tmp_path, [("1.jpg", b"abc" * 500)], compression=zipfile.ZIP_DEFLATED)
    data = bytearray(file.read_bytes())
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnsafeArchive) as cut:
        unpack_photos(file, tmp_path / "a")
    data[45] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(UnsafeArchive) as flipped:
        unpack_photos(file, tmp_path / "b")
    assert {cut.value.details["reason"], flipped.value.details["reason"]} == {"corrupt_archive"}


def test_hostile_names_become_safe_ones(tmp_path):
    file = packed(
        tmp_path, [("a\nb;rm -rf $(x).jpg", b"1"), ("Ünïcode 写真.JPG", b"2"), ("x" * 300 + ".png", b"3")]
    )
    names = sorted(path.name for path in unpack_photos(file, tmp_path / "out").iterdir())
    assert len(names) == 3 and all(len(name) <= 110 for name in names)
    assert not any(sign in name for name in names for sign in "\n;$/|&")


def test_an_empty_archive_and_a_missing_one_are_told_apart(tmp_path):
    with pytest.raises(TooFewViews) as empty:
        unpack_photos(packed(tmp_path, []), tmp_path / "out")
    assert empty.value.details["reason"] == "too_few_images"
    with pytest.raises(InputError, match="does not exist"):
        unpack_photos(tmp_path / "none.zip", tmp_path / "out")
    assert not is_archive(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(io.BytesIO(b"text").read())
    assert not is_archive(other)
