"""The command line: one command per verb, and a few built on them."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from deepstorm.errors import InputError

if TYPE_CHECKING:
    from deepstorm.structures import Reconstruction

app = typer.Typer(
    name="deepstorm",
    help="Super-resolution images from dense blinking movies (Deep-STORM).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
_out = Console()
_err = Console(stderr=True)

INTERRUPTED = 130


class DeviceName(StrEnum):
    """Where a network runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PixelSize = Annotated[
    float | None,
    typer.Option("--pixel-size", metavar="NM", help="Size of a camera pixel in the sample, in nm."),
]
Device = Annotated[DeviceName, typer.Option("--device", help="Where the network runs.")]


def main() -> None:
    """Run the command line; errors meant for people are printed as one sentence."""
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        _fail(f"the operating system refused: {error}", 1)
    except MemoryError:
        _fail("the memory does not suffice; use a smaller --roi or fewer frames", 1)
    except Exception as error:
        _usage_error(error)
    if code == INTERRUPTED:
        _fail("interrupted; no unfinished output was left behind", INTERRUPTED)


def _usage_error(error: Exception) -> NoReturn:
    """Print what is wrong with the words of a command; anything else is a fault of ours."""
    show = getattr(error, "format_message", None)
    if show is None:
        raise error
    message = show()
    if not message:  # the help was shown in place of a message
        sys.exit(2)
    _fail(message, 2)


def _fail(message: str, code: int) -> NoReturn:
    _err.print(f"[bold red]error:[/] {_escaped(message)}", highlight=False, soft_wrap=True)
    sys.exit(code)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextlib.contextmanager
def _progress(label: str, unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar with rate and time left on a terminal; be quiet elsewhere.

    Yields a function of (done, total, note).
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bar:
        task = bar.add_task(label, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{done / elapsed:.1f} {unit}/s" if elapsed > 0 else ""
            bar.update(task, completed=done, total=total, note=f"{rate} {note}")

        yield update


def _print(values: dict[str, Any], as_json: bool, title: str) -> None:
    """Print figures as a table, or as JSON for programs."""
    if as_json:
        typer.echo(json.dumps(_finite(values), indent=2, allow_nan=False))
        return
    table = Table(title=title, show_header=False)
    for name, value in values.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    _out.print(table)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replace what JSON has no number for, such as the infinite PSNR of a perfect image."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


@app.command()
def reconstruct(
    movie: Annotated[Path, typer.Argument(help="Blinking movie: TIFF, OME-TIFF, ImageJ stack.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Image, float32 OME-TIFF.  [MOVIE_deepstorm.tif]"),
    ] = None,
    pixel_size: PixelSize = None,
    upsampling: Annotated[
        int | None, typer.Option(help="Image pixels per camera pixel.  [the network's own, 8]")
    ] = None,
    network: Annotated[
        str, typer.Option(help="Embedded network, or a .safetensors file.")
    ] = "native",
    frames: Annotated[
        str | None, typer.Option(metavar="START:STOP", help="Frames to use, from 0.")
    ] = None,
    roi: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="Camera pixels to use.")
    ] = None,
    localizations: Annotated[
        Path | None, typer.Option(help="Table of localizations (.csv, .hdf5).  [beside the image]")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Picture with scale bar.  [beside the image]")
    ] = None,
    device: Device = DeviceName.AUTO,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Turn a blinking movie into a super-resolution image."""
    from deepstorm.api.reconstruct import Outputs
    from deepstorm.api.reconstruct import reconstruct as run
    from deepstorm.io.selection import Region, parse_frames

    image = output if output is not None else movie.with_name(f"{movie.stem}_deepstorm.tif")
    outputs = Outputs.beside(image)
    outputs = replace(
        outputs,
        localizations=localizations or outputs.localizations,
        preview=preview or outputs.preview,
    )
    with _progress("reconstructing", "frames") as update:
        result = run(
            movie,
            outputs=outputs,
            pixel_size_nm=pixel_size,
            upsampling=upsampling,
            network=network,
            frames=parse_frames(frames) if frames is not None else None,
            region=Region.parse(roi) if roi is not None else None,
            device=device.value,
            overwrite=overwrite,
            on_progress=lambda p: update(p.frames, p.total_frames, ""),
        )
    files = {name: str(path) for name, path in asdict(outputs).items()}
    if as_json:
        _print(result.record | {"outputs": files}, True, "")
    else:
        _print(_figures(result) | files, False, movie.name)


def _figures(result: Reconstruction) -> dict[str, Any]:
    """Return what a reader wants to know of a run."""
    record = result.record
    return {
        "frames": record["frames"],
        "expected emitters": round(record["expected_emitters"]),
        "frames/s": record["frames"] / record["reconstruction_s"],
        "pixel of the image": f"{result.pixel_size_nm:g} nm",
    }


@app.command()
def simulate(
    movie: Annotated[Path, typer.Argument(help="Movie to write (TIFF).")],
    settings: Annotated[
        Path | None, typer.Option("--settings", help="TOML file; microtubules without it.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Table of true emitters.  [MOVIE_truth.csv]")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Number of frames.")] = None,
    density: Annotated[
        float | None, typer.Option(min=0, help="Emitters per µm² and frame.")
    ] = None,
    positions: Annotated[
        Path | None, typer.Option(help="Table of places where emitters blink.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same movie.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a blinking movie with known truth."""
    from deepstorm.api.simulate import simulate as run
    from deepstorm.api.simulate import simulation_settings

    chosen = simulation_settings(
        settings, frames=frames, density_per_um2=density, positions=positions
    )
    table = truth if truth is not None else movie.with_name(f"{movie.stem}_truth.csv")
    with _progress("simulating", "frames") as update:
        result = run(
            chosen,
            seed=seed,
            movie=movie,
            truth=table,
            overwrite=overwrite,
            on_progress=lambda done: update(done, chosen.frames, ""),
        )
    figures = {
        "frames": chosen.frames,
        "emitters": len(result.truth),
        "movie": str(movie),
        "truth": str(table),
    }
    _print(figures, as_json, "simulated")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="TOML recipe, or 'native' or 'paper'.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Network file to write.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="State and losses; resumed if present.  [runs/NAME]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of batches.")] = None,
    device: Device = DeviceName.CPU,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a network from a recipe; go on where a killed training stopped."""
    from deepstorm.api.train import train as run
    from deepstorm.api.train import training_settings

    settings = training_settings(config, steps=steps)
    home = folder if folder is not None else Path("runs") / settings.name

    def show(progress: Any) -> None:
        _err.print(
            f"step {progress.step}: training {progress.training_loss:.4g}, "
            f"validation {progress.validation_loss:.4g}, rate {progress.rate:.2g}"
        )

    with _progress("training", "steps") as update:
        best = run(
            settings,
            home,
            output=output,
            device=device.value,
            overwrite=overwrite,
            on_step=lambda step, loss: update(step, settings.steps, f"loss {loss:.4g}"),
            on_validation=show,
        )
    _print({"network": str(best), "losses": str(home / "losses.csv")}, as_json, settings.name)


@app.command()
def evaluate(
    result: Annotated[Path, typer.Argument(help="Image (TIFF, NPY, MAT) or table (CSV, HDF5).")],
    truth: Annotated[Path | None, typer.Option(help="Table of the true emitters.")] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="NM", help="Pixel of the image, where it does not say, in nm."),
    ] = None,
    camera_pixel_size: Annotated[
        float | None,
        typer.Option(metavar="NM", help="Camera pixel, for tables that count in pixels, in nm."),
    ] = None,
    radius: Annotated[float, typer.Option(help="Largest distance of a match, in nm.")] = 100.0,
    line: Annotated[
        str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Profile for the FWHM, in nm.")
    ] = None,
    other_half: Annotated[
        Path | None, typer.Option(help="Image of the other half of the movie, for the FRC.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score an image or a table of localizations."""
    from deepstorm.api.evaluate import evaluate as run
    from deepstorm.api.evaluate import parse_line

    evaluation = run(
        result,
        truth,
        pixel_size_nm=pixel_size,
        camera_pixel_size_nm=camera_pixel_size,
        radius_nm=radius,
        line=parse_line(line) if line is not None else None,
        other_half=other_half,
    )
    _print(evaluation.figures(), as_json, result.name)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the embedded networks and what each was trained for."""
    from deepstorm.models.zoo import DEFAULT_NETWORK, embedded_cards

    cards = embedded_cards()
    if as_json:
        typer.echo(json.dumps({name: card.model_dump() for name, card in cards.items()}, indent=2))
        return
    table = Table(title="embedded networks")
    for heading in ("name", "architecture", "upsampling", "trained for"):
        table.add_column(heading)
    for name, card in cards.items():
        ranges = ", ".join(f"{key} {low:g}–{high:g}" for key, (low, high) in card.validity.items())
        shown = f"{name} (default)" if name == DEFAULT_NETWORK else name
        table.add_row(shown, card.network.kind, str(card.network.upsampling), ranges)
    _out.print(table)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the demo's files.")] = Path("demo"),
    frames: Annotated[int, typer.Option(min=1, help="Number of frames.")] = 361,
    seed: Annotated[int, typer.Option(min=0, help="Which microtubules.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Simulate microtubules, reconstruct them, and compare with the truth."""
    from deepstorm.demo import run_demo

    with _progress("reconstructing", "frames") as update:
        figures = run_demo(
            folder, frames, seed, on_progress=lambda p: update(p.frames, p.total_frames, "")
        )
    _print(figures, as_json, "demo")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("deepstorm"))
        raise typer.Exit
