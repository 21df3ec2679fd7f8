"""Which pairs of photos are matched, and in which order."""

from __future__ import annotations

import itertools

NEIGHBOURS = 8
"""Photos after each one that an ordered set matches it with; then the 16th, 32nd, ... (quadratic overlap)."""
LOOP_STEP = 5
"""Every fifth photo is matched with every fifth, however far away: where a walk round the object closes."""
_TILE = 15
"""Photos a side of the blocks in which pairs are matched: a photo's search index is built once a block
(90 ms), and progress comes once a block (8 s)."""


def pairs_to_match(count: int, *, is_ordered: bool, exhaustive_up_to: int) -> list[tuple[int, int]]:
    """Pairs of photo numbers, lower first.

    All pairs, or for an ordered set of more than `exhaustive_up_to` photos neighbours and a loop grid.
    """
    if count <= exhaustive_up_to or not is_ordered:
        return list(itertools.combinations(range(count), 2))
    steps = {*range(1, NEIGHBOURS + 1), *(2**power for power in range(4, count.bit_length()))}
    near = {(one, one + step) for one in range(count) for step in steps if one + step < count}
    return sorted(near | set(itertools.combinations(range(0, count, LOOP_STEP), 2)))


def in_blocks(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The pairs in square tiles, so that few photos take part in each."""
    tiles: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for one, other in pairs:
        tiles.setdefault((one // _TILE, other // _TILE), []).append((one, other))
    return [tiles[key] for key in sorted(tiles)]
