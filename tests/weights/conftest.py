from __future__ import annotations

import pytest

from weights.fake_hub import FakeHub, serving


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub():
    with serving(FakeHub()) as running:
        yield running
