"""What `objectscan models list`, `pull`, `verify` and `path` do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from objectscan.cli.display import Display
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.output import Output
from objectscan.engines.reconviagen.catalogue import CATALOGUE
from objectscan.errors import BadWeights, Cancelled, MissingWeights
from objectscan.settings import Settings
from objectscan.types import Progress, ProgressFn
from objectscan.weights import verify as checks
from objectscan.weights.folder import ModelFolder, models_folder
from objectscan.weights.hub import hub_from
from objectscan.weights.model import Model
from objectscan.weights.pull import carry_out, plan_pull, require_licences
from objectscan.weights.source import Source
from objectscan.weights.supplied import SuppliedFolder

_IN_WORDS = {"allowed": "commercial use allowed", "forbidden": "no commercial use",
             "unclear": "commercial use unclear"}  # fmt: skip


def list_models(*, settings: Settings, output: Output) -> None:
    """Tell every model and collection."""
    root = models_folder(settings, os.environ)
    for model in CATALOGUE.models:
        _tell_model(ModelFolder(root, model), output)
    for collection in CATALOGUE.collections:
        missing = [m.name for m in collection.models if ModelFolder(root, m).missing()]
        values = {
            "name": collection.name, "models": [model.name for model in collection.models],
            "missing": missing, "commercial_use": collection.commercial_use, "purpose": collection.purpose,
        }  # fmt: skip
        state = f"lacks {', '.join(missing)}" if missing else "complete"
        words = f"{collection.purpose}; {_IN_WORDS[collection.commercial_use]}"
        output.event("collection", values, f"Collection {collection.name}: {state}\n    {words}")
    output.event("done", {"folder": str(root)}, f"Folder {root}")


def pull(
    names: Sequence[str], accepted: Sequence[str], folder: Path | None, *, settings: Settings, output: Output
) -> None:
    """Get models from the hub, or from a folder.

    Raises:
        LicenceNotAccepted, DownloadFailed, MissingWeights, BadWeights, NotEnoughSpace: See `weights.pull`.
    """
    root, models = models_folder(settings, os.environ), CATALOGUE.chosen(names)
    for model in models:
        _tell_licence(model, output)
    require_licences(models, root, accepted)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with _source(folder) as source:
        plan = plan_pull(models, root, source)
        count, gigabytes = len(plan.steps), plan.remaining_bytes() / 1e9
        values = {"files": count, "remaining_bytes": plan.remaining_bytes()}
        output.event("plan", values, f"{count} files to get, {gigabytes:.2f} GB, from {source.name}")
        with _shown(plan.shares(), output) as report:
            carry_out(plan, source, now=now, report=report)
    for model in models:
        place = root / model.name
        output.event("done", {"model": model.name, "folder": str(place)}, f"{model.name} is in {place}")


def verify(names: Sequence[str], *, settings: Settings, output: Output) -> None:
    """Check models; without names those of which anything is here.

    Raises:
        MissingWeights: A file is not there.
        BadWeights: A file is not what it was, holds other tensors, or has no known sum.
    """
    root = models_folder(settings, os.environ)
    folders = [ModelFolder(root, model) for model in CATALOGUE.chosen(names)]
    if not names:
        folders = [folder for folder in folders if len(folder.missing()) < len(folder.model.files)]
    if not folders:
        raise MissingWeights(f"There are no weights in {root}.", hint="Get some: `objectscan models pull`.")
    found = list(verdicts(folders, output))
    _require_right(found)
    output.event("done", {"files": len(found)}, f"All {len(found)} files are right.")


def verdicts(folders: Sequence[ModelFolder], output: Output) -> Iterator[checks.Verdict]:
    """Check folders and tell each file's verdict."""
    sizes = tuple(
        (f"{folder.model.name}/{file.path}", float(file.size_bytes or file.tensors().size_bytes))
        for folder in folders
        for file in folder.model.files
    )
    with _shown(sizes, output) as report:
        for folder in folders:
            for verdict in checks.verify(folder, report=report):
                mark = "ok " if verdict.state == "right" else "!! "
                text = f"{mark} {verdict.model}/{verdict.path}: {verdict.words}"
                output.event("file", asdict(verdict), text)
                yield verdict


def path(name: str | None, *, settings: Settings, output: Output) -> None:
    """Tell a folder."""
    root = models_folder(settings, os.environ)
    place = root if name is None else root / CATALOGUE.chosen([name])[0].name
    output.event("path", {"folder": str(place)}, str(place))


def _require_right(found: Sequence[checks.Verdict]) -> None:
    missing = [f"{verdict.model}/{verdict.path}" for verdict in found if verdict.state == "missing"]
    wrong = [f"{v.model}/{v.path}" for v in found if v.state in ("wrong", "unrecorded")]
    if wrong:
        raise BadWeights(
            f"{len(wrong)} weight files are not right: {', '.join(wrong)}.",
            hint="Pull them again: `objectscan models pull` keeps what is right and replaces the rest.",
            details={"wrong": wrong, "missing": missing},
        )
    if missing:
        raise MissingWeights(
            f"{len(missing)} weight files are missing: {', '.join(missing)}.",
            hint="Get them with `objectscan models pull`.",
            details={"missing": missing},
        )


@contextlib.contextmanager
def _shown(shares: Sequence[tuple[str, float]], output: Output) -> Iterator[ProgressFn]:
    """Shows progress; Ctrl-C stops at the next report, or after half a second where it stands."""
    with Display(shares or (("nothing", 1.0),), output) as display, StopRequest() as stop:

        def report(progress: Progress) -> None:
            if stop.is_made():
                raise Cancelled("Stopped on request.")
            display.report(progress)

        yield report


@contextlib.contextmanager
def _source(folder: Path | None) -> Iterator[Source]:
    if folder is not None:
        yield SuppliedFolder(folder)
        return
    with hub_from(os.environ) as hub:
        yield hub


def _tell_model(folder: ModelFolder, output: Output) -> None:
    model, missing = folder.model, folder.missing()
    licence, count = model.licence, len(model.files)
    state = (
        "here" if not missing else "not here" if len(missing) == count else f"{len(missing)} files missing"
    )
    values = {
        "name": model.name, "state": state, "missing": [file.path for file in missing],
        "size_bytes": model.expected_bytes(), "repository": model.repository, "revision": model.revision,
        "licence": licence.name, "licence_url": licence.url, "commercial_use": licence.commercial_use,
        "purpose": model.purpose,
    }  # fmt: skip
    text = (
        f"{model.name:<20} {state:<16} {model.expected_bytes() / 1e9:5.2f} GB  {licence.name} "
        f"({_IN_WORDS[licence.commercial_use]})\n"
        f"    {model.purpose}; {model.repository}@{model.revision[:12]}"
    )
    output.event("model", values, text)


def _tell_licence(model: Model, output: Output) -> None:
    values = {"model": model.name, **asdict(model.licence)}
    text = (
        f"Licence of {model.name}: {model.licence.name} ({_IN_WORDS[model.licence.commercial_use]})\n"
        f"    {model.licence.summary}\n    {model.licence.url}"
    )
    output.event("licence", values, text)
