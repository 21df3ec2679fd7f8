"""Verdicts of `objectscan.mesh.check` on a folder of mesh files with a `cases.json`: expected and got.

    python benchmarks/mesh_cases.py --data FOLDER

Prints one JSON object; exit status 1 if a verdict or its reasons differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from objectscan.mesh.check import check_mesh_file


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with cases.json")
    folder = parser.parse_args().data
    rows = [row_of(folder, case) for case in json.loads((folder / "cases.json").read_text())["cases"]]
    agree = sum(row["agrees"] for row in rows)
    print(json.dumps({"cases": len(rows), "agree": agree, "rows": rows}, indent=1))
    return int(agree < len(rows))


def row_of(folder: Path, case: dict) -> dict:
    start_s = time.perf_counter()
    got = check_mesh_file(folder / case["file"])
    row = {
        "file": case["file"],
        "expected": [case["verdict"], case["reasons"]],
        "got": [got.verdict, list(got.reasons)],
        "seconds": round(time.perf_counter() - start_s, 3),
    }
    same = got.verdict == case["verdict"] and sorted(got.reasons) == sorted(case["reasons"])
    return row | {"agrees": same}


if __name__ == "__main__":
    sys.exit(main())
