"""What a verb tells: lines for a person, or one JSON object a line for a machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from objectscan.errors import ObjectscanError
from objectscan.types import Finding

_MARKS = {"info": "note", "warning": "warning", "error": "error"}


class Output:
    """Writes to stdout. Errors go to stderr for a person, to stdout as JSON for a machine."""

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
        values = {
            "code": finding.code,
            "severity": finding.severity,
            "message": finding.message,
            "photos": list(finding.photos),
        }
        self.event("finding", values, f"{_MARKS[finding.severity]}: {finding.message}")

    def error(self, error: ObjectscanError) -> None:
        """Tell an error with what to do next."""
        if self.as_json:
            values = {"code": error.code, "message": error.message, "hint": error.hint}
            # Not a number has no JSON: null stands for it.
            text = json.dumps(error.details, default=str)
            details = json.loads(text, parse_constant=lambda _: None)
            self.event("error", {**values, "details": details, "exit_code": error.exit_code}, "")
            return
        print(f"objectscan: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
