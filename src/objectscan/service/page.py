"""The page: built files that ship in the package. A closed list, read once; nothing is joined to a path."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from objectscan.errors import NotFound
from objectscan.service.handlers import methods_of

_PACKAGE = Path(__file__).resolve().parents[1]
PAGE_FOLDER = _PACKAGE / "web" / "dist"
DOCS_FOLDER = Path(__file__).resolve().parent / "docs_page"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob: data:; worker-src 'self' blob:; font-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'; manifest-src 'self'"
)
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_YEAR = "public, max-age=31536000, immutable"


def page_router(folder: Path = PAGE_FOLDER) -> APIRouter:
    """Routes of the built page and of the API's documentation. Included last: they take what is left."""
    router = APIRouter(include_in_schema=False)
    files = _files(folder, "/") | _files(DOCS_FOLDER, "/docs/")

    async def file(request: Request, path: str = "") -> Response:
        name = request.url.path
        found = files.get(
            "/index.html" if name == "/" else "/docs/index.html" if name in ("/docs", "/docs/") else name
        )
        if found is None and name == "/":
            raise NotFound("The page is not part of this installation.", hint="The API is there: /docs.")
        if found is None and methods_of(request):
            raise HTTPException(405)
        if found is None:
            raise NotFound("There is nothing at this address.", hint="See /docs.")
        content, media_type, etag = found
        headers = {
            "Content-Security-Policy": POLICY, "ETag": etag, "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": _YEAR if name.startswith("/assets/") else "no-cache",
        }  # fmt: skip
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    router.add_api_route("/", file, methods=["GET", "HEAD"])
    router.add_api_route("/{path:path}", file, methods=["GET", "HEAD"])
    return router


def _files(folder: Path, prefix: str) -> dict[str, tuple[bytes, str, str]]:
    """(content, type, entity tag) by address."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            content = path.read_bytes()
            guessed = (
                _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            )
            address = prefix + path.relative_to(folder).as_posix()
            found[address] = (content, guessed, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found
