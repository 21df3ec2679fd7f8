from __future__ import annotations

import psutil
import pytest

from objectscan.errors import NotEnoughMemory
from objectscan.memory import free_memory_bytes, require_memory

GIB = 1 << 30


def _version_2(folder, limit, used, cache=0):
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\nactive_file 7\n")


@pytest.fixture(autouse=True)
def _machine_with_64_gib(monkeypatch):
    memory = psutil.virtual_memory()._replace(available=64 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def test_without_a_container_the_machine_counts(tmp_path):
    assert free_memory_bytes(tmp_path) == 64 * GIB


def test_the_container_limits_and_its_file_cache_counts_as_free(tmp_path):
    _version_2(tmp_path, 4 * GIB, 3 * GIB, cache=GIB // 2)
    assert free_memory_bytes(tmp_path) == GIB + GIB // 2


def test_a_container_without_a_limit_does_not_limit(tmp_path):
    _version_2(tmp_path, "max", 3 * GIB)
    assert free_memory_bytes(tmp_path) == 64 * GIB


def test_a_container_over_its_limit_has_nothing_left(tmp_path):
    _version_2(tmp_path, GIB, 2 * GIB)
    assert free_memory_bytes(tmp_path) == 0


def test_version_1_of_control_groups_is_read_too(tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(str(2 * GIB))
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text(str(GIB))
    assert free_memory_bytes(tmp_path) == GIB


def test_work_that_does_not_fit_is_refused_with_both_numbers():
    with pytest.raises(NotEnoughMemory, match=r"12\.0 GB .* 90% of the 10\.0 GB") as caught:
        require_memory(12 * 10**9, free_bytes=10**10, share=0.9)
    assert caught.value.details["needed_bytes"] == 12 * 10**9
    assert caught.value.details["free_bytes"] == 10**10


def test_work_that_just_fits_is_accepted():
    require_memory(9 * 10**9, free_bytes=10**10, share=0.9)
