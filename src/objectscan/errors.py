"""Every error that Objectscan raises on purpose.

ObjectscanError                    code, message for a person, hint, details (JSON)
 ├ InputError                      the caller can fix it            exit 2
 │  ├ UnreadableImage              not a picture, broken, or animated
 │  ├ ImageTooLarge                over the pixel or byte limit
 │  ├ ImageTooSmall                too few pixels, or an extreme strip
 │  ├ BadCameras                   the camera file can't be used
 │  ├ BadMasks                     a mask is missing, empty or full
 │  ├ TooFewViews                  not enough usable photos
 │  ├ PhotosUnusable               blurred, badly exposed, or without detail: no use to go on
 │  ├ UnsafeArchive                an archive with hostile paths, too large, or damaged
 │  ├ BadRecipe                    an unknown preset or option, or a value out of range
 │  ├ BadMesh                      a mesh file can't be used
 │  ├ BadSegmentationModel         a network for masks can't be used
 │  ├ BadVideo                     a video can't be read, or is over a limit
 │  ├ BadWorkspace                 the output folder holds something else, or can't be written
 │  ├ LicenceNotAccepted           weights were asked for before their licence was accepted by name
 │  ├ BadServiceSetup              addresses or settings of the service do not fit together
 │  ├ BadKey                       a storage key or tenant name that could lead elsewhere
 │  ├ UnknownJob                   no such job for this tenant
 │  ├ UnknownKey                   no such API key for this tenant
 │  ├ WrongState                   the job's state does not allow it
 │  ├ IdempotencyConflict          the key was used for another request
 │  ├ QuotaExceeded                the tenant has no room left
 │  ├ BadRequest                   a request that can't be read
 │  ├ NotAuthenticated             no key, or one that is not valid
 │  ├ NotAllowed                   the key's rules do not allow it
 │  ├ NotFound                     nothing is at this address for this tenant
 │  ├ WrongMethod                  the address does not take this method
 │  ├ RequestTooLarge              too many bytes, files or fields in one request
 │  ├ UnsupportedType              a file or body of a kind that is not taken
 │  ├ FetchRefused                 an address that this service does not reach for callers
 │  ├ FetchFailed                  a server that callers named does not give the file
 │  ├ OffsetConflict               a resumable upload goes on somewhere else
 │  ├ NotSupported                 this installation has no way to do it
 │  └ RateLimited                  too many requests by one key
 ├ ReconstructionError             the photos did not work out      exit 3
 │  ├ CamerasNotFound              where the photos were taken from can't be told, or not safely
 │  ├ EmptyForeground              no volume is inside all masks
 │  ├ MasksNotFound                object and background can't be told apart
 │  ├ NotRegistered                a generated object does not lie over the photos
 │  ├ OptimisationDiverged         a value became NaN or infinite
 │  └ UvFailed                     no texture layout could be made
 ├ ResourceError                   this machine can't do it         exit 4
 │  ├ NotEnoughMemory              the estimate is above what is free
 │  ├ MissingDependency            an optional package is not installed
 │  ├ MissingWeights               weights that an engine needs are not on this machine
 │  ├ BadWeights                   a weight file is damaged, or not the one that was asked for
 │  ├ DownloadFailed               the hub can't be reached, refuses, or lacks what was asked for
 │  ├ NotEnoughSpace               the disk is too full for a download
 │  ├ DatabaseFailed               the database can't be reached or refuses
 │  ├ StorageFailed                the object storage can't be reached or refuses
 │  ├ WorkerLost                   the process that ran the job died
 │  ├ TimeLimitReached             the job ran longer than it may
 │  └ ServiceFailed                a service that the client talks to can't be reached, or fails
 ├ ExportError                     a file could not be written      exit 5
 └ Cancelled                       stopped on request               exit 130
"""

from __future__ import annotations

from collections.abc import Mapping


class ObjectscanError(Exception):
    """Base of the tree: a stable code, words for a person, and what to do next."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: Mapping[str, object] | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(ObjectscanError):
    """The caller gave something that can't be used."""

    code = "input_error"
    exit_code = 2


class UnreadableImage(InputError):
    """A file is not a picture of a supported format, is broken, or is animated."""

    code = "unreadable_image"


class ImageTooLarge(InputError):
    """A picture is over the pixel or byte limit."""

    code = "image_too_large"


class ImageTooSmall(InputError):
    """A picture has too few pixels, or is an extreme strip."""

    code = "image_too_small"


class BadCameras(InputError):
    """A camera file can't be used."""

    code = "bad_cameras"


class BadMasks(InputError):
    """A mask is missing, empty, full or of the wrong size."""

    code = "bad_masks"


class TooFewViews(InputError):
    """Not enough usable photos are left."""

    code = "too_few_views"


class PhotosUnusable(InputError):
    """Most photos of a set are blurred, badly exposed or show nothing to recognise."""

    code = "photos_unusable"


class UnsafeArchive(InputError):
    """An archive has hostile paths or links, is too large once unpacked, or is damaged."""

    code = "unsafe_archive"


class BadRecipe(InputError):
    """An unknown preset or option, or a value out of range."""

    code = "bad_recipe"


class BadMesh(InputError):
    """A mesh file can't be used."""

    code = "bad_mesh"


class BadSegmentationModel(InputError):
    """A network file for masks is missing, damaged or of a kind that can't be used."""

    code = "bad_segmentation_model"


class BadVideo(InputError):
    """A video can't be read, shows too little, or is over a limit."""

    code = "bad_video"


class BadWorkspace(InputError):
    """The output folder holds something else, or can't be written."""

    code = "bad_workspace"


class LicenceNotAccepted(InputError):
    """Weights were asked for before their licence was accepted by name."""

    code = "licence_not_accepted"


class BadServiceSetup(InputError):
    """Addresses or settings of the service do not fit together."""

    code = "bad_service_setup"


class BadKey(InputError):
    """A storage key or tenant name could lead out of the tenant's part of the storage."""

    code = "bad_key"


class UnknownJob(InputError):
    """There is no such job for this tenant."""

    code = "unknown_job"


class UnknownKey(InputError):
    """There is no such API key for this tenant."""

    code = "unknown_key"


class WrongState(InputError):
    """The job's state does not allow what was asked."""

    code = "wrong_state"


class IdempotencyConflict(InputError):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"


class QuotaExceeded(InputError):
    """The tenant has no room left for jobs or files."""

    code = "quota_exceeded"


class BadRequest(InputError):
    """A request to the service can't be read, such as broken JSON or a multipart body that ends early."""

    code = "bad_request"


class NotAuthenticated(InputError):
    """A request to the service has no key, or one that is not valid."""

    code = "not_authenticated"


class NotAllowed(InputError):
    """The key is valid, but its rules do not allow the request."""

    code = "not_allowed"


class NotFound(InputError):
    """There is nothing at the address, or it is another tenant's."""

    code = "not_found"


class WrongMethod(InputError):
    """The address does not take the request's method."""

    code = "wrong_method"


class RequestTooLarge(InputError):
    """A request has too many bytes, files or fields."""

    code = "request_too_large"


class UnsupportedType(InputError):
    """A file or a request body is of a kind that the service does not take."""

    code = "unsupported_type"


class FetchRefused(InputError):
    """An address that callers named is not one that the service reaches for them."""

    code = "fetch_refused"


class FetchFailed(InputError):
    """A server that callers named does not answer, or not with a file that can be used."""

    code = "fetch_failed"


class OffsetConflict(InputError):
    """A resumable upload goes on at another byte, or another request writes to it."""

    code = "offset_conflict"


class NotSupported(InputError):
    """This installation has no way to do it, such as signed uploads without S3."""

    code = "not_supported"


class RateLimited(InputError):
    """A key sent too many requests; `Retry-After` says when to go on."""

    code = "rate_limited"


class ReconstructionError(ObjectscanError):
    """The photos did not work out."""

    code = "reconstruction_failed"
    exit_code = 3


class CamerasNotFound(ReconstructionError):
    """Where the photos were taken from can't be told, or not safely; `details["reason"]` says why."""

    code = "cameras_not_found"


class EmptyForeground(ReconstructionError):
    """No volume is inside all masks."""

    code = "empty_foreground"


class MasksNotFound(ReconstructionError):
    """Object and background can't be told apart in too many photos."""

    code = "masks_not_found"


class NotRegistered(ReconstructionError):
    """A generated object can't be laid over the photos."""

    code = "not_registered"


class OptimisationDiverged(ReconstructionError):
    """A value became NaN or infinite; the message names the step and the tensor."""

    code = "optimisation_diverged"


class UvFailed(ReconstructionError):
    """No texture layout could be made, not even by the fallback."""

    code = "uv_failed"


class ResourceError(ObjectscanError):
    """This machine can't do what was asked."""

    code = "resource_error"
    exit_code = 4


class NotEnoughMemory(ResourceError):
    """The memory estimate is above what is free."""

    code = "not_enough_memory"


class MissingDependency(ResourceError):
    """An optional package is not installed."""

    code = "missing_dependency"


class MissingWeights(ResourceError):
    """Weights that an engine needs are not on this machine; the message names them."""

    code = "missing_weights"


class BadWeights(ResourceError):
    """A weight file is damaged, or not the one that was asked for; the message names file and tensor."""

    code = "bad_weights"


class DownloadFailed(ResourceError):
    """The hub can't be reached, refuses, or lacks what was asked for."""

    code = "download_failed"


class NotEnoughSpace(ResourceError):
    """The disk is too full for a download."""

    code = "not_enough_space"


class DatabaseFailed(ResourceError):
    """The database can't be reached, or refuses."""

    code = "database_failed"


class StorageFailed(ResourceError):
    """The object storage can't be reached, or refuses."""

    code = "storage_failed"


class WorkerLost(ResourceError):
    """The process that ran the job died."""

    code = "worker_lost"


class TimeLimitReached(ResourceError):
    """The job ran longer than it may."""

    code = "time_limit_reached"


class ServiceFailed(ResourceError):
    """The service that the client talks to can't be reached, or fails."""

    code = "service_failed"


class ExportError(ObjectscanError):
    """A result file could not be written."""

    code = "export_failed"
    exit_code = 5


class Cancelled(ObjectscanError):
    """The work was stopped on request."""

    code = "cancelled"
    exit_code = 130
