from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.api import Api


@pytest.fixture
def api(tmp_path) -> Iterator[Api]:
    with Api(tmp_path).running() as running:
        yield running


@pytest.fixture
def client(api):
    return api.client
