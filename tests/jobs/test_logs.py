from __future__ import annotations

import io
import json
import logging
import warnings

import pytest

from objectscan.jobs.logs import log_as_json
from objectscan.jobs.plain import plain, to_json


@pytest.fixture
def stream():
    root, before = logging.getLogger(), logging.getLogger().level
    stream = io.StringIO()
    handler = log_as_json(stream)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)
    logging.captureWarnings(False)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_object_with_the_jobs_id(stream):
    logging.getLogger("objectscan.jobs.run").info("It %s.", "starts", extra={"job_id": "7"})
    (line,) = lines(stream)
    assert (line["message"], line["job_id"], line["level"], line["logger"]) == (
        "It starts.", "7", "info", "objectscan.jobs.run",
    )  # fmt: skip
    assert line["timestamp"].endswith("Z")


def test_an_exception_stays_on_one_line(stream):
    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("x").exception("Bad.", extra={"job_id": object()})
    (line,) = lines(stream)
    assert "ValueError: a\nb" in line["exception"] and line["message"] == "Bad."


def test_warnings_of_libraries_are_lines_too(stream):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    assert "careful" in lines(stream)[0]["message"]


def test_what_json_lacks_becomes_null_or_text():
    value = {"a": float("inf"), 1: (True, None, 2, "x\0y"), "half": "\ud800"}
    assert plain(value) == {"a": None, "1": [True, None, 2, "xy"], "half": "?"}
    assert json.loads(to_json([float("nan"), {"p": b"x"}])) == [None, {"p": "b'x'"}]
