"""`objectscan models ...`: the verbs and their options. What they do is in `model_verbs` and `acceptance`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from objectscan.cli.machine import machine_settings
from objectscan.cli.output import Output

app = typer.Typer(help="Weights of the generative engine: what there is, getting it, checking it.",
                  no_args_is_help=True)  # fmt: skip

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Models or collections; default: all.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Collection = Annotated[str, typer.Option(help="reconviagen, or trellis: the permissive fallback.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """Say which weights there are, which are here, how large they are and what their licences permit."""
    from objectscan.cli import model_verbs

    model_verbs.list_models(settings=machine_settings(), output=Output(as_json))


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models or collections.")],
    accept: Annotated[
        list[str] | None, typer.Option("--accept", metavar="LICENCE", help="A licence that you accept.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Take the files from a folder.")
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Download weights, after their licences were accepted by name. A stopped download goes on."""
    from objectscan.cli import model_verbs

    model_verbs.pull(names, tuple(accept or ()), source, settings=machine_settings(), output=Output(as_json))


@app.command()
def verify(names: Names = None, as_json: Json = False) -> None:
    """Read every byte again: are the weights still those that came, and the right tensors?"""
    from objectscan.cli import model_verbs

    model_verbs.verify(names or [], settings=machine_settings(), output=Output(as_json))


@app.command()
def path(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A model; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Print the folder where weights are kept, or that of one model."""
    from objectscan.cli import model_verbs

    model_verbs.path(name, settings=machine_settings(), output=Output(as_json))


@app.command()
def accept(
    collection: Collection = "reconviagen",
    sample: Annotated[Path | None, typer.Option(help="A capture; default: the shipped sample.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the result.")] = Path("acceptance"),
    as_json: Json = False,
) -> None:
    """Try the generative engine with the real weights, end to end, and give a verdict."""
    settings = machine_settings()
    from objectscan.cli import acceptance

    acceptance.run(collection, sample, out, settings=settings, output=Output(as_json))
