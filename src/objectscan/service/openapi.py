"""What the generated description can't know: bodies that are read as they come, and words for people."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from objectscan.service import schemas

DESCRIPTION = """
Photographs of an object in, a textured PBR mesh (GLB) with honest evidence out.

**Photos.** 24 to 40 sharp photos all around one object that does not move, each from another place,
neighbours about 15 to 20 degrees apart, some from above; even light; the object fills most of the picture.
Fewer than 12, or photos from one spot, are judged and refused with a reason and advice.

**How long.** `preview` about a minute, `standard` three minutes, `high` half an hour with 40 photos; the job
tells its stage, progress and remaining time, and `/v1/jobs/{job_id}/events` streams them.

**Errors** are problem documents (RFC 9457) with a stable `code`, a `hint` and a `request_id`.

**Keys.** `Authorization: Bearer KEY`.
"""
_TAGS = [
    {"name": "jobs", "description": "Reconstructions from their photos to their end."},
    {"name": "photos", "description": "Photos before and after a job is made of them, each judged."},
    {"name": "events", "description": "Live progress as server-sent events."},
    {"name": "results", "description": "Models, reports and pictures."},
    {"name": "session", "description": "The page's sign-in."},
    {"name": "keys", "description": "API keys of the tenant."},
    {"name": "service", "description": "Limits, options, workers, health, metrics."},
]
_PHOTOS = "Photos, masks as `masks/NAME`, camera files."
_FILE = {"type": "string", "format": "binary"}
_JSON_TEXT = {"type": "string", "contentMediaType": "application/json", "maxLength": 60_000}


def _form(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": {
            "type": "object", "additionalProperties": False,
            "properties": {
                "photos": {"type": "array", "items": _FILE, "description": _PHOTOS},
                "archive": {**_FILE, "description": "A zip of them instead."}, **properties,
            },
        },
        "encoding": {"photos": {"contentType": "image/jpeg, image/png, image/webp, application/json"}},
    }  # fmt: skip


_OPTIONS: dict[str, Any] = {
    "preset": {"type": "string", "enum": ["preview", "standard", "high"], "default": "standard"},
    "options": {**_JSON_TEXT, "examples": ['{"budget.faces": 5000}']},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "priority": {"type": "integer", "minimum": 0, "maximum": 9},
    "external_id": {"type": "string", "maxLength": 200},
    "tags": {"type": "array", "maxItems": 20, "items": {"type": "string", "minLength": 1, "maxLength": 63}},
    "notes": _JSON_TEXT,
    "retention_s": {"type": "number", "minimum": 0},
}
CREATE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _form(_OPTIONS),
            "application/json": {
                "schema": {"$ref": "#/components/schemas/JobRequest"},
                "examples": {
                    "input": {"value": {"input": "3f0c5f0e-8d0a-4a55-9a43-2a8ac0f6a8a5", "preset": "preview"}}
                },
            },
        },
    }
}
INPUT_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": _form({})}}
}


def install_openapi(app: FastAPI) -> None:
    """Describe the app as OpenAPI 3.1, made when it is first asked for."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(
                get_openapi(
                    title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes,
                    tags=_TAGS, openapi_version="3.1.0",
                    license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
                )
            )  # fmt: skip
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    known = document.setdefault("components", {}).setdefault("schemas", {})
    for kind in (schemas.Problem, schemas.JobRequest):
        made = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        known.update(made.pop("$defs", {}))
        known[kind.__name__] = made
    for path in document["paths"].values():
        for call in path.values():
            if isinstance(call, dict):
                _of_call(call)
    for unused in ("HTTPValidationError", "ValidationError"):
        known.pop(unused, None)
    return document


def _of_call(call: dict[str, Any]) -> None:
    """Validation errors are problem documents too."""
    answers = call.get("responses", {})
    told = answers.get("422", {}).get("content", {})
    if "application/json" in told:
        told.pop("application/json")
        if not told:
            told["application/problem+json"] = {"schema": {"$ref": "#/components/schemas/Problem"}}
            answers["422"]["description"] = "A value can't be used."
