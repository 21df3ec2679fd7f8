"""What the service tells, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FINISHED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """One reconstruction; `values` is all that the service told."""

    id: str
    state: str
    """queued, running, succeeded, failed or cancelled."""
    stage: str
    progress: float
    """Share of the whole job, 0 to 1."""
    remaining_s: float | None
    error: Mapping[str, Any] | None
    """code, message, hint and details."""
    verdict: Mapping[str, Any] | None
    """grade, score and reason."""
    values: Mapping[str, Any]

    @property
    def is_finished(self) -> bool:
        """Whether nothing will happen to it by itself."""
        return self.state in FINISHED


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first."""

    jobs: Sequence[Job]
    next_cursor: str | None
    """Give it to `list_jobs` for the jobs after these."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job."""

    id: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One result file."""

    name: str
    """May hold folders: `previews/turntable.webp`."""
    size_bytes: int
    sha256: str


def job_from(values: Mapping[str, Any]) -> Job:
    """A job as the service tells it."""
    return Job(
        values["id"], values["state"], values["stage"] or "", values["progress"], values["remaining_s"],
        values["error"], values["verdict"], values,
    )  # fmt: skip


def page_from(values: Mapping[str, Any]) -> JobPage:
    """A page of jobs as the service tells it."""
    return JobPage([job_from(each) for each in values["jobs"]], values["next_cursor"])


def artifacts_from(values: Mapping[str, Any]) -> Sequence[Artifact]:
    """A job's results as the service tells them."""
    return [Artifact(each["name"], each["size_bytes"], each["sha256"]) for each in values["artifacts"]]
