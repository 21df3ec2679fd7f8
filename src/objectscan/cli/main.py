"""The command's verbs and how its errors end: words and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from objectscan import version
from objectscan.cli.output import Output
from objectscan.errors import Cancelled, ObjectscanError

app = typer.Typer(
    help="Photographs of an object in, a textured PBR mesh with honest evidence out.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
)  # fmt: skip
CaptureArgument = Annotated[Path, typer.Argument(help="Folder with transforms.json or COLMAP files, or such a file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


@app.command()
def reconstruct(
    capture: CaptureArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder; resumed if it holds this run.")],
    preset: Annotated[str, typer.Option(help="preview, standard or high.")] = "standard",
    engine: Annotated[str, typer.Option(help="nvdiffrec, or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="Results repeat for a seed.")] = 0,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Change one recipe value, e.g. --set budget.faces=5000.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a textured model from posed, masked photos."""
    from objectscan.cli.reconstruct import reconstruct_capture

    reconstruct_capture(capture, out, preset, engine, seed, option or [], Output(as_json))


@app.command()
def inspect(capture: CaptureArgument, as_json: JsonOption = False) -> None:
    """Say what the photos support, before any time is spent."""
    from objectscan.cli.stages import inspect_photos

    inspect_photos(capture, Output(as_json))


@app.command()
def ingest(
    capture: CaptureArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the checked, undistorted capture.")],
    as_json: JsonOption = False,
) -> None:
    """Run the first stage alone: read, check and undistort photos into a plain capture folder."""
    from objectscan.cli.stages import ingest_photos

    ingest_photos(capture, out, Output(as_json))


@app.command()
def evaluate(
    result: Annotated[Path, typer.Argument(help="Output folder of a finished reconstruction.")],
    capture: CaptureArgument,
    split: Annotated[str, typer.Option(help="Which transforms_SPLIT.json to compare with.")] = "test",
    as_json: JsonOption = False,
) -> None:
    """Compare a finished model with photos that it was not made from."""
    from objectscan.cli.stages import evaluate_result

    evaluate_result(result, capture, split, Output(as_json))


@app.command()
def check(
    mesh: Annotated[Path, typer.Argument(help="A GLB, glTF, OBJ, PLY or STL file.")], as_json: JsonOption = False
) -> None:
    """Judge a mesh file by its topology, texture layout and textures."""
    from objectscan.cli.stages import check_mesh

    check_mesh(mesh, Output(as_json))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say whether this machine can run Objectscan, and what to do if not."""
    from objectscan.cli.doctor import examine

    examine(Output(as_json))


@app.callback(invoke_without_command=True)
def _root(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show_version:
        typer.echo(f"objectscan {version()}")
        raise typer.Exit


def run(arguments: list[str] | None = None) -> None:
    """Entry point: runs a verb and turns every error into words on stderr and an exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    _use_writable_kernel_cache()
    output = Output("--json" in given)
    try:
        result: Any = app(args=given, standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except ObjectscanError as error:
        output.error(error)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        output.error(Cancelled("Stopped.", hint=f"Run the same command again to go on: objectscan {' '.join(given)}"))
        code = Cancelled.exit_code
    except Exception as error:
        # typer's own complaints about arguments know how to show themselves.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            code = int(error.exit_code)
        else:
            output.unexpected(error, traceback.format_exc())
            code = 1
    sys.exit(code)


def _use_writable_kernel_cache() -> None:
    """Compiled kernels are kept beside the package, or in the user's cache where that can't be written."""
    package = Path(__file__).parent.parent
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(package, os.W_OK):
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        os.environ["NUMBA_CACHE_DIR"] = str(home / "objectscan" / "kernels")


if __name__ == "__main__":
    run()
