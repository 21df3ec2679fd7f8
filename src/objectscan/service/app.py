"""The service as an ASGI app: every area is a router, everything they share is the context."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI

from objectscan import version
from objectscan.jobs.setup import Setup
from objectscan.service import (
    artifacts_routes,
    events_routes,
    health_routes,
    info_routes,
    jobs_routes,
    keys_routes,
    photos_routes,
    session_routes,
    submit_routes,
    uploads_presigned,
    uploads_tus,
    webhooks_routes,
)
from objectscan.service.access import Access
from objectscan.service.context import open_context
from objectscan.service.handlers import install_handlers
from objectscan.service.openapi import install_openapi
from objectscan.service.option_table import option_table
from objectscan.service.page import PAGE_FOLDER, page_router
from objectscan.service.rate_limits import RateHeaders
from objectscan.service.webhooks_delivery import deliver_forever

AREAS: tuple[APIRouter, ...] = (
    submit_routes.router,
    jobs_routes.router,
    events_routes.router,
    photos_routes.router,
    artifacts_routes.router,
    session_routes.router,
    keys_routes.router,
    info_routes.router,
    health_routes.router,
    uploads_tus.router,
    uploads_presigned.router,
    webhooks_routes.router,
)


def create_app(setup: Setup, *, more: Sequence[APIRouter] = (), page_folder: Path = PAGE_FOLDER) -> FastAPI:
    """The app of one API process; it connects when it starts.

    Args:
        setup: Addresses, folders and settings.
        more: Further areas.
        page_folder: Where the built page lies.

    Raises:
        BadServiceSetup: An address can't be used.
    """
    context = open_context(setup)
    option_table()  # parses source, which two threads must not do at once (SystemError in Python 3.11)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(context.database.upgrade)
        await context.checker.prepare()
        postman = asyncio.create_task(deliver_forever(context))
        yield
        postman.cancel()
        await asyncio.wait([postman])
        await context.hub.close()
        await context.desk.close()
        await context.checker.close()
        await asyncio.to_thread(context.close)

    app = FastAPI(
        title="Objectscan", version=version(), lifespan=lifespan, docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.context = context
    install_handlers(app)
    for router in (*AREAS, *more):
        app.include_router(router)
    install_openapi(app)
    app.include_router(page_router(page_folder))
    app.add_middleware(RateHeaders)
    app.add_middleware(Access, metrics=context.metrics)
    return app
