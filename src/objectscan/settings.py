"""Settings of the operator: what this machine may spend. One table; docs/settings.md lists the same.

Settings never change what a result looks like for photos within the limits: that is the recipe's part. Each
is read from the environment variable `OBJECTSCAN_` + its name in capitals, else from a TOML file, else it has
its default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectscan.errors import InputError

Value = int | float | str

FILE_VARIABLE = "OBJECTSCAN_SETTINGS"
"""Names the TOML file."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    default: Value
    unit: str
    help: str
    least: float = 0.0
    most: float = float("inf")

    @property
    def variable(self) -> str:
        """Name of its environment variable."""
        return f"OBJECTSCAN_{self.name.upper()}"


SETTINGS: tuple[Setting, ...] = (
    Setting("max_pixels", 60_000_000, "pixels", "Largest photo that is decoded.", least=4096),
    Setting("max_file_bytes", 64_000_000, "bytes", "Largest photo file that is read.", least=1),
    Setting("max_camera_file_bytes", 256_000_000, "bytes", "Largest camera file that is read.", least=1),
    Setting("max_views", 400, "photos", "Most photos in one capture.", least=1),
    Setting("min_views", 3, "photos", "Fewest usable photos; with fewer a capture is refused.", least=1),
    Setting("min_side_px", 64, "pixels", "Shorter side of the smallest photo that is used.", least=1),
    Setting("max_aspect", 8.0, "ratio", "Longer side / shorter side of the narrowest photo.", least=1),
    Setting("max_edge_px", 2048, "pixels", "Longer side to which larger photos are reduced.", least=64),
    Setting("max_video_bytes", 4_000_000_000, "bytes", "Largest video that is read.", least=1),
    Setting("max_video_duration_s", 600.0, "seconds", "Longest video that is read.", least=1),
    Setting("max_video_frames", 40_000, "frames", "Most frames in a video; all are decoded.", least=1),
    Setting("max_video_pixels", 36_000_000, "pixels", "Largest frame of a video.", least=4096),
    Setting("segmentation_model", "", "file", "ONNX network for masks, of the kind of U2-Net, ISNet or "
            "BiRefNet; empty means the bundled u2netp."),
    Setting("segmentation_family", "", "name", "Whose normalisation that network wants: u2net, isnet or "
            "birefnet; empty means by its name and size."),
    Setting("threads", 0, "threads", "Threads for computing; 0 means one for each usable processor core."),
    Setting("device", "auto", "name", "Where engines compute: cpu, cuda, or auto for a GPU if there is one."),
    Setting("memory_share", 0.9, "share", "Share of the free memory that a run may plan to use.", most=1),
    Setting("cache_folder", "", "folder", "Where compiled kernels are kept; empty means beside the package, "
            "or in the user's cache folder if that can't be written."),
    Setting("models", "", "folder", "Where model weights are kept; empty means objectscan/models in the "
            "user's cache folder."),
    Setting("data_folder", "data", "folder", "Where a service keeps what has no other address: "
            "database, wake-up messages, files, work in progress."),
    Setting("database_url", "", "URL", "Jobs: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME; "
            "empty means SQLite in the data folder."),
    Setting("broker_url", "", "URL", "Wake-up messages: filesystem:///FOLDER, redis:// or amqp://; "
            "empty means the data folder."),
    Setting("storage_url", "", "URL", "Photos and results: file:///FOLDER or s3://BUCKET/PREFIX; empty "
            "means the data folder."),
    Setting("work_folder", "", "folder", "Jobs at work on this machine; empty means the data folder."),
    Setting("lease_s", 60.0, "seconds", "A worker that is not heard of for so long has lost its job.",
            least=1),
    Setting("heartbeat_s", 10.0, "seconds", "How often a worker renews its lease.", least=0.1),
    Setting("poll_s", 2.0, "seconds", "How often an idle worker looks for jobs, woken or not.", least=0.05),
    Setting("reap_s", 3.0, "seconds", "How often a worker looks for lost jobs.", least=0.1),
    Setting("max_attempts", 3, "attempts", "After so many attempts that failed by no fault of the "
            "photos, a job fails.", least=1),
    Setting("backoff_cap_s", 300.0, "seconds", "Longest wait before another attempt; it starts at 2 s "
            "and doubles."),
    Setting("job_time_limit_s", 7200.0, "seconds", "A job that runs longer is stopped and fails.", least=1),
    Setting("stop_grace_s", 20.0, "seconds", "How long a stopping worker's job may take to stop by "
            "itself."),
    Setting("child_start_s", 600.0, "seconds", "How long a worker's child may take to load the engine.",
            least=1),
    Setting("child_jobs", 20, "jobs", "After so many jobs a worker's child is replaced.", least=1),
    Setting("child_memory_bytes", 12_000_000_000, "bytes", "A child that holds more after a job is "
            "replaced.", least=1),
    Setting("child_fragmentation", 0.3, "share", "A child whose GPU memory is more fragmented after a "
            "job is replaced.", most=1),
    Setting("retention_s", 2_592_000.0, "seconds", "Finished jobs are deleted with their files after "
            "this time, unless the job says otherwise."),
    Setting("work_retention_s", 86_400.0, "seconds", "Stage results of a failed or cancelled job are "
            "kept so long for a retry, and files that belong to no job."),
    Setting("sweep_s", 3600.0, "seconds", "How often expired jobs and left-over files are removed.", least=1),
    Setting("tenant_quota_bytes", 50_000_000_000, "bytes", "Files that one tenant may keep; 0 means no "
            "limit."),
    Setting("tenant_max_waiting", 1000, "jobs", "Jobs that one tenant may have waiting; 0 means no "
            "limit."),
    Setting("max_request_bytes", 500_000_000, "bytes", "Largest request that the service takes.", least=1),
    Setting("max_files", 1000, "files", "Most files in one request.", least=1),
    Setting("max_archive_entries", 2000, "files", "Most files in an uploaded zip.", least=1),
    Setting("max_archive_bytes", 1_000_000_000, "bytes", "Most that an uploaded zip may unpack to.", least=1),
    Setting("max_archive_ratio", 100.0, "ratio", "Unpacked to packed size above which a zip is taken for a "
            "bomb.", least=1),
    Setting("check_memory_bytes", 6_000_000_000, "bytes", "Address space of the process in which "
            "uploads are decoded, unpacked and judged.", least=1_000_000_000),
    Setting("check_time_limit_s", 300.0, "seconds", "How long that process may work on one upload.", least=1),
    Setting("check_processes", 2, "processes", "Most such processes at once.", least=1),
    Setting("link_s", 900.0, "seconds", "How long a signed link to a result works.", least=1),
    Setting("session_s", 604_800.0, "seconds", "How long the page's session lasts.", least=1),
    Setting("max_listeners", 5000, "listeners", "Most live event streams of one API process.", least=1),
    Setting("fetch_allowed_networks", "", "networks",
            "Networks that are not public and yet may be fetched from and get webhooks, "
            "such as 10.1.0.0/16,fd00::/8."),
    Setting("fetch_ports", "80,443", "ports", "Ports that may be fetched from and get webhooks."),
    Setting("fetch_timeout_s", 120.0, "seconds", "How long fetching one photo by URL may take.", least=1),
    Setting("upload_retention_s", 86_400.0, "seconds", "Resumable uploads that no job took "
            "are deleted after this time.", least=1),
    Setting("requests_per_minute", 1200, "requests",
            "Requests of one key a minute, unless the key says otherwise; 0 means no lim"
            "it."),
)  # fmt: skip
_IMAGE_LIMITS = (
    "max_pixels", "max_file_bytes", "max_camera_file_bytes", "max_views", "min_views", "min_side_px",
    "max_aspect", "max_edge_px",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """The values in force, by name."""

    values: Mapping[str, Value]

    def __getitem__(self, name: str) -> Value:
        """Value of one setting."""
        return self.values[name]

    def image_limits(self) -> dict[str, Any]:
        """The limits of the capture stage, by the field names of `capture.ImageLimits`."""
        return {name: self.values[name] for name in _IMAGE_LIMITS}

    def video_limits(self) -> dict[str, Any]:
        """The limits on videos, by the field names of `capture.limits.VideoLimits`."""
        names = ("bytes", "duration_s", "frames", "pixels")
        return {f"max_{name}": self.values[f"max_video_{name}"] for name in names}

    @property
    def threads(self) -> int:
        """Threads to compute with, at least 1."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return int(self.values["threads"]) or usable

    @property
    def memory_share(self) -> float:
        """Share of the free memory that a run may plan to use."""
        return float(self.values["memory_share"])


DEFAULT_SETTINGS = Settings({setting.name: setting.default for setting in SETTINGS})


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the table from environment variables and the TOML file that one of them may name.

    Raises:
        InputError: A value has the wrong kind or is out of range, there is no such setting, or the file can't
            be read. The message names the variable or the file.
    """
    by_variable = {setting.variable: setting for setting in SETTINGS}
    values = dict(DEFAULT_SETTINGS.values)
    if environment.get(FILE_VARIABLE):
        values.update(_from_file(Path(environment[FILE_VARIABLE])))
    for variable, text in environment.items():
        if not variable.startswith("OBJECTSCAN_") or variable == FILE_VARIABLE:
            continue
        setting = _known(variable, by_variable, "the environment")
        values[setting.name] = _from_text(setting, text)
    return Settings(values)


def _from_file(path: Path) -> dict[str, Value]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise InputError(
            f"The settings file {path} can't be read: {problem}.",
            hint=f"Correct it or unset {FILE_VARIABLE}.",
        ) from problem
    by_name = {setting.name: setting for setting in SETTINGS}
    return {name: _checked(_known(name, by_name, str(path)), value, name) for name, value in table.items()}


def _known(name: str, known: Mapping[str, Setting], place: str) -> Setting:
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    raise InputError(
        f"There is no setting '{name}' ({place}).",
        hint=f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(known)}.",
    )


def _from_text(setting: Setting, text: str) -> Value:
    try:
        value = type(setting.default)(text)
    except ValueError:
        value = text
    return _checked(setting, value, setting.variable)


def _checked(setting: Setting, value: object, name: str) -> Value:
    wanted = type(setting.default)
    value = float(value) if wanted is float and type(value) is int else value
    hint = f"The default is {setting.default!r}."
    if type(value) is not wanted:
        kind = {int: "a whole number", float: "a number", str: "a text"}[wanted]
        raise InputError(f"{name} is {value!r}, not {kind} ({setting.unit}).", hint=hint)
    if isinstance(value, int | float) and not setting.least <= value <= setting.most:
        wording = f"from {setting.least:g} up" if setting.most == float("inf") else (
            f"between {setting.least:g} and {setting.most:g}"
        )  # fmt: skip
        raise InputError(f"{name} is {value!r}; it must be {wording} ({setting.unit}).", hint=hint)
    return value  # type: ignore[return-value]
