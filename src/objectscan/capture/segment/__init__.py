"""Masks: which pixels of each photo show the object."""

from objectscan.capture.segment.cut_out import cut_out
from objectscan.capture.segment.mask_set import MaskSet
from objectscan.capture.segment.model import Segmenter, load_segmenter, segmenter_from

__all__ = ["MaskSet", "Segmenter", "cut_out", "load_segmenter", "segmenter_from"]
