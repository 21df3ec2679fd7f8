"""Settings of the operator: limits of this machine, never part of a recipe. One table; docs/settings.md lists it.

Each is read from the environment variable `OBJECTSCAN_` + its name in capitals, else it has its default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from objectscan.errors import InputError

if TYPE_CHECKING:
    from objectscan.capture.limits import ImageLimits

_IMAGE_LIMITS = ("max_pixels", "max_file_bytes", "max_views", "min_views", "min_side_px", "max_edge_px")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    default: int | float
    unit: str
    help: str

    @property
    def variable(self) -> str:
        """Name of its environment variable."""
        return f"OBJECTSCAN_{self.name.upper()}"


SETTINGS: tuple[Setting, ...] = (
    Setting("max_pixels", 60_000_000, "pixels", "Largest photo that is decoded."),
    Setting("max_file_bytes", 64_000_000, "bytes", "Largest photo file that is read."),
    Setting("max_views", 400, "photos", "Most photos in one capture."),
    Setting("min_views", 3, "photos", "Fewest usable photos; below, a capture is refused."),
    Setting("min_side_px", 64, "pixels", "Shortest side of a photo."),
    Setting("max_edge_px", 2048, "pixels", "Longer side to which larger photos are reduced."),
    Setting("threads", 0, "threads", "Threads for computation; 0 means one a processor core."),
    Setting("memory_share", 0.9, "share", "Share of the free memory that a job may plan to use."),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The values in force, by name."""

    values: Mapping[str, int | float]

    def __getitem__(self, name: str) -> int | float:
        """Value of one setting."""
        return self.values[name]

    def image_limits(self) -> ImageLimits:
        """The limits of the capture stage."""
        from objectscan.capture.limits import ImageLimits

        return ImageLimits(**{name: int(self.values[name]) for name in _IMAGE_LIMITS})

    @property
    def threads(self) -> int:
        """Threads to compute with, at least 1."""
        return int(self.values["threads"]) or len(os.sched_getaffinity(0))


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the table from environment variables.

    Raises:
        InputError: A variable is not a number, is negative, or no such setting exists.
    """
    known = {setting.variable: setting for setting in SETTINGS}
    unknown = [name for name in environment if name.startswith("OBJECTSCAN_") and name not in known]
    if unknown:
        listed = ", ".join(sorted(known))
        raise InputError(f"There is no setting '{unknown[0]}'.", hint=f"Known: {listed}.")
    given = {known[name]: text for name, text in environment.items() if name in known}
    values = {setting.name: setting.default for setting in SETTINGS}
    values.update({setting.name: _number(setting, text) for setting, text in given.items()})
    return Settings(values)


def _number(setting: Setting, text: str) -> int | float:
    try:
        value = type(setting.default)(text)
    except ValueError:
        value = -1
    if value < 0:
        raise InputError(
            f"{setting.variable} is '{text}', not a number of {setting.unit} from 0 up.",
            hint=f"The default is {setting.default}.",
        )
    return value
