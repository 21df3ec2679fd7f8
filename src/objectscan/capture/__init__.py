"""From a folder of posed photos to a `Capture`: reading, checking, undistorting, masks, held-out views."""

from objectscan.capture.evidence_views import hold_out
from objectscan.capture.folder import load_capture, save_capture
from objectscan.capture.images import Photo, decode_photo
from objectscan.capture.ingest import ingest, ingest_split
from objectscan.capture.inspect import CaptureSummary, inspect_capture
from objectscan.capture.limits import ImageLimits

__all__ = [
    "CaptureSummary",
    "ImageLimits",
    "Photo",
    "decode_photo",
    "hold_out",
    "ingest",
    "ingest_split",
    "inspect_capture",
    "load_capture",
    "save_capture",
]
