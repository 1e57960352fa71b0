"""``train --sparse`` and ``train --frames``: a network for one's own microscope."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deepstorm.api.example_sources import example_source
from deepstorm.api.train import check_places, train, training_settings
from deepstorm.arrays import PathLike
from deepstorm.config import validated
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.io.checking import require_pixel_size
from deepstorm.io.movies.opening import open_movie
from deepstorm.models.network import Network
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.training.course.distributed import is_first_process
from deepstorm.training.course.folder import RESULT_NAME, initial_network
from deepstorm.training.course.loss_log import Progress
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.composites import CompositeExamples, CompositeSource
from deepstorm.training.examples.protocol import VALIDATION, ExampleSource
from deepstorm.training.examples.regions import RegionExamples
from deepstorm.training.network import Trainer, TrainingSettings

DEFAULT_RECIPE = "composites"
# The recipe fine-tunes; drawn weights learn faster, at the rate of the recipe `native`.
RATE_FROM_SCRATCH = 8e-4


@dataclass(frozen=True, slots=True)
class OwnTraining:
    """What came of a training on one's own frames.

    Parameters
    ----------
    path : Path
        The network's file: the one that the training started from if that is better.
    loss_before : float or None
        Loss of the initial network on held-back examples; none for drawn weights.
    loss_after : float
        That of the best network of the training.
    composites : dict, optional
        What sums of sparse frames were like, as
        :meth:`~deepstorm.training.examples.composites.CompositeSource.figures` has it.
    """

    path: Path
    loss_before: float | None
    loss_after: float
    composites: dict[str, float] | None = None

    @property
    def improved(self) -> bool:
        """Whether the training made the network better on held-back examples."""
        return self.loss_before is None or self.loss_after < self.loss_before

    def figures(self) -> dict[str, Any]:
        """Return what a person wants to know, by name."""
        figures = {
            "network": str(self.path),
            "validation_loss_before": self.loss_before,
            "validation_loss_after": self.loss_after,
            "improved": self.improved,
        }
        return figures | (self.composites or {})


def own_settings(
    recipe: PathLike | None = None,
    *,
    sparse: PathLike | None = None,
    frames: PathLike | None = None,
    positions: PathLike | None = None,
    pixel_size_nm: float | None = None,
    from_scratch: bool = False,
    steps: int | None = None,
    time_budget_s: float | None = None,
    patience: int | None = None,
) -> TrainingSettings:
    """Return the settings of a training on one's own frames.

    Parameters
    ----------
    recipe : path-like, optional
        Gives network, loss and schedule; ``composites`` where absent, which goes on from the
        embedded network for a quarter of an hour.
    sparse : path-like, optional
        A movie of sparse frames, whose spots are summed (paper §3, Fig. 7).
    frames : path-like, optional
        A movie of any density, of which all emitters are known (paper §2.1.2). One of the two.
    positions : path-like, optional
        The table of the emitters; found in sparse frames where absent.
    pixel_size_nm : float, optional
        Size of a camera pixel; from the movie where absent.
    from_scratch : bool
        Whether to begin with drawn weights, whatever the recipe says.
    steps, time_budget_s, patience : optional
        See :func:`~deepstorm.api.train.training_settings`.

    Raises
    ------
    InputError
        If files are missing, or the recipe trains a refiner.
    """
    _check_files(sparse, frames, positions)
    base = training_settings(
        DEFAULT_RECIPE if recipe is None else recipe,
        steps=steps,
        time_budget_s=time_budget_s,
        patience=patience,
    )
    if not isinstance(base, TrainingSettings):
        raise InputError(
            f"'{recipe}' trains a refiner, which learns from simulated movies; choose a recipe for "
            "a network, or leave it out"
        )
    kind: type[CompositeExamples | RegionExamples] = CompositeExamples if sparse else RegionExamples
    examples = _examples(base, kind, sparse or frames or "", positions, pixel_size_nm)
    changes: dict[str, Any] = {"examples": examples}
    if from_scratch:
        changes["start_from"] = None
    if from_scratch and recipe is None and isinstance(base.schedule, CosineSchedule):
        changes["schedule"] = base.schedule.model_dump() | {"peak_rate": RATE_FROM_SCRATCH}
    if recipe is None:
        changes["name"] = "sparse" if sparse else "frames"
    return validated(TrainingSettings, base.model_dump() | changes, "the training")


def _check_files(
    sparse: PathLike | None, frames: PathLike | None, positions: PathLike | None
) -> None:
    """Refuse too few files, or too many."""
    if (sparse is None) == (frames is None):
        raise InputError(
            "give either sparse frames (--sparse) or frames of known emitters (--frames with "
            "--positions), one of the two"
        )
    if frames is not None and positions is None:
        raise InputError(
            f"the emitters in '{frames}' are not known; give their table with --positions, or "
            "sparse frames, in which they are found, with --sparse"
        )


def _examples(
    base: TrainingSettings,
    kind: type[CompositeExamples | RegionExamples],
    movie: PathLike,
    positions: PathLike | None,
    pixel_size_nm: float | None,
) -> dict[str, Any]:
    """Return the recipe's examples, or the usual ones of a kind, with the files put in."""
    files = {
        "frames_path": str(movie),
        "positions_path": None if positions is None else str(positions),
        "pixel_size_nm": _pixel_size(movie, pixel_size_nm),
    }
    if isinstance(base.examples, kind):
        return base.examples.model_dump() | files
    # The paper's regions have 26 pixels; the native network takes multiples of 4.
    side_px = 28 if base.network.kind == "native" else 26
    return kind(region_px=side_px).model_dump() | files


def _pixel_size(movie: PathLike, given_nm: float | None) -> float:
    """Return the size that was given, or the one that the movie tells."""
    with open_movie(movie) as opened:
        size_nm = opened.pixel_size_nm if given_nm is None else given_nm
        if size_nm is None:
            raise InputError(
                f"'{opened.name}' does not tell the size of its pixels; give it with --pixel-size"
            )
    # Files keep it as a fraction, of which 119.99999999999999 is left.
    return round(require_pixel_size(size_nm), 6)


def train_on_own(
    settings: TrainingSettings,
    folder: PathLike,
    *,
    output: PathLike | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool | None = None,
    tensorboard: bool = False,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    on_validation: Callable[[Progress], None] = lambda progress: None,
) -> OwnTraining:
    """Train on one's own frames, and keep the network only if it is better than the initial one.

    Parameters
    ----------
    settings : TrainingSettings
        For instance of :func:`own_settings`.
    folder : path-like
        See :func:`~deepstorm.api.train.train`, as for the rest.
    output : path-like, optional
        Where to put the network; ``result.safetensors`` in the folder where absent.

    Returns
    -------
    OwnTraining
        Where the initial network was better on the held-back examples, its file is a copy of that.

    Raises
    ------
    InputError
        As :func:`~deepstorm.api.train.train`, and if the frames cannot be used.
    """
    home = Path(folder)
    check_places(home, output, overwrite=overwrite)
    source = example_source(settings)
    best = train(
        settings,
        home,
        device=device,
        resume=resume,
        tensorboard=tensorboard,
        on_step=on_step,
        on_validation=on_validation,
        source=source,
    )
    # Both are scored alike, in full precision.
    before, initial = None, best
    if settings.start_from is not None:
        initial = initial_network(home, settings.start_from)
        same = settings.model_copy(update={"start_from": str(initial)})
        before = held_back_loss(Trainer(same, source, home, resume=False).network, source, same)
    after = held_back_loss(TrainedNetwork.open(best).load(), source, settings)
    path = home / RESULT_NAME if output is None else Path(output)
    composites = source.figures() if isinstance(source, CompositeSource) else None
    result = OwnTraining(path, before, after, composites)
    kept = best if result.improved else initial
    if is_first_process():
        with written_whole(result.path, overwrite=overwrite or output is None) as partial:
            shutil.copyfile(kept, partial)
    return result


@torch.no_grad()
def held_back_loss(network: Network, source: ExampleSource, settings: TrainingSettings) -> float:
    """Return the mean loss over the held-back examples, computed in full precision.

    Parameters
    ----------
    network : Network
    source : ExampleSource
        Of frames that are scaled as the network takes them.
    settings : TrainingSettings
        Which loss, and how many batches.
    """
    network = network.float().cpu().eval()
    losses = []
    for index in range(settings.validation_batches):
        batch = source.batch(index, VALIDATION)
        output = network(torch.from_numpy(batch.frames))
        losses.append(float(settings.loss(output, torch.from_numpy(batch.spikes))))
    return sum(losses) / len(losses)
