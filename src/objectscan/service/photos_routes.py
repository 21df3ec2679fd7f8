"""Photos of a job or of an input: what each is worth, thumbnails, the photos themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from objectscan.capture.codecs.sniff import picture_format
from objectscan.errors import NotFound
from objectscan.jobs import store
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import Reader, Shared
from objectscan.service.context import Context
from objectscan.service.downloads import Download, binary, send
from objectscan.service.inputs import input_files, input_folder, upload_folder
from objectscan.service.job_view import job_path
from objectscan.service.judge_desk import JudgedFolder, judged_names

router = APIRouter(tags=["photos"])

_AT_WORK: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.Photos, "description": "Still being judged: ask again."}
}
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JPEG, 320 pixels along its longer side.", "content": {"image/jpeg": binary()}}
}


@router.get(
    "/v1/jobs/{job_id}/photos",
    responses={**_AT_WORK, **problems(401, 403, 404)},
    summary="Judge a job's photos",
)
async def photos_of_job(response: Response, context: Shared, key: Reader, job_id: str) -> schemas.Photos:
    """What each photo is worth, and the set; 202 with `verdict: null` until that is known."""
    folder = await asyncio.to_thread(_folder_of_job, context, key.tenant, job_id)
    return await _shown(response, context, folder, f"{job_path(job_id)}/photos", None)


@router.get(
    "/v1/inputs/{input_id}/photos",
    responses={**_AT_WORK, **problems(401, 403, 404)},
    summary="Judge an input's photos",
)
async def photos_of_input(response: Response, context: Shared, key: Reader, input_id: str) -> schemas.Photos:
    """What each photo is worth, and the set; 202 with `verdict: null` until that is known."""
    folder = await asyncio.to_thread(_folder_of_input, context, key.tenant, input_id)
    return await _shown(response, context, folder, f"/v1/inputs/{input_id}/photos", input_id)


@router.get(
    "/v1/jobs/{job_id}/photos/{index}/thumbnail", response_class=Response,
    responses={**_JPEG, **problems(401, 403, 404)}, summary="A job's photo, small",
)  # fmt: skip
def thumbnail_of_job(request: Request, context: Shared, key: Reader, job_id: str, index: int) -> Response:
    """There is one once the photos are judged, of each photo that can be decoded."""
    return _thumbnail(request, context, _folder_of_job(context, key.tenant, job_id), index)


@router.get(
    "/v1/inputs/{input_id}/photos/{index}/thumbnail", response_class=Response,
    responses={**_JPEG, **problems(401, 403, 404)}, summary="An input's photo, small",
)  # fmt: skip
def thumbnail_of_input(request: Request, context: Shared, key: Reader, input_id: str, index: int) -> Response:
    """There is one once the photos are judged, of each photo that can be decoded."""
    return _thumbnail(request, context, _folder_of_input(context, key.tenant, input_id), index)


_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The photo as it was sent.", "content": {"image/*": binary()}}
}


@router.get(
    "/v1/jobs/{job_id}/photos/{index}", response_class=Response,
    responses={**_PICTURE, **problems(401, 403, 404, 416)}, summary="A job's photo",
)  # fmt: skip
def photo_of_job(request: Request, context: Shared, key: Reader, job_id: str, index: int) -> Response:
    """The photo as it was sent."""
    return _photo(request, context, _folder_of_job(context, key.tenant, job_id), index)


@router.get(
    "/v1/inputs/{input_id}/photos/{index}", response_class=Response,
    responses={**_PICTURE, **problems(401, 403, 404, 416)}, summary="An input's photo",
)  # fmt: skip
def photo_of_input(request: Request, context: Shared, key: Reader, input_id: str, index: int) -> Response:
    """The photo as it was sent."""
    return _photo(request, context, _folder_of_input(context, key.tenant, input_id), index)


async def shown_input(context: Context, folder: JudgedFolder, input_id: str) -> schemas.Photos:
    """The answer for an input whose photos are being judged."""
    sizes = await asyncio.to_thread(_sizes, context, folder)
    return _answer(None, sizes, f"/v1/inputs/{input_id}/photos", input_id)


async def _shown(
    response: Response, context: Context, folder: JudgedFolder, path: str, input_id: str | None
) -> schemas.Photos:
    judgement = await context.desk.judgement(folder)
    sizes = await asyncio.to_thread(_sizes, context, folder)
    if judgement is None:
        response.status_code = 202
        response.headers["Retry-After"] = "1"
    return _answer(judgement, sizes, path, input_id)


def _answer(
    judgement: dict[str, Any] | None, sizes: dict[str, int], path: str, input_id: str | None
) -> schemas.Photos:
    known = {photo["name"]: photo for photo in (judgement or {"photos": []})["photos"]}
    photos = []
    for number, name in enumerate(judged_names(list(sizes))):
        photo = known.get(name, {"width": None, "height": None, "findings": []})
        is_readable = name in known and not any(f["code"] == "photo_dropped" for f in photo["findings"])
        photos.append(
            schemas.Photo(
                name=name, size_bytes=sizes[name], width=photo["width"], height=photo["height"],
                url=f"{path}/{number}", thumbnail_url=f"{path}/{number}/thumbnail" if is_readable else None,
                findings=photo["findings"],
            )
        )  # fmt: skip
    verdict, findings = (judgement["verdict"], judgement["findings"]) if judgement else (None, [])
    return schemas.Photos(input=input_id, verdict=verdict, findings=findings, photos=photos)


def _sizes(context: Context, folder: JudgedFolder) -> dict[str, int]:
    stored = context.files_of(folder.tenant).list(folder.photos)
    return {file.key.removeprefix(f"{folder.photos}/"): file.size_bytes for file in stored}


def _folder_of_job(context: Context, tenant: str, job_id: str) -> JudgedFolder:
    job = store.get_job(context.database, tenant, job_id)
    return JudgedFolder(tenant, job.input, "/".join(job.input.split("/")[:2]))


def _folder_of_input(context: Context, tenant: str, input_id: str) -> JudgedFolder:
    names = [file.name for file in input_files(context, tenant, input_id)]
    return JudgedFolder(tenant, input_folder(input_id, names), upload_folder(input_id))


def _thumbnail(request: Request, context: Context, folder: JudgedFolder, index: int) -> Response:
    key = f"{folder.judgement}/{index:04d}.jpg"
    if not 0 <= index < 10_000:
        raise NotFound(f"There is no photo {index}.", hint="Count from 0.")
    return send(
        request, context.files_of(folder.tenant), Download(key, "thumbnail.jpg", "image/jpeg", inline=True)
    )


def _photo(request: Request, context: Context, folder: JudgedFolder, index: int) -> Response:
    names = judged_names(list(_sizes(context, folder)))
    if not 0 <= index < len(names):
        raise NotFound(f"There is no photo {index}.", hint="Count from 0.")
    files, key = context.files_of(folder.tenant), f"{folder.photos}/{names[index]}"
    head = (
        b"".join(files.get(key, stop=512)) if files.head(key).size_bytes >= 512 else b"".join(files.get(key))
    )
    kind = (picture_format(head) or "octet-stream").lower()
    media = f"image/{kind}" if kind != "octet-stream" else "application/octet-stream"
    return send(
        request, files, Download(key, names[index], media, inline=kind in ("jpeg", "png", "webp", "avif"))
    )
