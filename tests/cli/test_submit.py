from __future__ import annotations

import json

import pytest

from helpers.api import Api, photo
from objectscan.cli.main import run


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(list(words))
    return int(ended.value.code or 0)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(photo(number))
    return folder


def test_photos_are_submitted(tmp_path, photos, monkeypatch, capsys):
    with Api(tmp_path / "api").running() as api:
        monkeypatch.setenv("OSCAN_KEY", api.key())
        words = ("submit", str(photos), "--server", api.base, "--set", "budget.faces=5000", "--json")
        assert command(*words) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["event"] == "submitted"
        assert api.service.job(told["id"]).overrides == {"budget.faces": 5000}


def test_without_a_key_or_a_server_it_says_so(tmp_path, photos, monkeypatch, capsys):
    monkeypatch.delenv("OSCAN_KEY", raising=False)
    assert command("submit", str(photos)) == 2
    assert "OSCAN_KEY" in capsys.readouterr().err
    (tmp_path / "key").write_text("os_1_2\n")
    assert (
        command("submit", str(photos), "--server", "http://127.0.0.1:9", "--key-file", str(tmp_path / "key"))
        == 4
    )
    assert "does not answer" in capsys.readouterr().err
