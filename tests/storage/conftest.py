from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.s3 import s3_bucket
from objectscan.storage import Storage, open_storage


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    with s3_bucket("photos") as url:
        yield url


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path) -> Storage:
    if request.param == "local":
        return open_storage(f"file://{tmp_path}/files", link_secret=b"secret")
    return open_storage(f"{request.getfixturevalue('s3')}/{tmp_path.name}")
