"""Send odd and broken inputs to a running service and compare its statuses with what they should be.

    python benchmarks/hostile_http.py --data FOLDER [--url http://127.0.0.1:8000 --key KEY]

FOLDER holds `cases.json` (name, kind, path, verdict, reason, http_status) and the files it names. Without
--url an API of its own is started. A file goes as the only photo (which must never be a 5xx or 202), and
beside seven good photos: there it is refused with a stated status, or taken and left out by name in the
judgement. Zips and camera files must give a stated status. Prints JSON; the exit code is 1 if any case went
wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

GOOD = 8
Files = list[tuple[str, tuple[str, bytes]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--url")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    cases = json.loads((arguments.data / "cases.json").read_text())
    with service(arguments) as client:
        rows = [row for case in cases if (row := row_of(case, arguments.data, client)) is not None]
        rows += [
            row_of_name(name, client) for name in json.loads((arguments.data / "filenames.json").read_text())
        ]
    wrong = [row["name"] for row in rows if not row["right"]]
    print(json.dumps({"cases": rows, "total": len(rows), "wrong": wrong}, indent=1))
    return 1 if wrong else 0


def row_of(case: dict[str, Any], data: Path, client: httpx.Client) -> dict[str, Any] | None:
    if case["kind"] == "file":
        return row_of_file(case, (data / case["path"]).read_bytes(), client)
    if case["kind"] == "zip":
        answer = client.post("/v1/jobs", files={"archive": ("a.zip", (data / case["path"]).read_bytes())})
        reason = answer.json().get("details", {}).get("reason")
        return said(
            case["name"], answer, answer.status_code in case["http_status"] and reason == case["reason"]
        )
    if case["kind"] == "cameras":
        cameras = (data / case["path"]).read_bytes()
        files = [("photos", (f"images/{n:02d}.jpg", photo(n))) for n in range(GOOD)]
        answer = client.post("/v1/jobs", files=[*files, ("photos", ("transforms.json", cameras))])
        wanted = case["http_status"] or [202]
        return said(case["name"], answer, answer.status_code in wanted)
    return None  # whole sets are the reconstruction's to judge: benchmarks/photo_sets.py


def row_of_file(case: dict[str, Any], content: bytes, client: httpx.Client) -> dict[str, Any]:
    name = Path(case["path"]).name
    alone = client.post("/v1/jobs", files=[("photos", (name, content))])
    beside: Files = [("photos", (f"good_{n}.jpg", photo(n))) for n in range(GOOD - 1)]
    answer = client.post("/v1/inputs", files=[*beside, ("photos", (name, content))])
    is_refused = answer.status_code in (case["http_status"] or [415, 422])
    findings: list[str] = []
    if answer.status_code == 202:
        findings = judged(answer.json(), name, client)
    if case["verdict"] == "accept":
        right = answer.status_code == 202 and "photo_dropped" not in findings
    else:
        right = is_refused or "photo_dropped" in findings
    right &= alone.status_code in (413, 415, 422)
    return {**said(case["name"], answer, right), "alone": alone.status_code, "findings": findings}


def judged(answer: dict[str, Any], name: str, client: httpx.Client) -> list[str]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        told = client.get(f"/v1/inputs/{answer['input']}/photos")
        if told.status_code == 200:
            photos = [photo for photo in told.json()["photos"] if not photo["name"].startswith("good_")]
            return [finding["code"] for photo in photos for finding in photo["findings"]]
        time.sleep(0.1)
    raise TimeoutError(f"{name} was not judged")


def row_of_name(name: str, client: httpx.Client) -> dict[str, Any]:
    files: Files = [("photos", (f"good_{n}.jpg", photo(n))) for n in range(GOOD - 1)]
    answer = client.post("/v1/jobs", files=[*files, ("photos", (name or " ", photo(99)))])
    # An HTTP library may send no usable name at all; then the part is a field, which is refused.
    return said(f"name {name[:30]!r}", answer, answer.status_code in (202, 400, 413, 422))


def said(name: str, answer: httpx.Response, right: bool) -> dict[str, Any]:
    is_problem = answer.status_code < 400 or answer.headers["content-type"] == "application/problem+json"
    words = answer.json().get("detail", "")[:120] if answer.status_code >= 400 else ""
    return {"name": name, "right": bool(right and is_problem), "status": answer.status_code, "said": words}


def photo(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8))
    written = io.BytesIO()
    coarse.resize((640, 480), Image.Resampling.NEAREST).save(written, "JPEG", quality=90)
    return written.getvalue()


@contextlib.contextmanager
def service(arguments: argparse.Namespace) -> Iterator[httpx.Client]:
    if arguments.url:
        with client_of(arguments.url, arguments.key) as client:
            yield client
        return
    with tempfile.TemporaryDirectory() as folder:
        variables = {**os.environ, "OBJECTSCAN_DATA_FOLDER": folder}
        command = [
            sys.executable,
            "-m",
            "objectscan.cli.main",
            "api",
            "--port",
            "8765",
            "--new-key",
            "--json",
        ]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=log)
        try:
            assert process.stdout is not None
            key = json.loads(process.stdout.readline())["key"]
            with client_of("http://127.0.0.1:8765", key) as client:
                wait_for(client)
                yield client
        finally:
            process.terminate()
            process.wait(30)


def client_of(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120)


def wait_for(client: httpx.Client) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.HTTPError):
            client.get("/healthz")
            return
        time.sleep(0.1)
    raise TimeoutError("the API did not start")


if __name__ == "__main__":
    sys.exit(main())
