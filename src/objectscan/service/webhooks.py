"""Webhooks as rows: who wants which events, what has to be sent, and who sends it.

A delivery is claimed by an atomic update, like a job: any number of API processes may send. Each delivery is
sent at least once; its id is the same in every attempt, so a receiver can tell repetitions.
"""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import sqlalchemy as sa

from objectscan.errors import InputError, NotFound, QuotaExceeded
from objectscan.jobs.database import Database, now
from objectscan.jobs.events import Event, Kind, events_after, last_event_id
from objectscan.jobs.model import events, webhook_deliveries, webhooks
from objectscan.jobs.plain import plain
from objectscan.service.context import derived_secret

KINDS = tuple(kind for kind in get_args(Kind) if kind != "progress")
RETRY_AFTER_S = (5.0, 60.0, 300.0, 1800.0, 7200.0, 18_000.0, 28_800.0, 28_800.0)
"""Waits after each failed attempt; together 23.6 hours."""
LEASE_S = 60.0
"""Who claimed a delivery and is not heard of for so long has died; longer than an attempt may take."""
_MOST_WEBHOOKS = 20
_MOST_BODY_BYTES = 20_000
"""Recommended by Standard Webhooks."""
_KEPT_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that was claimed for sending."""

    id: str
    webhook_id: str
    tenant: str
    url: str
    body: str
    attempts: int
    """This one included."""


def secret_of(pepper: bytes, webhook_id: str) -> str:
    """What a webhook's messages are signed with; made from the server's secret and kept nowhere."""
    secret = derived_secret(pepper, f"webhook:{webhook_id}")
    return f"whsec_{base64.b64encode(secret).decode()}"


def add_webhook(database: Database, tenant: str, url: str, kinds: Sequence[str]) -> sa.Row[Any]:
    """A new webhook; it gets what happens from now on.

    Raises:
        InputError: There is no such kind of event.
        QuotaExceeded: The tenant has enough.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise InputError(f"There are no events '{unknown[0][:40]}'.", hint=f"Known: {', '.join(KINDS)}.")
    seen = last_event_id(database, tenant)
    with database.writing(durable=True) as connection:
        own = sa.select(sa.func.count()).where(webhooks.c.tenant == tenant)
        if (connection.execute(own).scalar() or 0) >= _MOST_WEBHOOKS:
            raise QuotaExceeded(f"There are {_MOST_WEBHOOKS} webhooks already.", hint="Delete one.")
        values = {"id": str(uuid.uuid4()), "tenant": tenant, "url": url, "kinds": list(kinds or KINDS)}
        made = sa.insert(webhooks).values(**values, seen_event=seen, created_at=now())
        return connection.execute(made.returning(webhooks)).one()


def list_webhooks(database: Database, tenant: str) -> Sequence[sa.Row[Any]]:
    """A tenant's webhooks, oldest first."""
    with database.reading() as connection:
        found = sa.select(webhooks).where(webhooks.c.tenant == tenant).order_by(webhooks.c.created_at)
        return connection.execute(found).all()


def get_webhook(database: Database, tenant: str, webhook_id: str) -> sa.Row[Any]:
    """One webhook.

    Raises:
        NotFound: The tenant has none of this id.
    """
    is_it = (webhooks.c.id == webhook_id[:36].replace("\0", "")) & (webhooks.c.tenant == tenant)
    with database.reading() as connection:
        row = connection.execute(sa.select(webhooks).where(is_it)).one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook {webhook_id[:40]!r}.", hint="List your webhooks.")
    return row


def delete_webhook(database: Database, tenant: str, webhook_id: str) -> None:
    """Remove a webhook with its log.

    Raises:
        NotFound: See `get_webhook`.
    """
    row = get_webhook(database, tenant, webhook_id)
    with database.writing(durable=True) as connection:
        mine = webhook_deliveries.c.webhook_id == row.id
        connection.execute(sa.delete(webhook_deliveries).where(mine))
        connection.execute(sa.delete(webhooks).where(webhooks.c.id == row.id))


def deliveries_of(database: Database, webhook_id: str, limit: int = 100) -> Sequence[sa.Row[Any]]:
    """The newest messages of a webhook."""
    table = webhook_deliveries
    with database.reading() as connection:
        found = sa.select(table).where(table.c.webhook_id == webhook_id)
        return connection.execute(found.order_by(table.c.created_at.desc()).limit(limit)).all()


def get_delivery(database: Database, delivery_id: str) -> sa.Row[Any]:
    """One message and what became of it."""
    with database.reading() as connection:
        found = sa.select(webhook_deliveries).where(webhook_deliveries.c.id == delivery_id)
        return connection.execute(found).one()


def add_test(database: Database, webhook: sa.Row[Any]) -> str:
    """A message of the type `test`, to be sent at once; its id."""
    body = _message("test", "test", {"webhook_id": webhook.id}, None)
    with database.writing() as connection:
        return _insert(connection, webhook.id, "test", body)


def collect(database: Database) -> int:
    """Make messages of what happened since the last time; how many."""
    newest = sa.select(sa.func.max(events.c.id)).where(events.c.tenant == webhooks.c.tenant).scalar_subquery()
    behind = sa.select(webhooks).where(webhooks.c.stopped_at.is_(None), newest > webhooks.c.seen_event)
    with database.reading() as connection:
        rows = connection.execute(behind).all()
    return sum(_collect_for(database, row) for row in rows)


def claim(database: Database, *, limit: int = 10, only: str | None = None) -> Sequence[Delivery]:
    """Messages that are due, now this process's to send."""
    table = webhook_deliveries
    due = (table.c.state == "pending") & (table.c.next_at <= now())
    if only is not None:
        due &= table.c.id == only
    with database.reading() as connection:
        ids = connection.execute(sa.select(table.c.id).where(due).order_by(table.c.next_at).limit(limit))
        found = [row.id for row in ids]
    claimed = []
    for delivery_id in found:
        mine = sa.update(table).where(due, table.c.id == delivery_id)
        taken = mine.values(next_at=now() + LEASE_S, attempts=table.c.attempts + 1).returning(table)
        with database.writing() as connection:
            row = connection.execute(taken).one_or_none()
            if row is not None:
                hook = connection.execute(sa.select(webhooks).where(webhooks.c.id == row.webhook_id)).one()
                claimed.append(Delivery(row.id, hook.id, hook.tenant, hook.url, row.body, row.attempts))
    return claimed


def record(
    database: Database, delivery: Delivery, status: int | None, error: str, *, wait_s: float = 0.0
) -> None:
    """Keep how an attempt went; a receiver that answers 410 gets nothing any more."""
    table = webhook_deliveries
    is_done = status is not None and 200 <= status < 300
    is_over = status == 410 or delivery.attempts > len(RETRY_AFTER_S)
    values: dict[str, Any] = {"status": status, "error": error[:500].replace("\0", "")}
    if is_done or is_over:
        values |= {"state": "delivered" if is_done else "failed", "ended_at": now()}
    else:
        values["next_at"] = now() + max(RETRY_AFTER_S[delivery.attempts - 1], wait_s)
    guard = (table.c.id == delivery.id) & (table.c.attempts == delivery.attempts)
    with database.writing() as connection:
        connection.execute(sa.update(table).where(guard, table.c.state == "pending").values(**values))
        if status == 410:
            gone = sa.update(webhooks).where(webhooks.c.id == delivery.webhook_id)
            connection.execute(gone.values(stopped_at=now()))


def forget_old(database: Database) -> None:
    """Remove messages that ended a month ago."""
    with database.writing() as connection:
        old = webhook_deliveries.c.ended_at < now() - _KEPT_S
        connection.execute(sa.delete(webhook_deliveries).where(old))


def _collect_for(database: Database, webhook: sa.Row[Any]) -> int:
    found = events_after(database, webhook.tenant, webhook.seen_event)
    if not found:
        return 0
    wanted = [event for event in found if event.kind in webhook.kinds]
    moved = sa.update(webhooks).where(
        webhooks.c.id == webhook.id, webhooks.c.seen_event == webhook.seen_event
    )
    with database.writing() as connection:
        if connection.execute(moved.values(seen_event=found[-1].id)).rowcount != 1:
            return 0  # another process was faster
        for event in wanted:
            _insert(connection, webhook.id, event.kind, _message_of(event))
    return len(wanted)


def _insert(connection: sa.Connection, webhook_id: str, kind: str, body: str) -> str:
    delivery_id = str(uuid.uuid4())
    connection.execute(
        sa.insert(webhook_deliveries).values(
            id=delivery_id, webhook_id=webhook_id, kind=kind, body=body, state="pending", attempts=0,
            next_at=0.0, created_at=now(), error="",
        )
    )  # fmt: skip
    return delivery_id


def _message_of(event: Event) -> str:
    kind = f"job.{event.kind}"
    whole = _message(kind, event.job_id, event.data, event.at)
    return whole if len(whole) < _MOST_BODY_BYTES else _message(kind, event.job_id, {}, event.at)


def _message(kind: str, job_id: str, data: Any, at: float | None) -> str:
    utc = datetime.UTC
    moment = datetime.datetime.now(utc) if at is None else datetime.datetime.fromtimestamp(at, utc)
    told = {"type": kind, "timestamp": moment.isoformat(), "data": {**data, "job_id": job_id}}
    return json.dumps(plain(told), separators=(",", ":"))
