from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.gltf import validate_glb


@pytest.fixture
def clean_glb(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes bytes as a GLB and fails unless Khronos' validator has nothing to say about it."""

    def check(data: bytes) -> Path:
        path = tmp_path / "model.glb"
        path.write_bytes(data)
        validate_glb(path)
        return path

    return check
