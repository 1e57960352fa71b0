"""``fine_tune``: a network for one's own microscope, from frames of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from deepstorm.api.example_sources import example_source
from deepstorm.api.inputs import opened_movie
from deepstorm.api.train import check_places, train, training_settings
from deepstorm.api.training_result import TrainingResult, training_folder
from deepstorm.arrays import PathLike
from deepstorm.config import validated
from deepstorm.errors import InputError
from deepstorm.models.network import Network
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.training.course.folder import RESULT_NAME, initial_network
from deepstorm.training.course.loss_log import Validation
from deepstorm.training.course.reservation import reserved_training
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.composites import CompositeExamples, CompositeSource
from deepstorm.training.examples.protocol import VALIDATION, ExampleSource
from deepstorm.training.examples.regions import RegionExamples
from deepstorm.training.network import NetworkTrainer, TrainingSettings

DEFAULT_RECIPE, DEFAULT_NAME = "composites", "fine-tuned"
MEASURE = "loss on held-back examples"
# The recipe fine-tunes; drawn weights learn faster, at the rate of the recipe `native`.
RATE_FROM_SCRATCH = 8e-4


def fine_tuning_settings(
    recipe: PathLike | None = None,
    *,
    from_scratch: bool = False,
    steps: int | None = None,
    time_budget_s: float | None = None,
    patience: int | None = None,
) -> TrainingSettings:
    """Return the settings of a fine-tuning, into which :func:`fine_tune` puts the frames.

    Parameters
    ----------
    recipe : path-like, optional
        Gives network, loss and schedule; ``composites`` where absent, which trains the embedded
        network further for a quarter of an hour.
    from_scratch : bool
        Whether to start from drawn weights, whatever the recipe says.
    steps, time_budget_s, patience : optional
        See :func:`~deepstorm.api.train.training_settings`.

    Raises
    ------
    InputError
        If the recipe cannot be used, or trains a refiner.
    """
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
    changes: dict[str, Any] = {}
    if from_scratch:
        changes["start_from"] = None
    if from_scratch and recipe is None and isinstance(base.schedule, CosineSchedule):
        changes["schedule"] = base.schedule.model_copy(update={"peak_rate": RATE_FROM_SCRATCH})
    if recipe is None:
        changes["name"] = DEFAULT_NAME
    return base.model_copy(update=changes)


def fine_tune(
    movie: PathLike,
    folder: PathLike | None = None,
    settings: TrainingSettings | None = None,
    *,
    output: PathLike | None = None,
    positions: PathLike | None = None,
    sparse: bool = False,
    pixel_size_nm: float | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool | None = None,
    tensorboard: bool = False,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    on_validation: Callable[[Validation], None] = lambda validation: None,
) -> TrainingResult:
    """Train a network further on one's own frames, and keep the better one.

    Parameters
    ----------
    movie : path-like
        Frames whose emitters hardly overlap, which are summed (paper §3, Fig. 7); or, with their
        table, frames of any density (paper §2.1.2).
    folder : path-like, optional
        See :func:`~deepstorm.api.train.train`, as for what is not listed here.
    settings : TrainingSettings, optional
        Of :func:`fine_tuning_settings`; what they say of the kind of examples that is made is kept.
    output : path-like, optional
        Where to put the network; ``result.safetensors`` in the folder where absent.
    positions : path-like, optional
        The table of all emitters; where absent they are found, and the frames have to be sparse.
    sparse : bool
        Whether frames are sparse and summed although there is a table.
    pixel_size_nm : float, optional
        Size of a camera pixel; from the movie where absent.

    Returns
    -------
    TrainingResult
        Its scores are losses on held-back examples. Where the network that the training started
        from was better, its file is a copy of that.

    Raises
    ------
    InputError
        As :func:`~deepstorm.api.train.train`, and if the frames cannot be used.
    """
    chosen = with_frames(
        settings or fine_tuning_settings(),
        movie,
        positions=positions,
        sparse=sparse,
        pixel_size_nm=pixel_size_nm,
    )
    home = training_folder(folder, chosen.name)
    check_places(home, output, overwrite=overwrite)
    with reserved_training(home, output, overwrite=overwrite) as keep:
        source = example_source(chosen)
        best = train(
            chosen,
            home,
            device=device,
            resume=resume,
            tensorboard=tensorboard,
            on_step=on_step,
            on_validation=on_validation,
            source=source,
        ).path
        before, initial = _initial(chosen, source, home)
        result = TrainingResult(
            path=home / RESULT_NAME if output is None else Path(output),
            reports=home,
            measure=MEASURE,
            before=before,
            after=(held_back_loss(TrainedNetwork.open(best).load(), source, chosen),),
            details=source.figures() if isinstance(source, CompositeSource) else {},
        )
        keep(best if initial is None or result.improved else initial)
    return result


def with_frames(
    settings: TrainingSettings,
    movie: PathLike,
    *,
    positions: PathLike | None = None,
    sparse: bool = False,
    pixel_size_nm: float | None = None,
) -> TrainingSettings:
    """Return settings of a training on the given frames; see :func:`fine_tune`.

    Raises
    ------
    InputError
        If the movie cannot be opened, or nothing says how large its pixels are.
    """
    kind: type[CompositeExamples | RegionExamples] = RegionExamples
    if sparse or positions is None:
        kind = CompositeExamples
    # The paper's regions have 26 pixels; the native network takes multiples of 4.
    side_px = 28 if settings.network.kind == "native" else 26
    fits = isinstance(settings.examples, kind)
    examples = settings.examples if fits else kind(region_px=side_px)
    with opened_movie(movie, pixel_size_nm=pixel_size_nm) as (_, pixel_nm):
        files = {
            "frames_path": str(movie),
            "positions_path": None if positions is None else str(positions),
            # Files keep it as a fraction, of which 119.99999999999999 is left.
            "pixel_size_nm": round(pixel_nm, 6),
        }
    changes = {"examples": examples.model_dump() | files}
    return validated(TrainingSettings, settings.model_dump() | changes, "the training")


def _initial(
    settings: TrainingSettings, source: ExampleSource, home: Path
) -> tuple[tuple[float, ...], Path | None]:
    """Return the loss and the file of the network that a training started from, if from one."""
    if settings.start_from is None:
        return (), None
    initial = initial_network(home, settings.start_from)
    same = settings.model_copy(update={"start_from": str(initial)})
    network = NetworkTrainer(same, home, source=source, resume=False).network
    return (held_back_loss(network, source, same),), initial


@torch.no_grad()
def held_back_loss(network: Network, source: ExampleSource, settings: TrainingSettings) -> float:
    """Return the mean loss over the held-back examples, computed in full precision.

    Parameters
    ----------
    network : NativeNetwork or DeepStormNetwork
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
