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

MATCH_EDGE_PX, MATCH_FEATURES, MATCH_RATIO = 512, 800, 0.8
"""Longer side and number of the quick features, and how much nearer a match must be than the second best."""
GRAPH_EDGE_PX = 1200
"""Longer side in whose pixels quick matches are told, that of the solver's pictures."""
INLIER_PX = 3.5
"""Of `GRAPH_EDGE_PX`: 1.5 px at 512."""
LINK_MATCHES, LINK_SHARE = 15, 0.3
"""Verified quick matches that tie two photos, and the least share of all their matches. Eight good sets are
whole at 15, one falls apart at 20; eight unrelated photos and two objects have none."""
PLANAR_INLIERS = 0.8
"""Of a pair's verified matches that one homography must explain (COLMAP's rule)."""
PLANAR_SHARE = 0.9
"""Of strong pairs that are planar. A poster and a turned camera: 1.00; 12 sets that solve at most 0.53."""
TURNED_SHARE = 0.9
"""Of the matches of strong pairs that a turn explains. A camera turned on the spot: 0.97; a flat poster 0.43,
12 sets that solve at most 0.28."""
STATIC_SHARE = 0.5
"""Of the matches of strong pairs that stand still. The same photo again: 1.00; a poster 0.22; others 0.02."""
SCENE_PHOTOS, SCENE_SHARE = 3, 0.2
"""Photos, and share of the set, from which a separate group counts as a second object."""

ALL_PAIRS_UP_TO = 17
"""Photos of a set in which all pairs are matched (1.7 s of CPU time for 16)."""
NEIGHBOUR_STEPS = (1, 2)
"""Larger sets in order: the next photo and the one after it, round the ring."""
ALIKE = 6
"""Larger sets: the photos that look most alike as a whole."""
BRIDGES = 12
"""Photos of the largest group that one outside is matched with before it counts as unconnected."""
