"""A whole run on a simulated microtubule movie: simulate, reconstruct, evaluate, show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deepstorm.api.evaluate import evaluate
from deepstorm.api.outputs import Outputs
from deepstorm.api.reconstruct import reconstruct
from deepstorm.api.simulate import simulate
from deepstorm.errors import InputError
from deepstorm.files import output_set
from deepstorm.reports.panels import ImagePanel
from deepstorm.reports.pictures import comparison_picture
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.scenes import FilamentScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations, Reconstruction, histogram_image

if TYPE_CHECKING:
    from deepstorm.reconstruction.work import Update


def demo_settings(frames: int) -> SimulationSettings:
    """Return a dense microtubule movie like the one of the paper's Fig. 4."""
    return SimulationSettings(
        frames=frames,
        density_per_um2=5.0,
        scene=FilamentScene(filaments=9, bend_per_um=0.25, waviness_nm=20, wavelength_nm=900),
        brightness=Brightness(mean_photons=1500, relative_spread=0.5),
    )


def run_demo(
    folder: Path,
    frames: int,
    seed: int,
    overwrite: bool = False,
    on_progress: Callable[[Update], None] = lambda update: None,
) -> dict[str, float | int | str | None]:
    """Fill a folder with a movie, its reconstruction, and a picture of both beside the truth.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    frames : int
        Length of the movie.
    seed : int
        Which microtubules.
    overwrite : bool
        Whether existing files may be replaced.
    on_progress : callable
        Called after each step of the reconstruction.

    Returns
    -------
    dict
        Figures by name, to be printed.

    Raises
    ------
    InputError
        If the folder cannot be made, or a file may not be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file; give a folder for the demo")
    folder.mkdir(parents=True, exist_ok=True)
    movie, truth_path, picture = (
        folder / name for name in ("movie.tif", "truth.csv", "comparison.png")
    )
    outputs = _outputs(folder)
    files = [movie, truth_path, picture, *outputs.files]
    settings = demo_settings(frames)
    with output_set(files, overwrite=overwrite) as whole:
        simulated = whole.staged(movie)
        truth = simulate(settings, seed=seed, movie=simulated, truth=whole.staged(truth_path)).truth
        staged = outputs.staged(whole)
        result = reconstruct(simulated, outputs=staged, on_progress=on_progress)
        _name_input(staged.record, movie)
        _show(whole.staged(picture), result, truth, settings.pixel_size_nm)
        table = whole.staged(folder / "localizations.csv")
        table_scores = evaluate(table, truth, radius_nm=50.0).figures()
    seconds = result.record["reconstruction_s"]
    return {
        "frames": frames,
        "emitters": len(truth),
        "expected emitters": round(result.record["expected_emitters"]),
        "NMSE [%]": evaluate(result, truth).figures()["nmse_percent"],
        "Jaccard within 50 nm": table_scores["jaccard"],
        "frames/s": frames / seconds,
        "emitters/s": len(truth) / seconds,
        "folder": str(folder),
    }


def _name_input(record: Path, movie: Path) -> None:
    """Let a record call the movie by its final name."""
    content = json.loads(record.read_text(encoding="utf-8"))
    content["input"] |= {"name": movie.name, "path": str(movie.absolute())}
    record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _show(
    path: Path,
    result: Reconstruction,
    truth: Localizations,
    pixel_size_nm: float,
) -> None:
    """Draw widefield, reconstruction and truth side by side."""
    height, width = result.image.shape
    fine_nm = result.pixel_size_nm
    panels = [
        ImagePanel("widefield", result.widefield, pixel_size_nm),
        ImagePanel("reconstruction", result.image, fine_nm),
        ImagePanel("truth", histogram_image(truth, (height, width), fine_nm), fine_nm),
    ]
    comparison_picture(path, panels)


def _outputs(folder: Path) -> Outputs:
    return Outputs(
        image=folder / "reconstruction.tif",
        record=folder / "reconstruction.json",
        preview=folder / "reconstruction.png",
        localizations=folder / "localizations.csv",
    )
