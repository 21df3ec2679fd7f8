"""A job's row as the API shows it."""

from __future__ import annotations

import datetime
from typing import Any

from objectscan.jobs import model
from objectscan.service import schemas


def time_text(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_time(seconds: float | None) -> str | None:
    """As `time_text`, or None."""
    return None if seconds is None else time_text(seconds)


def job_path(job_id: str) -> str:
    """Address of a job, below the host."""
    return f"/v1/jobs/{job_id}"


def shown_job(
    job: model.Job, *, tags: tuple[str, ...], retention_s: float, position: int | None = None
) -> schemas.Job:
    """The answer for a job.

    Args:
        job: As it stands.
        tags: Its tags.
        retention_s: How long finished jobs are kept that say nothing themselves.
        position: Place in the line, if it was looked up.
    """
    path = job_path(job.id)
    urls = {
        name: f"{path}/{name}" for name in ("events", "cancel", "retry", "photos", "preview", "artifacts")
    }
    return schemas.Job(
        id=job.id, state=job.state, preset=job.preset, options=dict(job.overrides), seed=job.seed,
        priority=job.priority, external_id=job.external_id, tags=list(tags), notes=dict(job.notes),
        created_at=time_text(job.created_at), started_at=optional_time(job.started_at),
        finished_at=optional_time(job.finished_at), expires_at=optional_time(_expiry(job, retention_s)),
        attempt=job.attempt, queue_position=position, stage=job.stage or None,
        stage_fraction=job.stage_fraction, progress=min(max(job.fraction, 0.0), 1.0),
        remaining_s=job.remaining_s,
        error=schemas.JobError.model_validate(dict(job.error)) if job.error else None,
        verdict=_verdict(job), urls=schemas.JobUrls(self=path, page=f"/#job={job.id}", **urls),
    )  # fmt: skip


def _expiry(job: model.Job, retention_s: float) -> float | None:
    if job.finished_at is None or job.is_kept:
        return None
    kept_s = retention_s if job.retention_s is None else job.retention_s
    return min(job.finished_at + kept_s, 253_402_300_799.0)  # the year 9999: dates end there


def _verdict(job: model.Job) -> schemas.Verdict | None:
    summary: dict[str, Any] = dict(job.summary or {})
    if "grade" not in summary:
        return None
    return schemas.Verdict(
        grade=summary["grade"], score=summary.get("score"), reason=summary.get("reason", "")
    )
