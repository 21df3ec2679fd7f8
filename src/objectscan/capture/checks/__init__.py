"""Judging photos before time is spent on their cameras."""

from objectscan.capture.checks.judgement import Judgement, is_shaken, judge_photos, require_usable
from objectscan.capture.checks.quality import PhotoFacts, photo_facts

__all__ = ["Judgement", "PhotoFacts", "is_shaken", "judge_photos", "photo_facts", "require_usable"]
