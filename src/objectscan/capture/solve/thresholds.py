"""What separates right cameras from wrong ones: one table, with the experiment that made each number.

`VERSION` changes with any number, so that a stored verdict tells by which rules it was made. The experiments
are in docs/experiments.md, "Cameras from photos"; `benchmarks/camera_gate.py` repeats them.
"""

from __future__ import annotations

VERSION = 1

GOOD_CONSISTENCY = 0.88
"""Mean over photos of `consistency.photo_consistency`. Right: 0.89 to 1.00, wrong: 0.40 to 0.85."""
LEAST_CONSISTENCY = 0.80
"""Below this the cameras are wrong; between the two they are doubtful."""
PHOTO_CONSISTENCY = 0.5
"""A photo below it is left out. Wrong single cameras: 0.00 to 0.34, right ones from 0.66."""
LEAST_REGISTERED_SHARE = 0.7
"""Of the photos in one model; with fewer the photos fall apart."""
RETRY_REGISTERED_SHARE = 0.8
"""With fewer photos placed a second try with affine features is worth its time."""
LEAST_REGISTERED = 3
"""Photos of a model that is used at all."""
GOOD_REGISTERED = 6
"""Fewer cameras can't check each other: at best doubtful."""
LEAST_ANGLE_DEG = 3.0
"""Median triangulation angle: below it depth is noise (one place, or the same photo again)."""
GOOD_ANGLE_DEG = 8.0
"""Right: 12.6 to 87 degrees."""
GOOD_OBSERVATIONS = 30
"""Points that each photo must see, at least; in the median photo 80. Right models: 37 and 83."""
GOOD_MEDIAN_OBSERVATIONS = 80
LEAST_IN_FRONT = 0.9
"""Share of two-view matches that lie before both cameras. Right: above 0.97."""
FOCAL_FROM_PRIOR = 0.1
"""Largest share by which a focal length may leave EXIF's, which is written in whole millimetres."""
LARGEST_K1 = 0.5
"""Lens distortion beyond this is no lens of a phone or camera."""
SAME_START_SHARE = 0.9
"""Photos whose cameras must agree between two starts."""
FLAT_SHARE = 0.985
"""Of the points within 1 % of the camera distance from one plane: nothing stands on it."""
PLANAR_SHARE = 0.9
"""Of strong pairs that one homography explains, where no turn does."""
TURNED_SHARE = 0.9
"""Of the matches of strong pairs that a mere turn of the camera explains: no parallax. Two sets taken from
one spot: 1.00; eleven others at most 0.65 (a flat poster) and 0.47."""
STATIC_SHARE = 0.5
"""Of the matches of strong pairs that don't move: the background of a turntable."""
LINK_MATCHES = 30
"""Matches that tie two photos; fewer happen between unrelated ones."""
SCENE_SHARE = 0.2
"""Photos that a second, unconnected group must have to count as a second object."""
FEW_FEATURES = 150
"""Median features of a photo below which there is nothing to match."""
