"""Findings about photos: made one by one while reading, told to a person once for all photos."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from objectscan.types import Finding

Severity = Literal["info", "warning", "error"]


def photo_finding(code: str, severity: Severity, photo: str, text: str) -> Finding:
    """A finding about one photo; `text` follows its name: 'has no colour.'."""
    return Finding(code, severity, f"{photo} {text}", (photo,))


def merge_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding per code and severity, in order of first appearance; the message counts further photos."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.code, finding.severity), []).append(finding)
    return tuple(_merged(group) for group in groups.values())


def _merged(group: list[Finding]) -> Finding:
    first = group[0]
    photos = tuple(dict.fromkeys(photo for finding in group for photo in finding.photos))
    if len(group) == 1:
        return first
    others = len(group) - 1
    message = f"{first.message} The same goes for {others} more {'photo' if others == 1 else 'photos'}."
    return Finding(first.code, first.severity, message, photos)
