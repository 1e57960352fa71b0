"""Simulated movies as a refiner sees them: a network's sums over the frames, and the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from deepstorm.arrays import Float32Array
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.models.refinement import SUMS
from deepstorm.models.sums import sums_over_frames
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.simulation.simulator import SimulatedMovie
from deepstorm.structures import Localizations, histogram_image
from deepstorm.training.examples.whole_movies import MovieExamples

# Camera pixels per call of the network: few enough to stay in a processor's caches.
PIXELS_PER_CALL = 128 * 128
HEADER_KEY = "deepstorm_movie"


@dataclass(frozen=True, slots=True)
class SummedMovie:
    """Sums over the first frames of a movie, for several numbers of frames.

    Parameters
    ----------
    sums : ndarray of float16, shape (length, 3, y, x)
        In the order that a refiner takes.
    truth : ndarray of uint16, shape (length, y, x)
        Emitters per super-resolution pixel.
    """

    sums: npt.NDArray[np.float16]
    truth: npt.NDArray[np.uint16]


class SummedMovieSource:
    """Movies of some conditions, summed by a network; the same index gives the same movie.

    Parameters
    ----------
    network : TrainedNetwork
        One in memory is used where it is.
    examples : MovieExamples
    lengths : sequence of int
        Numbers of frames over which sums are taken, ascending.
    seed : int
    precision : str
        Of the network's convolutions, ``bfloat16`` or ``float32``.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        examples: MovieExamples,
        lengths: Sequence[int],
        seed: int,
        precision: str,
    ) -> None:
        self._network = network.load()
        self._card = network.card
        self._examples = examples
        self._lengths = tuple(lengths)
        self._seed = seed
        self._reduced = precision == "bfloat16"
        self._device = next(self._network.parameters()).device
        self.origin = self._origin()

    def movie(self, index: int, stream: int) -> SummedMovie:
        """Simulate one movie of one stream and sum what the network says of its frames."""
        rng = np.random.default_rng([self._seed, stream, index])
        movie = self._examples.draw_movie(rng)
        frames = np.concatenate(list(movie.frames()))
        told = self._examples.told_instrument(movie.settings, rng)
        sums = self._sums(self._card.scaling.fit(frames, told).apply(frames))
        return SummedMovie(sums.astype(np.float16), self._truth(movie))

    def _origin(self) -> str:
        """Return what decides the movies, as text: those of another origin are others."""
        decisive = {
            "weights": self._network.weights_checksum(),
            "card": self._card.model_dump(mode="json", include={"network", "scaling", "rendering"}),
            "examples": self._examples.model_dump(mode="json"),
            "lengths": list(self._lengths),
            "seed": self._seed,
            "reduced": self._reduced,
        }
        if self._examples.structures_checksum is not None:
            decisive["structures"] = self._examples.structures_checksum
        return json.dumps(decisive, sort_keys=True)

    @torch.inference_mode()
    def _sums(self, scaled: Float32Array) -> Float32Array:
        """Return the sums over the first frames, shape (length, 3, y, x)."""
        height, width = (side * self._network.upsampling for side in scaled.shape[2:])
        step = max(PIXELS_PER_CALL // (scaled.shape[2] * scaled.shape[3]), 1)
        total, done = np.zeros((SUMS, height, width)), 0
        at_lengths = []
        for length in self._lengths:
            for start in range(done, length, step):
                total += self._sum(scaled[start : min(start + step, length)])
            done = length
            at_lengths.append(total.astype(np.float32))
        return np.stack(at_lengths)

    def _sum(self, scaled: Float32Array) -> Float32Array:
        """Return the sums over a few frames, shape (3, y, x)."""
        frames = torch.from_numpy(scaled).to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._reduced):
            answer = self._network.expected_emitters(frames)
        expected: Tensor = answer.float()
        sums = sums_over_frames(expected, self._card.rendering(expected))
        return torch.cat(sums).cpu().numpy()

    def _truth(self, movie: SimulatedMovie) -> npt.NDArray[np.uint16]:
        """Count the true emitters of the first frames, shape (length, y, x)."""
        factor, truth = self._network.upsampling, movie.truth
        shape = (movie.shape[1] * factor, movie.shape[2] * factor)
        pixel_size_nm = movie.settings.pixel_size_nm / factor
        counted = [
            histogram_image(_first(truth, length), shape, pixel_size_nm) for length in self._lengths
        ]
        return np.stack(counted).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class KeptMovie:
    """A summed movie in a file, of which parts are read as they are needed.

    Parameters
    ----------
    path : Path
    emitters : tuple of int
        True emitters over each length.
    shape : tuple of int
        Size (y, x) in super-resolution pixels.
    """

    path: Path
    emitters: tuple[int, ...]
    shape: tuple[int, int]

    def read(
        self, length: int, rows: slice = slice(None), columns: slice = slice(None)
    ) -> Float32Array:
        """Return the three sums and the truth of a part, shape (4, y, x).

        Parameters
        ----------
        length : int
            Which of the lengths, by its index.
        rows, columns : slice
        """
        with safe_open(self.path, framework="np") as file:
            sums = file.get_slice("sums")[length, :, rows, columns]
            truth = file.get_slice("truth")[length, rows, columns]
        return np.concatenate([sums.astype(np.float32), truth[None].astype(np.float32)])


def keep_movie(path: Path, movie: SummedMovie, origin: str) -> None:
    """Write a movie, whole or not at all."""
    header = {"origin": origin, "emitters": movie.truth.sum(axis=(1, 2), dtype=int).tolist()}
    with written_whole(path, overwrite=True) as partial:
        tensors = {"sums": movie.sums, "truth": movie.truth}
        save_file(tensors, partial, metadata={HEADER_KEY: json.dumps(header)})


def find_movie(path: Path, origin: str) -> KeptMovie:
    """Open a movie that was kept; nothing is unpickled.

    Raises
    ------
    InputError
        If the file is damaged, or the movie was made of something else.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})[HEADER_KEY])
            emitters = tuple(int(number) for number in header["emitters"])
            height, width = file.get_slice("truth").get_shape()[1:]
            found_origin = header["origin"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        raise InputError(
            f"'{path}' is not a complete movie of a training; delete it to have it simulated again"
        ) from None
    if found_origin != origin:
        raise InputError(
            f"'{path.parent}' holds movies of another network or of other settings; choose another "
            "folder for the training, or delete them"
        )
    return KeptMovie(path, emitters, (height, width))


def discard_others(folder: Path, origin: str) -> None:
    """Delete the movies in a folder that are damaged, or were made of something else."""
    for path in folder.glob("*.safetensors"):
        try:
            find_movie(path, origin)
        except InputError:
            path.unlink()


def _first(emitters: Localizations, frames: int) -> Localizations:
    """Return the emitters of the first frames."""
    return emitters.select(emitters.frame < frames)
