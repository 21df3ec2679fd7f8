"""Version 2 of the limits by which photos are judged before cameras are solved, each with what it was set on.

Measured on 21 sets made to fail or to pass (16 photos of 800 px), 30 rendered phone photos, and real sets of
50, 47, 11, 9 and 8 photos: docs/experiments.md has the table.
"""

from __future__ import annotations

VERSION = 2

EDGE_PX = 800
"""Longer side at which photos are measured."""

BLURRED_SHARPNESS = 0.12
"""Out of focus (sigma 6 px at 800): 0.03 to 0.08. Sharp sets 0.36 to 0.77; usable soft ones from 0.17."""
BLURRED_BESIDE_THE_SET = 0.7
"""Share of the set's median below which one photo stands out: shaken ones 0.66, the softest good one 0.83."""

DARK_VALUE, DARK_SHARE = 16, 0.9
"""Nine stops under: 1.00 of the pixels. Objects on black reach 0.71 and are fine."""
BRIGHT_VALUE, BRIGHT_SHARE = 250, 0.6
"""Blown out: 0.85 of the pixels; a castle under a white sky 0.10."""
EXPOSURE_RATIO = 2.0
"""Brightest over darkest median of the set, linear: a set on automatic spans 1.2, a bracketed one 3."""

FEWEST_KEYPOINTS = 30
"""Of 800 at 512 px. A white wall has 0, out of focus 26, the poorest usable photo 105."""
SHAKEN_KEYPOINTS, SHAKEN_CONTRAST = 200, 30.0
"""Streaks of 45 px leave 158 keypoints in pictures of contrast 47; sharp ones of such contrast have 390."""

REFUSED_SHARE = 0.5
"""Of the photos that must fail before the whole set is refused."""

# The view graph of `quick_matches`, by `benchmarks/precheck.py`; docs/experiments.md has the table.

KEYPOINTS, KEYPOINT_EDGE_PX = 800, 512
FEWEST_FOR_GRAPH = 5
"""Photos; fewer are refused or come with cameras."""
LINK_MATCHES = 15
"""Verified matches that tie two photos. Between photos of different places at most 14 survive."""
STATIC_SHARE = 0.8
"""Matches that stand still. A turntable has 0.98, a poster from all sides 0.52, other sets at most 0.1."""
SCENE_SHARE, FIRM_TIES = 0.2, 20
"""A second scene has a fifth of the photos, and its photos are firmly tied to each other (the median
of a set of two: 45); photos of one object that only seem to fall apart are not, and left to the solver."""
CONNECTED_SHARE = 0.5
"""More must be in the largest group. Of other sets the solver placed 0 to 3 photos."""
TURNED_SHARE = 0.95
"""Of the matches of strong pairs that a turn explains; the solver, which sees more, refuses from 0.9."""
PLANAR_MATCHES, PLANAR_SHARE = 0.85, 0.9
"""Of a pair's matches in one plane; of the strong pairs that are such: a poster 1.0, objects at most 0.48."""
