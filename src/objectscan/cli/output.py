"""What a verb tells: lines for a person, or one JSON object a line for a machine."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectscan.errors import ObjectscanError
from objectscan.types import Finding

_MARKS = {"info": "note", "warning": "warning", "error": "error"}


class Output:
    """Writes to stdout; errors go to stderr, or to stdout as JSON."""

    def __init__(self, as_json: bool):
        """`as_json`: one JSON object a line."""
        self.as_json = as_json

    def event(self, kind: str, values: Mapping[str, Any], text: str) -> None:
        """Tell one thing: `values` to a machine, `text` to a person."""
        if self.as_json:
            print(json.dumps({"event": kind, **values}, allow_nan=False), flush=True)
        else:
            print(text, flush=True)

    def finding(self, finding: Finding) -> None:
        """Tell a finding."""
        values = {"code": finding.code, "severity": finding.severity, "message": finding.message}
        self.event("finding", {**values, "photos": list(finding.photos)}, f"{_MARKS[finding.severity]}: {finding.message}")

    def error(self, error: ObjectscanError) -> None:
        """Tell an error with what to do next."""
        if self.as_json:
            values = {"code": error.code, "message": error.message, "hint": error.hint}
            print(json.dumps({"event": "error", **values, "exit_code": error.exit_code}), flush=True)
        else:
            print(f"objectscan: {error.message}", file=sys.stderr)
            if error.hint:
                print(f"  {error.hint}", file=sys.stderr)

    def unexpected(self, error: Exception, trace: str) -> None:
        """Tell of a defect: a line, and where the details lie."""
        with tempfile.NamedTemporaryFile(
            "w", prefix="objectscan-", suffix=".log", delete=False, encoding="utf-8"
        ) as log:
            log.write(trace)
        message = f"Something went wrong inside Objectscan ({type(error).__name__}: {error})."
        self.error(ObjectscanError(message, hint=f"Please report it with {Path(log.name)}."))
