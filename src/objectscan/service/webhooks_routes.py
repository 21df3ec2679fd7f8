"""Webhooks of the caller's tenant, a test button, and the log of what was sent."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from objectscan.service import webhooks
from objectscan.service.answers import problems
from objectscan.service.auth import Reader, Shared, Writer
from objectscan.service.guarded_http import fetch_rules, require_url
from objectscan.service.job_view import optional_time, time_text
from objectscan.service.schemas import Answer, Asked
from objectscan.service.webhooks_delivery import deliver

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

EventKind = Literal["queued", "started", "succeeded", "failed", "cancelled", "deleted"]


class WebhookRequest(Asked):
    """Where to tell what happens."""

    url: str = Field(min_length=1, max_length=2000, examples=["https://example.org/objectscan"])
    events: Annotated[list[EventKind], Field(max_length=10)] = Field(
        default_factory=list, description="Which events; none means all."
    )


class WebhookShown(Answer):
    """A webhook."""

    id: str
    url: str
    events: list[str]
    created_at: str
    stopped_at: str | None = Field(description="Set when the receiver answered 410 Gone.")


class NewWebhook(WebhookShown):
    """A webhook that was just made."""

    secret: str = Field(description="Verifies the signatures (Standard Webhooks). Shown once.")


class WebhookList(Answer):
    """The tenant's webhooks."""

    webhooks: list[WebhookShown]


class DeliveryShown(Answer):
    """One message and what became of it."""

    id: str
    kind: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    status: int | None
    error: str
    created_at: str
    ended_at: str | None
    next_at: str | None


class DeliveryList(Answer):
    """The newest messages."""

    deliveries: list[DeliveryShown]


@router.get("", responses=problems(401, 403, 429), summary="List webhooks")
def list_webhooks(context: Shared, key: Reader) -> WebhookList:
    """All of the tenant, oldest first."""
    found = webhooks.list_webhooks(context.database, key.tenant)
    return WebhookList(webhooks=[WebhookShown(**_shown(row)) for row in found])


@router.post("", status_code=201, responses=problems(400, 401, 403, 422, 429), summary="Make a webhook")
def make_webhook(context: Shared, key: Writer, asked: WebhookRequest) -> NewWebhook:
    """From now on each event is sent to `url` by POST, signed; for about a day until it is taken."""
    require_url(asked.url, fetch_rules(context.settings, timeout_s=1.0, max_bytes=1))
    row = webhooks.add_webhook(context.database, key.tenant, asked.url, list(dict.fromkeys(asked.events)))
    return NewWebhook(secret=webhooks.secret_of(context.pepper, row.id), **_shown(row))


@router.get("/{webhook_id}", responses=problems(401, 403, 404, 429), summary="Show a webhook")
def show_webhook(context: Shared, key: Reader, webhook_id: str) -> WebhookShown:
    """Without its secret."""
    return WebhookShown(**_shown(webhooks.get_webhook(context.database, key.tenant, webhook_id)))


@router.delete(
    "/{webhook_id}", status_code=204, responses=problems(401, 403, 404, 429), summary="Delete a webhook"
)
def delete_webhook(context: Shared, key: Writer, webhook_id: str) -> None:
    """With its log; what was not sent yet is not sent any more."""
    webhooks.delete_webhook(context.database, key.tenant, webhook_id)


@router.post("/{webhook_id}/test", responses=problems(401, 403, 404, 429), summary="Try a webhook")
async def try_webhook(context: Shared, key: Writer, webhook_id: str) -> DeliveryShown:
    """Send a message of the type `test` at once; the answer says how that went."""
    row = await asyncio.to_thread(webhooks.get_webhook, context.database, key.tenant, webhook_id)
    delivery_id = await asyncio.to_thread(webhooks.add_test, context.database, row)
    for delivery in await asyncio.to_thread(webhooks.claim, context.database, only=delivery_id):
        await deliver(context, delivery)
    return _delivery(await asyncio.to_thread(webhooks.get_delivery, context.database, delivery_id))


@router.get("/{webhook_id}/deliveries", responses=problems(401, 403, 404, 429), summary="What was sent")
def list_deliveries(context: Shared, key: Reader, webhook_id: str) -> DeliveryList:
    """The 100 newest messages of a month, newest first."""
    row = webhooks.get_webhook(context.database, key.tenant, webhook_id)
    found = webhooks.deliveries_of(context.database, row.id)
    return DeliveryList(deliveries=[_delivery(each) for each in found])


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "url": row.url, "events": list(row.kinds), "created_at": time_text(row.created_at),
        "stopped_at": optional_time(row.stopped_at),
    }  # fmt: skip


def _delivery(row: Any) -> DeliveryShown:
    return DeliveryShown(
        id=row.id, kind=row.kind, state=row.state, attempts=row.attempts, status=row.status, error=row.error,
        created_at=time_text(row.created_at), ended_at=optional_time(row.ended_at),
        next_at=time_text(row.next_at) if row.state == "pending" and row.next_at else None,
    )  # fmt: skip
