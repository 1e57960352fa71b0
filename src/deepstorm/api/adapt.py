"""``adapt``: a network for one movie, from that movie alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.api.calibrate import calibration_record
from deepstorm.api.inputs import MovieSource, opened_movie
from deepstorm.api.simulate import image_with_size
from deepstorm.api.train import check_places, train
from deepstorm.api.training_result import TrainingResult, training_folder
from deepstorm.arrays import PathLike
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.inspection import Conditions, inspect_frames
from deepstorm.calibration.sampling import sample_frames
from deepstorm.errors import InputError
from deepstorm.evaluation.images import nmse_percent
from deepstorm.files import stem_of, written_whole
from deepstorm.io.images import write_image
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import Region
from deepstorm.models.card import NOMINAL_PIXEL_NM
from deepstorm.models.devices import DeviceName
from deepstorm.models.scaling import AnyFrames
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import DEFAULT_NETWORK, find_network
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.structures import histogram_image
from deepstorm.training.course.folder import RESULT_NAME, check_resumable
from deepstorm.training.course.loss_log import Validation
from deepstorm.training.course.reservation import reserved_training
from deepstorm.training.examples.whole_movies import MovieExamples
from deepstorm.training.likeness import AdaptSettings

SUBJECT_NAME = "subject.json"
STRUCTURES_NAME = "structures.tif"
NETWORK_FOLDER, REFINER_FOLDER = "network", "refiner"
# The movies on which networks are compared are those of another seed than any training's.
COMPARED_STREAM = 2
MEASURE = "NMSE of simulated movies like this one, in %"


def adapt(
    movie: MovieSource,
    folder: PathLike | None = None,
    settings: AdaptSettings | None = None,
    *,
    output: PathLike | None = None,
    pixel_size_nm: float | None = None,
    known: KnownValues | None = None,
    frames: slice | None = None,
    region: Region | None = None,
    network: PathLike = DEFAULT_NETWORK,
    device: DeviceName = "cpu",
    overwrite: bool = False,
    resume: bool | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    on_validation: Callable[[Validation], None] = lambda validation: None,
    on_movie: Callable[[int, int], None] = lambda done, total: None,
) -> TrainingResult:
    """Adapt a network to the conditions of one movie, and keep it if it is better there.

    The movie is calibrated; movies are simulated that have its optics, light, background and
    density; the refiner of a network, or both, are trained further on them. Whether that helped is
    measured on other simulated movies of that kind, which go through the whole reconstruction.

    Parameters
    ----------
    movie : path-like, ndarray of shape (frame, y, x), or Movie
        Counts as the camera gave them.
    folder : path-like, optional
        Holds the states from which a killed training resumes, and their reports; made where it is
        missing. ``runs/adapt-NAME`` where absent.
    settings : AdaptSettings, optional
    output : path-like, optional
        The network's file, ending in ``.safetensors``; ``result.safetensors`` in the folder where
        absent.
    pixel_size_nm : float, optional
        Size of a camera pixel in the sample; where absent, that of ``known``, or else the file's.
    known : KnownValues, optional
        What need not be measured of camera and optics.
    frames : slice, optional
        Frames to use, from 0.
    region : Region, optional
        Camera pixels to use.
    network : path-like
        The network to start from, by embedded name or file.
    device : str
        Torch device.
    overwrite : bool
        Whether an existing ``output`` may be replaced.
    resume : bool, optional
        ``True`` resumes what is in the folder, which has to be there; ``False`` restarts. By
        default what is there is resumed.
    on_stage : callable
        Called with the name of each stage as it starts.
    on_step, on_validation, on_movie : callable
        As for :func:`~deepstorm.api.train.train`.

    Returns
    -------
    TrainingResult
        Its scores are the NMSE in per cent of simulated movies, one for each movie.

    Raises
    ------
    InputError
        If the movie shows no emitters, a setting or a file cannot be used, or the folder holds a
        training for another movie and ``resume`` is not false.
    """
    chosen, source = settings or AdaptSettings(), find_network(network)
    initial = TrainedNetwork.open(source)
    home = training_folder(folder, _name(movie))
    check_places(home, output, overwrite=overwrite)
    check_resumable(home, resume=resume, parts=(NETWORK_FOLDER, REFINER_FOLDER))
    # It may be that only one of two trainings has started.
    course: dict[str, Any] = {"device": device, "resume": False if resume is False else None}
    course |= {"on_step": on_step, "on_validation": on_validation}
    with reserved_training(home, output, overwrite=overwrite) as keep:
        on_stage("examining the movie")
        with opened_movie(
            movie, frames=frames, region=region, pixel_size_nm=pixel_size_nm, known=known
        ) as (selected, pixel_nm):
            sample = sample_frames(selected).frames
            given = replace(known or KnownValues(), pixel_size_nm=pixel_nm)
            conditions = _conditions(sample, given, selected.name)
            _take_folder(home, _subject(sample, pixel_nm, initial), afresh=resume is False)
            examples = _examples(chosen, conditions, home, selected, pixel_nm, initial)
        card, tuned = initial.card, source
        if chosen.trains_network:
            on_stage("training the network")
            of_network = chosen.network_training(conditions, card, str(source))
            tuned = train(of_network, home / NETWORK_FOLDER, **course).path
        on_stage("training its refiner")
        of_refiner = chosen.refiner_training(examples, card, str(tuned), str(source))
        best = train(of_refiner, home / REFINER_FOLDER, on_movie=on_movie, **course).path
        on_stage("comparing")
        before, after = (
            _scores(each, examples, chosen) for each in (initial, TrainedNetwork.open(best))
        )
        result = TrainingResult(
            path=home / RESULT_NAME if output is None else Path(output),
            reports=home / REFINER_FOLDER,
            measure=MEASURE,
            before=before,
            after=after,
            details={"simulated_movies": len(after)},
            calibration=calibration_record(conditions.calibration),
        )
        keep(best if result.improved else source)
    return result


def _name(movie: MovieSource) -> str:
    """Return the name of the folder in ``runs`` for a movie."""
    return f"adapt-{stem_of(movie)}" if isinstance(movie, str | os.PathLike) else "adapt"


def _conditions(sample: AnyFrames, known: KnownValues, name: str) -> Conditions:
    """Look at frames spread over a movie."""
    conditions = inspect_frames(sample, calibrate_frames(sample, known=known), 1)
    if conditions.has_no_emitters:
        raise InputError(
            f"nothing that blinks stands out from the noise in '{name}': there is nothing to "
            "adapt to"
        )
    return conditions


def _subject(sample: AnyFrames, pixel_nm: float, network: TrainedNetwork) -> dict[str, Any]:
    """Return what a folder is for: the movie, its pixel size, and the network from before."""
    return {
        "frames_sha256": hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest(),
        "pixel_size_nm": pixel_nm,
        "network_sha256": network.checksum,
    }


def _take_folder(home: Path, subject: dict[str, Any], *, afresh: bool) -> None:
    """Make a folder for a subject, or take the one that is there if it is for the same.

    Raises
    ------
    InputError
        If it is for another subject, unless everything restarts.
    """
    path = home / SUBJECT_NAME
    home.mkdir(parents=True, exist_ok=True)
    if afresh or not path.exists():
        (home / STRUCTURES_NAME).unlink(missing_ok=True)
    elif path.exists() and path.read_text(encoding="utf-8") != json.dumps(subject):
        raise InputError(
            f"'{home}' holds a training for another movie, for other frames or another region or "
            "pixel size of it, or from another network; choose another `folder`, or restart with "
            "`resume=False`"
        )
    with written_whole(path, overwrite=True) as partial:
        partial.write_text(json.dumps(subject), encoding="utf-8")


def _examples(
    settings: AdaptSettings,
    conditions: Conditions,
    home: Path,
    movie: Movie,
    pixel_nm: float,
    network: TrainedNetwork,
) -> MovieExamples:
    """Return the simulated movies' conditions, with the measured one's structures if wanted."""
    if settings.structures == "any":
        return settings.examples(conditions, None)
    path = home / STRUCTURES_NAME
    if not path.exists():
        result = Reconstructor(network).reconstruct(movie, pixel_nm)
        write_image(path, result.image, result.pixel_size_nm)
    image, image_nm = image_with_size(path)
    # Scenes are drawn in camera pixels of a nominal size.
    scaled_nm = image_nm * NOMINAL_PIXEL_NM / pixel_nm
    return settings.examples(conditions, str(path)).with_structures(image, scaled_nm)


def _scores(
    network: TrainedNetwork, examples: MovieExamples, settings: AdaptSettings
) -> tuple[float, ...]:
    """Return the NMSE in per cent of simulated movies, given nothing but their pixel size."""
    reconstructor = Reconstructor(network)
    scores = []
    for index in range(settings.compared_movies):
        rng = np.random.default_rng([settings.seed, COMPARED_STREAM, index])
        drawn = examples.draw_movie(rng)
        frames = np.concatenate(list(drawn.frames()))
        with open_movie(frames) as movie:
            result = reconstructor.reconstruct(movie, drawn.settings.pixel_size_nm)
        truth = histogram_image(drawn.truth, result.image.shape, result.pixel_size_nm)
        scores.append(float(nmse_percent(result.image, truth)))
    return tuple(scores)
