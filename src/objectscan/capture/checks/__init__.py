"""Judging photos before time is spent on their cameras."""

from objectscan.capture.checks.judgement import Judgement, is_shaken, judge_photos, require_usable
from objectscan.capture.checks.overlaps import Overlaps, judge_overlaps, require_overlaps
from objectscan.capture.checks.quality import PhotoFacts, photo_facts

__all__ = [
    "Judgement",
    "Overlaps",
    "PhotoFacts",
    "is_shaken",
    "judge_overlaps",
    "judge_photos",
    "photo_facts",
    "require_overlaps",
    "require_usable",
]
