"""What the API takes and gives, as its documentation shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from objectscan.jobs.model import State

Text = Annotated[str, Field(max_length=200)]
Json = dict[str, Any]


class Answer(BaseModel):
    """Base of what the API gives."""

    model_config = ConfigDict(extra="forbid")


class Asked(BaseModel):
    """Base of what the API takes: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", strict=False)


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable; docs/errors.md lists all."""

    type: str = Field(examples=["urn:objectscan:error:too_few_views"])
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(examples=["too_few_views"])
    detail: str
    hint: str = ""
    details: Json = Field(default_factory=dict)
    request_id: str


class JobOptions(Asked):
    """How to reconstruct."""

    preset: str = Field("standard", max_length=63, description="One of `/v1/options`.", examples=["preview"])
    options: Json = Field(
        default_factory=dict, description="Changes to the preset, by the dotted names of `/v1/options`.",
        examples=[{"budget.faces": 5000}],
    )  # fmt: skip
    seed: int = Field(0, ge=0, le=2**63 - 1, strict=True, description="Results repeat for a seed.")
    priority: int = Field(5, ge=0, le=9, strict=True, description="9 goes first.")
    external_id: Text | None = Field(None, description="Your own name for the job.")
    tags: list[Annotated[str, Field(min_length=1, max_length=63)]] = Field(
        default_factory=list, max_length=20, description="To find jobs by."
    )
    notes: Json = Field(default_factory=dict, description="Your own JSON; kept as it is.")
    retention_s: float | None = Field(
        None,
        ge=0,
        le=3.2e9,
        strict=True,
        description="Deleted so long after the end; default: the operator's setting.",
    )


class JobRequest(JobOptions):
    """A job of photos that are elsewhere: exactly one of `input`, `urls`, `upload_ids`."""

    input: str | None = Field(None, max_length=64, description="Id that `POST /v1/inputs` gave.")
    urls: list[Annotated[str, Field(max_length=2000)]] | None = Field(
        None, min_length=1, max_length=1000, description="Photos, or one zip, to fetch by HTTP."
    )
    upload_ids: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, min_length=1, max_length=1000, description="Finished resumable uploads."
    )


class JobError(Answer):
    """Why the last attempt went wrong."""

    code: str
    message: str
    hint: str
    details: Json


class Verdict(Answer):
    """How far the model can be trusted; the report has the evidence."""

    grade: str = Field(examples=["high"])
    score: float | None
    reason: str


class JobUrls(Answer):
    """Where to go from here."""

    self: str
    events: str
    cancel: str
    retry: str
    photos: str
    preview: str
    artifacts: str
    page: str


class Job(Answer):
    """One reconstruction."""

    id: str
    state: State
    preset: str
    options: Json
    seed: int
    priority: int
    external_id: str | None
    tags: list[str]
    notes: Json
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    attempt: int
    queue_position: int | None = Field(description="1 is next; only in the answer for one waiting job.")
    stage: str | None
    stage_fraction: float
    progress: float = Field(ge=0, le=1)
    remaining_s: float | None
    error: JobError | None
    verdict: Verdict | None
    urls: JobUrls


class JobPage(Answer):
    """Some jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None = Field(description="Give it as `cursor` for the jobs after these.")


class PhotoFinding(Answer):
    """Something worth knowing about a photo or the set."""

    code: str = Field(examples=["blurry_images"])
    severity: Literal["error", "warning", "note"]
    message: str
    hint: str
    photos: list[str]


class Photo(Answer):
    """One photo of an upload."""

    name: str
    size_bytes: int
    width: int | None
    height: int | None
    url: str
    thumbnail_url: str | None
    findings: list[PhotoFinding]


class Photos(Answer):
    """What the photos are worth, before any time is spent on them."""

    input: str | None = Field(None, description="Give it to `POST /v1/jobs`.")
    verdict: Literal["good", "doubtful", "refused"] | None = Field(
        description="None: still at work, ask again."
    )
    findings: list[PhotoFinding]
    photos: list[Photo]


class Artifact(Answer):
    """One result file."""

    name: str = Field(examples=["model.glb"])
    size_bytes: int
    sha256: str
    media_type: str
    url: str
    signed_url: str = Field(description="Works without a key for a while.")


class Artifacts(Answer):
    """A job's results."""

    artifacts: list[Artifact]


class SessionRequest(Asked):
    """Sign in on the page."""

    key: str = Field(max_length=200, examples=["os_0123456789abcdef_..."])


class Session(Answer):
    """Who is signed in."""

    tenant: str
    scopes: list[str]
    name: str


Scope = Literal["jobs:read", "jobs:write", "keys", "metrics"]


class KeyRequest(Asked):
    """A new key of the caller's tenant; it can't do more than the key that makes it."""

    name: str = Field(min_length=1, max_length=200)
    scopes: list[Scope] = Field(min_length=1, max_length=4)
    limits: dict[
        Literal["requests_per_minute", "max_priority", "retention_s"],
        Annotated[float, Field(ge=0, strict=True)],
    ] = Field(default_factory=dict)
    expires_in_s: float | None = Field(None, gt=0, le=3.2e9, strict=True)


class Key(Answer):
    """A key without its secret."""

    id: str
    shown: str
    name: str
    scopes: list[str]
    limits: dict[str, float]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class NewKey(Key):
    """A key that was just made."""

    key: str = Field(description="The whole key. Nobody can show it again.")


class Keys(Answer):
    """The tenant's keys."""

    keys: list[Key]


class Health(Answer):
    """The process answers."""

    status: Literal["ok"]


class Ready(Answer):
    """Whether jobs can be taken and run."""

    status: Literal["ok", "not ready"]
    checks: dict[str, str]


class Limits(Answer):
    """What one request may hold."""

    max_request_bytes: int
    max_file_bytes: int
    max_files: int
    max_pixels: int


class WorkerCount(Answer):
    """Workers that are there."""

    ready: int
    busy: int


class Info(Answer):
    """What this service is."""

    version: str
    limits: Limits
    engines: list[str]
    photo_suffixes: list[str]
    workers: WorkerCount


class Preset(Answer):
    """A recipe by name."""

    title: str
    description: str
    typical_s: float = Field(
        description="With 40 photos on a GPU of 2023; on 8 processor cores 6 to 10 times."
    )


class Option(Answer):
    """One value of a recipe that a job may change."""

    name: str = Field(examples=["budget.faces"])
    type: Literal["bool", "int", "float", "str", "list"]
    default: Any
    help: str
    least: float | None = None
    most: float | None = None
    choices: list[str] | None = None


class Options(Answer):
    """All that can be asked for."""

    presets: dict[str, Preset]
    options: list[Option]


class Worker(Answer):
    """One worker."""

    id: str
    host: str
    state: str
    started_at: str
    seen_at: str
    facts: Json


class Workers(Answer):
    """Workers that are there."""

    workers: list[Worker]
