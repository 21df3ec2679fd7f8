"""The command's verbs and how its errors end: words and an exit code, never a traceback."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer

from objectscan import version
from objectscan.cli import models
from objectscan.cli.machine import machine_settings
from objectscan.cli.output import Output
from objectscan.errors import Cancelled, InputError, ObjectscanError

app = typer.Typer(
    help="Photographs of an object in, a textured PBR mesh with honest evidence out.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
)  # fmt: skip
app.add_typer(models.app, name="models")
_RESUMABLE = (["reconstruct"], ["optimise"], ["models", "pull"])

Photos = Annotated[
    Path,
    typer.Argument(
        metavar="CAPTURE", help="Folder of photos, with or without transforms.json or COLMAP files."
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Output folder; an interrupted run in it goes on.")]
Preset = Annotated[str, typer.Option(help="preview, standard or high.")]
EngineName = Annotated[
    str, typer.Option("--engine", help="nvdiffrec, reconviagen (generates), hybrid (both), or auto.")
]
Seed = Annotated[int, typer.Option(min=0, help="Results repeat for a seed on one machine.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change the recipe, e.g. budget.faces=5000."),
]
Box = Annotated[
    str | None,
    typer.Option(help="Where the object is in every plain photo, as shares of it: left,top,right,bottom."),
]
NoMask = Annotated[
    bool, typer.Option("--no-mask", help="Make no masks for plain photos; leave out those that bring none.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads to compute with; default: all.")]
Folder = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of `optimise` or `reconstruct`.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another job's result in OUT.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


@app.command()
def reconstruct(
    capture: Photos, out: Out, preset: Preset = "standard", engine: EngineName = "auto", seed: Seed = 0,
    box: Box = None, no_mask: NoMask = False, changes: Changes = None, threads: Threads = None,
    overwrite: Overwrite = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Make a textured model from photos, with a report on its quality."""
    settings = machine_settings()
    from objectscan.cli import reconstruct as verb

    changed = (*(changes or ()), *verb.mask_changes(box, no_mask=no_mask))
    choice = verb.Choice(preset, engine, changed, seed, overwrite, threads)
    verb.run(capture, out, choice, settings=settings, output=Output(as_json))


@app.command()
def inspect(capture: Photos, as_json: Json = False) -> None:
    """Say what photos support, before any time is spent on them."""
    settings = machine_settings()
    from objectscan.cli import inspect as verb

    verb.run(capture, settings=settings, output=Output(as_json))


@app.command()
def samples(
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder for the sets.")], as_json: Json = False
) -> None:
    """Write small sets of photos made in code, good ones and ones that must be refused, with the verdicts."""
    machine_settings()
    from objectscan.cli import samples as verb

    verb.run(out, output=Output(as_json))


@app.command("capture-guide")
def capture_guide(as_json: Json = False) -> None:
    """Print how to photograph an object."""
    machine_settings()
    from objectscan.cli import samples as verb

    verb.tell_guide(output=Output(as_json))


@app.command()
def ingest(
    capture: Photos,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="New folder for the checked, undistorted capture.")
    ],
    as_json: Json = False,
) -> None:
    """First stage alone: read, check and undistort photos into a plain capture folder."""
    settings = machine_settings()
    from objectscan.cli import ingest as verb

    verb.run(capture, out, settings=settings, output=Output(as_json))


@app.command()
def solve(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of plain photos.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for cameras, photos and solver files.")],
    seed: Seed = 0,
    paper: Annotated[str, typer.Option(help="Paper of the marker sheet in the photos: a4 or letter.")] = "a4",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Find where plain photos were taken from, or say which to take again."""
    settings = machine_settings()
    from objectscan.cli import solve as verb

    verb.run(photos, out, seed=seed, paper=paper, threads=threads, settings=settings, output=Output(as_json))


@app.command()
def marker(
    out: Annotated[Path, typer.Option("-o", "--out", help="PDF file to write.")],
    paper: Annotated[str, typer.Option(help="a4 or letter.")] = "a4",
    as_json: Json = False,
) -> None:
    """Write a sheet to print and put under the object, so that the model gets its true size."""
    machine_settings()
    from objectscan.cli import marker as verb

    verb.run(out, paper, output=Output(as_json))


@app.command()
def frames(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="MP4, MOV, MKV, WebM, AVI or MPEG-TS.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder for the photos.")],
    count: Annotated[int, typer.Option(min=1, help="How many frames are wanted.")] = 60,
    as_json: Json = False,
) -> None:
    """Before everything: the sharpest frames of a video, as photos."""
    settings = machine_settings()
    from objectscan.cli import frames as verb

    verb.run(video, out, count, settings=settings, output=Output(as_json))


@app.command()
def mask(
    photos: Annotated[
        Path, typer.Argument(metavar="PHOTOS", help="Folder of photos, or a capture with cameras.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder for the masks.")],
    box: Annotated[
        str | None,
        typer.Option(metavar="LEFT,TOP,RIGHT,BOTTOM", help="Where the object is, as shares of the photo."),
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Masks alone: which pixels of each photo show the object."""
    settings = machine_settings()
    from objectscan.cli import mask as verb

    verb.run(photos, out, box, threads=threads, settings=settings, output=Output(as_json))


@app.command()
def optimise(
    capture: Photos, out: Out, preset: Preset = "standard", engine: EngineName = "auto", seed: Seed = 0,
    changes: Changes = None, threads: Threads = None, overwrite: Overwrite = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Second stage alone: shape, textures and light, kept in OUT for `deliver`."""
    settings = machine_settings()
    from objectscan.cli import optimise as verb
    from objectscan.cli.reconstruct import Choice

    choice = Choice(preset, engine, tuple(changes or ()), seed, overwrite, threads)
    verb.run(capture, out, choice, settings=settings, output=Output(as_json))


@app.command()
def deliver(out: Folder, threads: Threads = None, as_json: Json = False) -> None:
    """Third stage alone: evidence, model file, pictures and report."""
    settings = machine_settings()
    from objectscan.cli import deliver as verb

    verb.run(out, threads=threads, settings=settings, output=Output(as_json))


@app.command()
def evaluate(
    out: Folder,
    capture: Photos,
    split: Annotated[str, typer.Option(help="Compare with transforms_SPLIT.json; '' for all.")] = "test",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compare a finished model with photos that it was not made from."""
    settings = machine_settings()
    from objectscan.cli import evaluate as verb
    from objectscan.cli.machine import use_threads

    use_threads(settings, threads)
    verb.run(out, capture, split, settings=settings, output=Output(as_json))


@app.command()
def check(
    mesh: Annotated[Path, typer.Argument(metavar="MESH", help="A GLB, glTF, OBJ, PLY or STL file.")],
    as_json: Json = False,
) -> None:
    """Judge a mesh file: surface, texture layout, textures."""
    machine_settings()
    from objectscan.cli import check as verb

    verb.run(mesh, output=Output(as_json))


@app.command()
def worker(
    check: Annotated[bool, typer.Option("--check", help="Only say whether one is ready here.")] = False,
    as_json: Json = False,
) -> None:
    """Run jobs of the service until SIGTERM; settings say where they are. Logs are JSON lines on stderr."""
    settings = machine_settings()
    from objectscan.cli import worker as verb

    if check:
        verb.check(settings=settings, output=Output(as_json))
    elif code := verb.run(settings=settings):
        raise typer.Exit(code)


Host = Annotated[str, typer.Option(help="Address to open; others than loopback need a key first.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to open.")]
NewKey = Annotated[bool, typer.Option("--new-key", help="Make a key that may do everything, and show it.")]


@app.command()
def serve(
    host: Host = "127.0.0.1", port: Port = 8000,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes; default: one for each GPU, or one.")
    ] = None,
    new_key: NewKey = False, as_json: Json = False,
) -> None:  # fmt: skip
    """The whole service on this machine: API, page and workers, until SIGTERM. Logs go to stderr."""
    settings = machine_settings()
    from objectscan.cli import serve as verb

    verb.serve(host, port, workers, new_key=new_key, settings=settings, output=Output(as_json))


@app.command()
def api(host: Host = "127.0.0.1", port: Port = 8000, new_key: NewKey = False, as_json: Json = False) -> None:
    """The API and the page alone, for clusters; workers run elsewhere."""
    settings = machine_settings()
    from objectscan.cli import serve as verb

    verb.api(host, port, new_key=new_key, settings=settings, output=Output(as_json))


@app.command()
def submit(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos, or a zip.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="With --wait: folder for the results.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the job has finished.")] = False,
    server: Annotated[
        str, typer.Option(envvar="OSCAN_SERVER", help="Address of the service.")
    ] = "http://127.0.0.1:8000",
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="File with the key; else OSCAN_KEY has it.")
    ] = None,
    preset: Preset = "standard",
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Send photos to a service; with --wait, also fetch the model."""
    from objectscan.cli import submit as verb

    asked = verb.Submission(photos, out, wait, preset, tuple(changes or ()))
    verb.run(asked, server, verb.key_from(key_file), output=Output(as_json))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say whether this machine can run Objectscan, and what to do if not."""
    from objectscan.cli import doctor as verb

    verb.run(output=Output(as_json))


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        typer.echo(f"objectscan {version()}")
        raise typer.Exit


def run(arguments: list[str] | None = None) -> None:
    """Entry point: runs a verb and turns every error into words and an exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    output = Output("--json" in given)
    try:
        result = app(args=given, prog_name="objectscan", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except ObjectscanError as error:
        code = _told(_resumable(error, given), output)
    except (KeyboardInterrupt, typer.Abort):
        code = _told(_resumable(Cancelled("Stopped on request."), given), output)
    except BrokenPipeError:
        # The reader has gone; the interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        code = _of_other_error(error, given, output)
    sys.exit(code)


def _told(error: ObjectscanError, output: Output) -> int:
    output.error(error)
    return error.exit_code


def _resumable(error: ObjectscanError, given: list[str]) -> ObjectscanError:
    """A stopped job's error with the command that goes on."""
    if isinstance(error, Cancelled):
        is_job = any(given[: len(verb)] == verb for verb in _RESUMABLE)
        hint = f"To go on where it stopped: {shlex.join(['objectscan', *given])}" if is_job else ""
        return Cancelled(error.message, hint=hint)
    return error


def _of_other_error(error: Exception, given: list[str], output: Output) -> int:
    """Wrong arguments (the parser's errors know how to show themselves) or a defect of ours."""
    if hasattr(error, "format_message") and hasattr(error, "show"):
        if not output.as_json:
            error.show()
            return InputError.exit_code
        return _told(InputError(error.format_message(), hint="See objectscan --help."), output)
    log = _log_file(given)
    log.write_text(traceback.format_exc(), "utf-8")
    message = f"Something went wrong inside Objectscan ({type(error).__name__}: {error})."
    return _told(ObjectscanError(message, hint=f"Please report it, with {log}."), output)


def _log_file(given: list[str]) -> Path:
    """error.log in the job's folder if there is one already, else a new temporary file."""
    for flag, value in itertools.pairwise(given):
        if flag in ("-o", "--out") and (Path(value) / "job.json").is_file() and os.access(value, os.W_OK):
            return Path(value) / "error.log"
    handle, name = tempfile.mkstemp(prefix="objectscan-", suffix=".log")
    os.close(handle)
    return Path(name)


if __name__ == "__main__":
    run()
