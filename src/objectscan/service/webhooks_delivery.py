"""Sends webhooks' messages: signed by Standard Webhooks, through the guard, for about a day."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time

from standardwebhooks.webhooks import Webhook

from objectscan.errors import ObjectscanError
from objectscan.service import webhooks
from objectscan.service.context import Context
from objectscan.service.guarded_http import fetch_rules, post
from objectscan.service.webhooks import Delivery

log = logging.getLogger(__name__)

_POLL_S = 1.0
_TIMEOUT_S = 15.0
_MOST_ANSWER_BYTES = 2000
_FORGET_S = 3600.0
_MOST_WAIT_S = 86_400.0


async def deliver_forever(context: Context) -> None:
    """Collect and send until cancelled. A database that does not answer is asked again later."""
    forgotten_at = time.monotonic()
    while True:
        try:
            await asyncio.to_thread(webhooks.collect, context.database)
            due = await asyncio.to_thread(webhooks.claim, context.database)
            await asyncio.gather(*(deliver(context, delivery) for delivery in due))
            if time.monotonic() - forgotten_at > _FORGET_S:
                forgotten_at = time.monotonic()
                await asyncio.to_thread(webhooks.forget_old, context.database)
        except ObjectscanError as problem:
            log.warning("Webhooks wait: %s", problem)
            due = []
        except Exception:  # one message that can't be sent must not stop all others
            log.exception("A defect while webhooks were sent.")
            due = []
        if not due:
            await asyncio.sleep(_POLL_S)


async def deliver(context: Context, delivery: Delivery) -> None:
    """One attempt, and a line in the webhook's log about it."""
    status, error, wait_s = None, "", 0.0
    rules = fetch_rules(context.settings, timeout_s=_TIMEOUT_S, max_bytes=_MOST_ANSWER_BYTES)
    try:
        headers = signed_headers(webhooks.secret_of(context.pepper, delivery.webhook_id), delivery)
        status, answer, told = await post(delivery.url, delivery.body.encode(), headers, rules)
        if not 200 <= status < 300:
            error = f"The receiver answers {status}: {answer[:200].decode('utf-8', 'replace')}"
        after = told.get("retry-after", "")
        wait_s = min(float(after), _MOST_WAIT_S) if after.isascii() and after.isdecimal() else 0.0
    except ObjectscanError as problem:
        error = problem.message
    await asyncio.to_thread(webhooks.record, context.database, delivery, status, error, wait_s=wait_s)


def signed_headers(secret: str, delivery: Delivery) -> dict[str, str]:
    """Headers by the Standard Webhooks specification: id, time and signature of both with the body."""
    moment = datetime.datetime.now(datetime.UTC)
    return {
        "content-type": "application/json",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery.id, moment, delivery.body),
    }
