"""The network that tells object from background in one picture; any other can take its place.

Bundled is u2netp (4.6 MB), the small model of U2-Net (Qin et al. 2020). The operator may name another ONNX
file of the U2-Net, ISNet or BiRefNet kind: size, number type and range are read from it, its way to
normalise pictures comes from a small table.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from objectscan.errors import BadSegmentationModel, InputError
from objectscan.settings import Settings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Family = Literal["u2net", "isnet", "birefnet"]

WEIGHTS = Path(__file__).parent / "weights" / "u2netp.onnx"
WEIGHTS_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
_SIDE_IF_FREE = 1024
"""Input side for a model that takes any size."""
_SIDES = (32, 4096)


class Segmenter(Protocol):
    """Tells the object in a picture from its background."""

    side_px: int
    """Side of the square that it works on: its maps show nothing finer."""

    def foreground(self, image_srgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
        """Foreground share of each pixel times 255, for a picture that shows one object large."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How a family of networks wants its pictures: (value in [0, 1] - mean) / deviation, RGB."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    by_brightest: bool = False
    """Whether values are first divided by the brightest one of the picture."""


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALISATIONS: dict[Family, Normalisation] = {
    "u2net": Normalisation(*_IMAGENET, by_brightest=True),
    "isnet": Normalisation((0.5, 0.5, 0.5), (1.0, 1.0, 1.0)),
    "birefnet": Normalisation(*_IMAGENET),
}
"""From the authors' programs: U2-Net `data_loader.ToTensorLab`, DIS `Inference.py`, BiRefNet's README."""


class OnnxSegmenter:
    """A network in an ONNX file, run by onnxruntime on the processor. Safe to call from several threads."""

    def __init__(self, file: Path, *, family: Family | None = None, threads: int = 1):
        """Load the network and try it once.

        Args:
            file: The ONNX file: one picture [1 3 S S] in, the map [1 1 S S] first among its outputs.
            family: Whose normalisation it wants; None: told by its name, its size and number of outputs.
            threads: Threads for one picture.

        Raises:
            BadSegmentationModel: The file is missing, no ONNX file, or of another kind.
        """
        self._session = _session(file, threads)
        self._input, self.side_px = _input_of(self._session, file)
        self._number = np.float16 if self._input.type == "tensor(float16)" else np.float32
        self._output = self._session.get_outputs()[0].name
        self.family: Family = family or _family(file, self.side_px, len(self._session.get_outputs()))
        self._has_logits = self._tried(file)

    def foreground(self, image_srgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
        """As `Segmenter.foreground`; the picture is squeezed to a square, the map stretched back."""
        height, width = image_srgb.shape[:2]
        values = self._run(image_srgb)
        if self._has_logits:
            values = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
        share = cv2.resize(np.clip(values, 0, 1), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.round(255 * share), np.uint8)

    def _run(self, image_srgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "S S"]:
        rule, side = NORMALISATIONS[self.family], (self.side_px, self.side_px)
        shrinks = max(image_srgb.shape[:2]) > self.side_px
        small = cv2.resize(image_srgb, side, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        scale = max(int(small.max()), 1) if rule.by_brightest else 255
        planes = ((small / scale - rule.mean) / rule.deviation).transpose(2, 0, 1)[None]
        maps = self._session.run([self._output], {self._input.name: planes.astype(self._number)})[0]
        return np.asarray(maps, np.float32)[0, 0]

    def _tried(self, file: Path) -> bool:
        """Whether the outputs are logits, from one run on a picture with a bright disc."""
        picture = cv2.circle(np.full((320, 320, 3), 60, np.uint8), (160, 160), 90, (230, 200, 90), -1)
        try:
            values = self._run(picture)
        except Exception as problem:  # onnxruntime's errors have no common base class
            raise _unusable(file, f"it fails on a test picture ({_first_line(problem)})") from problem
        if values.shape != (self.side_px, self.side_px) or not np.isfinite(values).all():
            raise _unusable(file, f"its first output is {list(values.shape)} or holds NaN, not a map")
        return bool(values.min() < -0.01 or values.max() > 1.01)


def load_segmenter(
    file: Path | None = None, *, family: Family | None = None, threads: int = 1
) -> OnnxSegmenter:
    """The network of `file`, or the bundled one, whose checksum is compared first.

    Raises:
        BadSegmentationModel: The file is missing, damaged, or of a kind that can't be used.
    """
    if file is not None:
        return OnnxSegmenter(file, family=family, threads=threads)
    if not WEIGHTS.is_file() or hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise BadSegmentationModel(
            f"The bundled weights {WEIGHTS} are missing or damaged.",
            hint="Install Objectscan again, or name another model in the setting segmentation_model.",
        )
    return OnnxSegmenter(WEIGHTS, family="u2net", threads=threads)


def segmenter_from(settings: Settings, threads: int | None = None) -> OnnxSegmenter:
    """The network that the operator's settings name; `threads` goes before their number of threads.

    Raises:
        BadSegmentationModel: The file is missing, damaged, or of a kind that can't be used.
        InputError: There is no such family.
    """
    family, file = str(settings["segmentation_family"]), str(settings["segmentation_model"])
    if family and family not in NORMALISATIONS:
        raise InputError(
            f"The setting segmentation_family is '{family}'.", hint=f"Known: {', '.join(NORMALISATIONS)}."
        )
    path = Path(file).expanduser() if file else None
    chosen = next((known for known in NORMALISATIONS if known == family), None)
    return load_segmenter(path, family=chosen, threads=threads or settings.threads)


def _session(file: Path, threads: int) -> InferenceSession:
    import onnxruntime

    if not file.is_file():
        raise BadSegmentationModel(
            f"There is no segmentation model {file}.", hint="Correct the setting segmentation_model."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # its warnings go to stderr, past our output
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's errors have no common base class
        raise _unusable(file, f"onnxruntime can't read it ({_first_line(problem)})") from problem


def _input_of(session: InferenceSession, file: Path):  # type: ignore[no-untyped-def]
    """The one picture input, and the side of its square."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise _unusable(file, f"it has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), not 1")
    shape, kind = inputs[0].shape, inputs[0].type
    if len(shape) != 4 or (shape[1] not in (3, None) and not isinstance(shape[1], str)):
        raise _unusable(file, f"its input has the shape {shape}, not [1, 3, side, side]")
    if kind not in ("tensor(float)", "tensor(float16)"):
        raise _unusable(file, f"its input is a {kind}, not float")
    sides = {side if isinstance(side, int) else _SIDE_IF_FREE for side in shape[2:]}
    side = sides.pop()
    if sides or not _SIDES[0] <= side <= _SIDES[1]:
        raise _unusable(file, f"its input has the shape {shape}, not a square of {_SIDES[0]} to {_SIDES[1]}")
    return inputs[0], side


def _family(file: Path, side_px: int, outputs: int) -> Family:
    """By the file's name; else small inputs are U2-Net's, several outputs ISNet's, one is BiRefNet's."""
    name = file.stem.lower().replace("-", "").replace("_", "")
    for family in NORMALISATIONS:
        if family in name:
            return family
    if side_px <= 512:
        return "u2net"
    return "isnet" if outputs > 1 else "birefnet"


def _unusable(file: Path, why: str) -> BadSegmentationModel:
    return BadSegmentationModel(
        f"{file.name} can't be used as a segmentation model: {why}.",
        hint="Give an ONNX file of U2-Net, ISNet or BiRefNet, or leave segmentation_model empty.",
        details={"file": str(file)},
    )


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0][:200] if str(problem).strip() else type(problem).__name__
