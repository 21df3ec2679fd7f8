"""Write requirements.txt and requirements-dev.txt from the versions that are installed: `make lock`.

torch is pinned by its number alone: each machine's index decides whether that is the CPU or a CUDA build,
and its own nvidia-* packages come with the latter.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADER = "# Written by `make lock` from pyproject.toml: every package that {what} needs, at one version.\n"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needs(requirement: str, *, ours: bool = False) -> str | None:
    """Name of a requirement that applies here, without extras."""
    text, _, marker = requirement.partition(";")
    if (
        "extra" in marker
        or ("nvidia" in text and not ours)
        or 'sys_platform == "win32"' in marker
        or "Windows" in marker
    ):
        return None
    match = re.match(r"\s*([A-Za-z0-9._-]+)", text)
    return normal(match.group(1)) if match else None


def closure(roots: list[str]) -> dict[str, str]:
    """Installed versions of the packages and of all that they need, by normal name."""
    found: dict[str, str] = {}
    pending = [name for name in (needs(root, ours=True) for root in roots) if name]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # needed on another platform or Python only
        found[name] = package.version.partition("+")[0]
        pending += [other for other in map(needs, package.requires or []) if other]
    return found


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    run = [*project["dependencies"], *extras["service"], *extras["postgres"]]
    sets = {
        "requirements.txt": ("the software and its service", run),
        "requirements-dev.txt": ("their development", [*run, *extras["dev"]]),
    }
    for name, (what, roots) in sets.items():
        lines = [f"{package}=={version}\n" for package, version in sorted(closure(roots).items())]
        (ROOT / name).write_text(HEADER.format(what=what) + "".join(lines))


if __name__ == "__main__":
    main()
