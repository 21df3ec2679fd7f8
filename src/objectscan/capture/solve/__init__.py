"""Where plain photos were taken from: structure from motion in a child process, then judged."""

from objectscan.capture.solve.options import SolveLimits
from objectscan.capture.solve.solver import require_good_cameras, solve_cameras

__all__ = ["SolveLimits", "require_good_cameras", "solve_cameras"]
