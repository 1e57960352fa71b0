"""Measured sparse frames: ten of isolated molecules, by an EMCCD camera."""

from __future__ import annotations

import os
from pathlib import Path

from deepstorm.api.example_sources import sparse_frames
from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie
from deepstorm.models.scaling import PhotonScaling
from deepstorm.paper.dot_sample import UPSAMPLING, MovieWithTruth, as_movie
from deepstorm.paper.two_networks import VALIDATION_BATCHES, own_examples
from deepstorm.training.examples.protocol import VALIDATION
from deepstorm.training.examples.sparse_frames import SparseFrames

# The header's pixel size is not credible.
PIXEL_NM = 117.0
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def real_frames() -> SparseFrames:
    """Return the published frames, calibrated and localized."""
    path = Path(os.environ.get("DEEPSTORM_DATA", DATA)) / "real-sparse-tirf" / "movie.tif"
    if not path.is_file():
        raise InputError(f"there is no '{path}'; name the folder of published data, DEEPSTORM_DATA")
    with open_movie(path) as movie:
        return sparse_frames(movie.read(0, movie.shape[0]), PIXEL_NM)


def held_back(sparse: SparseFrames, seed: int, frames: int) -> MovieWithTruth:
    """Return composites of the frames that a training with this seed holds back.

    They are others than those by which the training chose its best network.
    """
    source = own_examples(sparse).prepare(PhotonScaling(), UPSAMPLING, seed, sparse)
    return as_movie(source, frames, VALIDATION, first_batch=VALIDATION_BATCHES)
