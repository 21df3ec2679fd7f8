"""The evidence that goes with a result: plain frozen values, ready for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from objectscan.mesh.metrics import ViewMetrics
from objectscan.mesh.verdict import EvidenceSource, Verdict
from objectscan.types import Finding


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """One photo compared with the model seen from its camera."""

    photo: str
    size: tuple[int, int]
    """(width, height) in pixels of the comparison; smaller than the photo if that is large."""
    metrics: ViewMetrics


@dataclass(frozen=True, slots=True)
class Evidence:
    """What photos that the optimiser never saw say about the model, and what its topology says."""

    source: EvidenceSource
    """Whether `views` were kept from the optimiser. Training views can't give a verdict of high; `none`: no
    photo can be compared with the model."""
    views: tuple[ViewEvidence, ...]
    means: Mapping[str, float]
    """Mean over the views of each number of `ViewMetrics`."""
    worst: Mapping[str, str]
    """Name of the photo with the worst value of each number."""
    seen_once: float | None
    """Share of the surface, by area, that at least one photo sees; None if that is not known."""
    seen_twice: float | None
    topology: Mapping[str, float]
    """Facts about the welded surface, by name."""
    warnings: tuple[Finding, ...]
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers; numbers keep six significant digits."""
        plain = as_plain(self)
        assert isinstance(plain, dict)
        return plain


def as_plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as JSON values. Non-finite numbers become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
