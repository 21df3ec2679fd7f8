from __future__ import annotations

import pytest

from objectscan.errors import BadKey
from objectscan.storage import LinkSigner

SIGNER = LinkSigner(b"secret", clock=lambda: 1000.0)
LINK = SIGNER.link("a", "jobs/1/ä b.glb", method="GET", expires_s=60)


def test_a_link_opens_what_it_was_made_for():
    assert SIGNER.open_link(LINK, method="GET") == ("a", "jobs/1/ä b.glb")
    assert SIGNER.open_link(f"https://host:8000/v1/{LINK}", method="GET") == ("a", "jobs/1/ä b.glb")


def test_a_link_ends():
    later = LinkSigner(b"secret", clock=lambda: 1060.5)
    with pytest.raises(BadKey, match="not any more"):
        later.open_link(LINK, method="GET")


@pytest.mark.parametrize(
    "link",
    [
        LINK.replace("files/a/", "files/b/"),
        LINK.replace("jobs/1", "jobs/2"),
        LINK.replace("expires=1060", "expires=9999"),
        LINK.replace("expires=1060", "expires="),
        LINK.replace("expires=1060", "expires=²"),
        LINK[:-1] + ("0" if LINK[-1] != "0" else "1"),
        LINK.partition("&signature")[0],
        LINK.partition("?")[0],
        "files/a/../b/x?expires=9999&signature=x",
        "",
    ],
)
def test_a_link_that_was_changed_is_refused(link):
    with pytest.raises(BadKey, match="not valid"):
        SIGNER.open_link(link, method="GET")


def test_a_link_to_read_is_none_to_write():
    with pytest.raises(BadKey):
        SIGNER.open_link(LINK, method="PUT")
    assert SIGNER.open_link(SIGNER.link("a", "x", method="PUT", expires_s=1), method="PUT") == ("a", "x")


def test_another_secret_opens_nothing():
    with pytest.raises(BadKey):
        LinkSigner(b"other", clock=lambda: 1000.0).open_link(LINK, method="GET")
