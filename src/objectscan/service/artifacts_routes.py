"""Results: their list, the files, links that work without a key, and the picture while the model grows."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from objectscan.errors import BadKey, NotFound
from objectscan.jobs import store
from objectscan.jobs.files import picture_key
from objectscan.jobs.model import Job
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import Reader, Shared
from objectscan.service.context import Context
from objectscan.service.downloads import Download, binary, send
from objectscan.service.job_view import job_path

router = APIRouter(tags=["results"])

_MEDIA = {
    ".glb": "model/gltf-binary", ".gltf": "model/gltf+json", ".json": "application/json",
    ".html": "text/html",
    ".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg", ".usdz": "model/vnd.usdz+zip",
    ".obj": "model/obj", ".mtl": "model/mtl", ".stl": "model/stl", ".ply": "application/octet-stream",
    ".zip": "application/zip", ".3mf": "model/3mf",
}  # fmt: skip
_STILL = "previews/preview.webp"
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/octet-stream": binary()}},
    206: {"description": "The range that was asked for.", "content": {"application/octet-stream": binary()}},
    304: {"description": "As the receiver has it: `If-None-Match` named its ETag."},
}

_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A picture.", "content": {"image/webp": binary()}}
}


def media_type_of(name: str) -> str:
    """By the suffix; the names are ours."""
    return _MEDIA.get(name[name.rfind(".") :].lower(), "application/octet-stream")


@router.get("/v1/jobs/{job_id}/artifacts", responses=problems(401, 403, 404), summary="List results")
def list_artifacts(context: Shared, key: Reader, job_id: str) -> schemas.Artifacts:
    """All files of a finished job; a failed one may have a report."""
    job = store.get_job(context.database, key.tenant, job_id)
    return schemas.Artifacts(artifacts=[_shown(context, job, file) for file in _files(job)])


@router.api_route(
    "/v1/jobs/{job_id}/artifacts/{name:path}", methods=["GET"], response_class=Response,
    responses={**_BYTES, **problems(401, 403, 404, 416)}, summary="Download a result",
)  # fmt: skip
@router.head("/v1/jobs/{job_id}/artifacts/{name:path}", include_in_schema=False)
def download_artifact(request: Request, context: Shared, key: Reader, job_id: str, name: str) -> Response:
    """The file, or a range of it. Names are those of the list, such as `model.glb`."""
    job = store.get_job(context.database, key.tenant, job_id)
    file = next((file for file in _files(job) if file["name"] == name), None)
    if file is None or job.artifacts is None:
        raise NotFound(f"Job {job_id} has no result {name[:80]!r}.", hint="Ask for the list.")
    wanted = Download(
        f"{job.artifacts['folder']}/{name}", name, media_type_of(name), file["sha256"], _shows(name)
    )
    return send(request, context.files_of(key.tenant), wanted)


@router.get(
    "/v1/jobs/{job_id}/preview", response_class=Response, summary="See the model",
    responses={**_PICTURE, 304: _BYTES[304], **problems(401, 403, 404, 416)},
)  # fmt: skip
def preview(request: Request, context: Shared, key: Reader, job_id: str) -> Response:
    """The newest picture: of the growing model while the job runs, of the finished one after it."""
    job = store.get_job(context.database, key.tenant, job_id)
    still = next((file for file in _files(job) if file["name"] == _STILL), None)
    if still is not None and job.artifacts is not None:
        wanted = Download(
            f"{job.artifacts['folder']}/{_STILL}", "preview.webp", "image/webp", still["sha256"], True
        )
    else:
        wanted = Download(picture_key(job), "preview.webp", "image/webp", inline=True)
    return send(request, context.files_of(key.tenant), wanted)


@router.get(
    "/v1/files/{token:path}", response_class=Response, summary="Download by a signed link",
    responses={**_BYTES, **problems(404, 416)},
)  # fmt: skip
@router.head("/v1/files/{token:path}", include_in_schema=False)
def download_by_link(request: Request, context: Shared, token: str) -> Response:
    """What `signed_url` of a result leads to; needs no key, and ends after a while."""
    if context.storage.signer is None:
        raise NotFound("The storage signs its own links.", hint="Ask for the list of results again.")
    link = f"files/{token}?{request.url.query}"
    try:
        tenant, key = context.storage.signer.open_link(link, method="GET")
    except BadKey as problem:
        raise NotFound(problem.message, hint=problem.hint) from None
    name = key.rpartition("/")[2]
    return send(
        request, context.files_of(tenant), Download(key, name, media_type_of(name), inline=_shows(name))
    )


def _files(job: Job) -> list[dict[str, Any]]:
    return [] if job.artifacts is None else list(job.artifacts["files"])


def _shown(context: Context, job: Job, file: dict[str, Any]) -> schemas.Artifact:
    assert job.artifacts is not None
    link = context.files_of(job.tenant).link(
        f"{job.artifacts['folder']}/{file['name']}", expires_s=context.setup.seconds("link_s")
    )
    return schemas.Artifact(
        name=file["name"], size_bytes=file["size_bytes"], sha256=file["sha256"],
        media_type=media_type_of(file["name"]), url=f"{job_path(job.id)}/artifacts/{file['name']}",
        signed_url=link if "://" in link else f"/v1/{link}",
    )  # fmt: skip


def _shows(name: str) -> bool:
    return media_type_of(name).startswith("image/")
