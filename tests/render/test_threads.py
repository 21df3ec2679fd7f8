from __future__ import annotations

import threading
import time

import pytest

from objectscan.errors import InputError
from objectscan.render.threads import run_jobs, set_threads, split_range, thread_count, view_bands


@pytest.fixture(params=[1, 2, 3], autouse=True)
def threads(request):
    before = thread_count()
    set_threads(request.param)
    yield request.param
    set_threads(before)


def test_results_come_in_the_order_of_the_jobs():
    assert run_jobs(lambda a, b: a * b, [(i, 2) for i in range(50)]) == [2 * i for i in range(50)]
    assert run_jobs(lambda: 1, []) == []


def test_as_many_jobs_run_at_once_as_there_are_threads(threads):
    barrier = threading.Barrier(threads, timeout=10)
    run_jobs(lambda _: barrier.wait(), [(i,) for i in range(threads)])


def test_a_long_job_does_not_hold_up_the_others(threads):
    if threads == 1:
        pytest.skip("needs a second thread")
    done = []
    run_jobs(lambda i: (time.sleep(0.3 if i == 0 else 0.001), done.append(i)), [(i,) for i in range(30)])
    assert done.index(0) > 15


def test_an_error_in_any_job_reaches_the_caller():
    def fail_at(index):
        if index == 7:
            raise RuntimeError("seven")

    with pytest.raises(RuntimeError, match="seven"):
        run_jobs(fail_at, [(i,) for i in range(20)])


def test_jobs_may_run_jobs_of_their_own():
    inner = run_jobs(lambda i: sum(run_jobs(lambda j: j, [(i,), (1,)])), [(i,) for i in range(10)])
    assert inner == [i + 1 for i in range(10)]


def test_ranges_and_bands_cover_everything_once(threads):
    for count in (0, 1, 1023, 5000, 100_001):
        ranges = split_range(count)
        assert [i for first, last in ranges for i in range(first, last)] == list(range(count))
        assert len(ranges) <= threads
    for views, rows in ((1, 7), (2, 1), (9, 4)):
        claimed = sorted((view, row) for view, a, b in view_bands(views, rows) for row in range(a, b))
        assert claimed == [(view, row) for view in range(views) for row in range(rows)]


def test_no_threads_are_refused():
    with pytest.raises(InputError, match="0 threads"):
        set_threads(0)
