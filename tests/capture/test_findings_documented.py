"""Every code that the capture stage can give is explained in docs/findings.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_finding_of_the_capture_stage_is_documented() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "src/objectscan/capture").rglob("*.py"))
    made = set(re.findall(r'(?:Finding|photo_finding)\(\s*"([a-z_0-9]+)"', source))
    documented = set(
        re.findall(r"^\| `([a-z_0-9]+)` \|", (ROOT / "docs/findings.md").read_text(), re.MULTILINE)
    )
    assert len(made) >= 15
    assert made <= documented
