from __future__ import annotations

import threading

from objectscan.jobs import store
from objectscan.jobs.events import events_after, last_event_id
from objectscan.jobs.store import NewJob


def test_a_listener_that_goes_on_after_the_last_id_sees_each_event_once(database):
    ids = [store.submit(database, NewJob("a", "uploads/1"))[0].id for _ in range(5)]
    seen, last = [], 0
    while batch := events_after(database, "a", last, limit=2):
        seen += [event.job_id for event in batch]
        last = batch[-1].id
    assert seen == ids and last == last_event_id(database, "a")


def test_events_of_one_job_can_be_heard_alone(database):
    one, two = (store.submit(database, NewJob("a", "uploads/1"))[0].id for _ in range(2))
    store.cancel(database, "a", two)
    assert [event.kind for event in events_after(database, "a", 0, job_id=two)] == ["queued", "cancelled"]
    assert [event.kind for event in events_after(database, "a", 0, job_id=one)] == ["queued"]


def test_a_tenant_without_events_begins_at_zero(database):
    assert last_event_id(database, "nobody") == 0


def test_no_event_appears_below_one_that_was_seen_while_many_write_at_once(database):
    """Ids are drawn before a transaction commits: without the lock this fails on PostgreSQL."""
    end = threading.Event()
    writers = [
        threading.Thread(target=lambda: [store.submit(database, NewJob("a", "uploads/1")) for _ in range(25)])
        for _ in range(4)
    ]
    followed: list[int] = []

    def follow():
        while True:
            is_last = end.is_set()
            followed.extend(event.id for event in events_after(database, "a", max(followed, default=0)))
            if is_last:
                return

    listener = threading.Thread(target=follow)
    for thread in (*writers, listener):
        thread.start()
    for thread in writers:
        thread.join()
    end.set()
    listener.join()
    assert followed == [event.id for event in events_after(database, "a", 0)] and len(followed) == 100
