"""From a folder of posed photos to a `Capture`: reading, checking, undistorting, masks, held-out views."""

from objectscan.capture.folder import load_capture, save_capture
from objectscan.capture.holdout import split_views
from objectscan.capture.images import Photo, decode_photo
from objectscan.capture.ingest import ingest, ingest_split
from objectscan.capture.inspect import CaptureSummary, inspect_capture
from objectscan.capture.limits import ImageLimits

__all__ = [
    "CaptureSummary",
    "ImageLimits",
    "Photo",
    "decode_photo",
    "ingest",
    "ingest_split",
    "inspect_capture",
    "load_capture",
    "save_capture",
    "split_views",
]
