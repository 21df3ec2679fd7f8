"""How every CPU kernel is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first use, keep on disk, run without the GIL; a division by zero gives inf, no exception.

    Small functions carry it too: LLVM inlines them (numba's own inlining measured no faster).
    """
    return njit(cache=True, nogil=True, error_model="numpy")(function)
