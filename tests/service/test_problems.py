from __future__ import annotations

import json

import pytest

from objectscan import errors
from objectscan.service.problems import TYPE_PREFIX, problem_of, status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadRecipe, 422),
        (errors.ImageTooLarge, 413),
        (errors.UnknownJob, 404),
        (errors.WrongState, 409),
        (errors.IdempotencyConflict, 422),
        (errors.QuotaExceeded, 429),
        (errors.BadServiceSetup, 500),
        (errors.DatabaseFailed, 503),
        (errors.NotEnoughSpace, 507),
        (errors.ExportError, 500),
    ],
)
def test_each_class_has_the_status_of_its_nearest_ancestor(error, status):
    assert status_of(error) == status


def test_a_new_kind_of_input_error_is_the_callers_to_mend():
    class Novel(errors.UnreadableImage):
        code = "novel"

    assert status_of(Novel) == 422


def test_a_callers_error_is_told_with_hint_and_details():
    error = errors.ImageTooLarge("a.png has 169 MP.", hint="Send at most 120 MP.", details={"file": "a.png"})
    problem = problem_of(error, request_id="r1")
    assert problem == {
        "type": TYPE_PREFIX + "image_too_large",
        "title": "Image too large",
        "status": 413,
        "code": "image_too_large",
        "request_id": "r1",
        "detail": "a.png has 169 MP.",
        "hint": "Send at most 120 MP.",
        "details": {"file": "a.png"},
    }


def test_a_failure_of_the_service_tells_nothing_of_the_machine():
    error = errors.StorageFailed("/srv/blobs is gone.", hint="Mount /srv.", details={"path": "/srv/blobs"})
    problem = problem_of(error, request_id="r2")
    assert "/srv" not in json.dumps(problem)
    assert (problem["status"], problem["code"], problem["request_id"]) == (503, "storage_failed", "r2")
