"""A training on one page: what was trained, on what, how it went, and what came of it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from deepstorm.arrays import Float32Array
from deepstorm.config import Settings, by_dotted_name
from deepstorm.reports.curves import loss_figure
from deepstorm.reports.pages import Markup, Section, drawing, facts, paragraph, picture, write_page
from deepstorm.training.course.folder import REPORT_NAME
from deepstorm.training.course.loss_log import read_losses


@dataclass(frozen=True, slots=True)
class ShownExample:
    """A held-back example and what the best network made of it.

    Parameters
    ----------
    frame : ndarray of float32, shape (y, x)
        First channel of a scaled frame.
    prediction, truth : ndarray of float32, shape (y · upsampling, x · upsampling)
        Expected and true emitters per super-resolution pixel; the latter as small spots.
    """

    frame: Float32Array
    prediction: Float32Array
    truth: Float32Array


@dataclass(frozen=True, slots=True)
class ExampleScores:
    """What the best network so far does on examples that it was not trained on.

    Parameters
    ----------
    examples : sequence of ShownExample
    scores : mapping
        Figures by name.
    note : str
        What the scores are of.
    """

    examples: Sequence[ShownExample] = ()
    scores: Mapping[str, Any] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """Where a training stands.

    Parameters
    ----------
    step, steps : int
        Steps done, and of the whole training; 0 where that is not known yet.
    used_s : float
        Seconds so far, in all runs.
    ending : str
        Why it has ended, in words; empty where it goes on.
    device : str
        Where it runs.
    processes : int
        That share its batches.
    """

    step: int
    steps: int
    used_s: float
    ending: str
    device: str
    processes: int = 1


def write_report(
    folder: Path,
    settings: Settings,
    standing: TrainingStatus,
    scored: ExampleScores,
    validity: Mapping[str, tuple[float, float]],
) -> Path:
    """Write ``report.html`` into a training's folder; return its path.

    Raises
    ------
    InputError
        If the file may not be written.
    """
    path = folder / REPORT_NAME
    name = str(getattr(settings, "name", "training"))
    sections = [
        Section("Standing", [facts(dict(_standing(folder, standing)))]),
        Section(
            "Losses", [drawing(loss_figure(folder), "Losses and learning rate over the steps")]
        ),
        *_scored(scored),
        Section("Validity", [_validity(validity)]),
        Section("Settings", [facts(dict(_chosen(settings)))]),
        Section("Made with", [facts(_machine(standing))]),
    ]
    write_page(path, f"Training of {name}", sections, overwrite=True)
    return path


def in_words(seconds: float) -> str:
    """Return a time as ``1 h 02 min 03 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min {rest:02d} s"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _standing(folder: Path, standing: TrainingStatus) -> Iterator[tuple[str, Any]]:
    yield "state", f"ended: {standing.ending}" if standing.ending else "under way"
    whole = f" of {standing.steps}" if standing.steps else ""
    yield "steps", f"{standing.step}{whole}"
    yield "time", in_words(standing.used_s)
    if rows := read_losses(folder):
        best = min(rows, key=lambda row: row[2])
        yield "best validation loss", f"{best[2]:.4g} at step {best[0]}"


def _scored(scored: ExampleScores) -> Iterator[Section]:
    if scored.scores:
        yield Section("Scores", [paragraph(scored.note), facts(scored.scores)])
    if scored.examples:
        shown = [part for example in scored.examples for part in _pictures(example)]
        yield Section("Held-back examples", shown)


def _pictures(example: ShownExample) -> Iterator[Markup]:
    """Yield frame, prediction and truth on a line of their own."""
    parts = (
        picture(example.frame, "frame as the network sees it"),
        picture(example.prediction, "expected emitters"),
        picture(example.truth, "true emitters"),
    )
    yield Markup(f"<div>{''.join(part.text for part in parts)}</div>")


def _validity(validity: Mapping[str, tuple[float, float]]) -> Markup:
    if not validity:
        return paragraph("The network states no ranges: it was trained on frames given to it.")
    return facts({name: f"{low:g} to {high:g}" for name, (low, high) in validity.items()})


def _machine(standing: TrainingStatus) -> dict[str, Any]:
    on_gpu = standing.device.startswith("cuda")
    return {
        "deepstorm": version("deepstorm"),
        "PyTorch": torch.__version__,
        "Python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name(standing.device) if on_gpu else standing.device,
        "threads": torch.get_num_threads(),
        "processes": standing.processes,
    }


def _chosen(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield dotted names of settings and their values, as TOML writes them."""
    for name, value in by_dotted_name(settings.model_dump(mode="json")):
        if value is not None:
            yield name, json.dumps(value, ensure_ascii=False)
