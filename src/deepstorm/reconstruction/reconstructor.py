"""From frames to an image: scale, predict tile by tile, add up, without keeping the frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.faults import FEW_FRAMES
from deepstorm.errors import InputError
from deepstorm.models.checkpoint import Network, NetworkCard
from deepstorm.models.devices import DeviceName
from deepstorm.reconstruction.engines import choose_engine
from deepstorm.reconstruction.fitting import fit_movie
from deepstorm.reconstruction.peaks import find_peaks
from deepstorm.reconstruction.refining import refine
from deepstorm.reconstruction.tiling import Span, tiles
from deepstorm.structures import Calibration, Localizations, Reconstruction

Float32Array = npt.NDArray[np.float32]

# Tiles of this many camera pixels a side keep a network's features within a few hundred MB.
TILE_PX = 256
# Frames are read in blocks whose predictions take about this many values: small enough that their
# memory is used again and again, which is a fifth faster than new memory for each block.
VALUES_PER_BLOCK = 2**22
# Scaling and hot pixels are found from about this many pixels, spread over the movie.
SAMPLE_VALUES = 2**24
SAMPLE_FRAMES = 200


class Frames(Protocol):
    """What a reconstruction asks of a movie."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size (frame, y, x)."""

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return frames, shape (n, y, x)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a reconstruction stands.

    Parameters
    ----------
    frames : int
        Frames done.
    total_frames : int
    emitters : float
        Expected emitters so far.
    """

    frames: int
    total_frames: int
    emitters: float


class Reconstructor:
    """A network ready to turn movies into images.

    Parameters
    ----------
    network : Network
    card : NetworkCard
    device : str
        See :func:`~deepstorm.reconstruction.engines.choose_engine`.
    upsampling : int, optional
        Super-resolution pixels per camera pixel; a divisor of the network's own, which is the
        default. Pixels of a coarser image are sums of the network's.

    Raises
    ------
    InputError
        If the network cannot give that upsampling, or the device is not there.
    """

    def __init__(
        self,
        network: Network,
        card: NetworkCard,
        device: DeviceName = "auto",
        upsampling: int | None = None,
    ) -> None:
        self.card = card
        self.upsampling = upsampling if upsampling is not None else network.upsampling
        if self.upsampling < 1 or network.upsampling % self.upsampling:
            raise InputError(
                f"the network '{card.name}' gives {network.upsampling} × {network.upsampling} "
                f"pixels per camera pixel; an upsampling of {self.upsampling} cannot be made of "
                "that: choose a divisor of it"
            )
        self._network = network
        margin_px = math.ceil(card.rendering.margin_px / network.upsampling)
        self._halo = network.halo_px + math.ceil(margin_px / network.divisor) * network.divisor
        self.engine = choose_engine(network, card.rendering, device)

    def reconstruct(
        self,
        movie: Frames,
        pixel_size_nm: float,
        *,
        known: KnownValues | None = None,
        on_calibration: Callable[[Calibration], None] = lambda calibration: None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_localizations: Callable[[Localizations], None] | None = None,
    ) -> Reconstruction:
        """Reconstruct a movie in one pass.

        Parameters
        ----------
        movie : Frames
        pixel_size_nm : float
            Size of a camera pixel.
        known : KnownValues, optional
            What need not be measured of camera and optics. With ``adu_per_electron``, localizations
            have detected photons, otherwise effective ones.
        on_calibration : callable
            Called once, before the first block, with what was measured.
        on_progress : callable
            Called after each block of frames.
        on_localizations : callable, optional
            Called with the localizations of each block, in the order of frames; none are sought
            where it is absent.

        Returns
        -------
        Reconstruction
            Without localizations: those went to ``on_localizations``. The record holds
            ``warnings`` and ``notes``, sentences on how the movie suits the network.
        """
        began = time.perf_counter()
        total, height, width = movie.shape
        sample = sample_frames(movie)
        given = replace(known or KnownValues(), pixel_size_nm=pixel_size_nm)
        calibration = calibrate_frames(sample, known=given)
        on_calibration(calibration)
        fitted = fit_movie(sample, calibration, given, self.card, self.upsampling)
        sums = MovieSums.zeros(height * self._network.upsampling, width * self._network.upsampling)
        light = np.zeros((height, width))
        for start, frames in blocks(movie, self._network.upsampling):
            repaired = fitted.faulty.repair(frames)
            light += repaired.sum(axis=0, dtype=np.float64)
            found = []
            for tile in self._predict(fitted.scaling.apply(repaired)):
                sums.add(tile)
                if on_localizations is not None:
                    found.append(tile.localizations(pixel_size_nm, start))
            if on_localizations is not None:
                on_localizations(
                    fitted.with_light(_by_frame(found), repaired, start, pixel_size_nm)
                )
            on_progress(Progress(start + len(frames), total, sums.emitters))
        factor = self._network.upsampling // self.upsampling
        return Reconstruction(
            image=_coarser(self._image(sums), factor),
            posterior=_coarser(sums.posterior, factor),
            pixel_size_nm=pixel_size_nm / self.upsampling,
            widefield=(light / total).astype(np.float32),
            record={
                "frames": total,
                "expected_emitters": sums.emitters,
                "hot_pixels": int(fitted.faulty.mask.sum()),
                "photons": fitted.kind_of_photons,
                "warnings": list(fitted.findings.warnings),
                "notes": list(fitted.findings.notes),
                "engine": self.engine.name,
                "reconstruction_s": time.perf_counter() - began,
            },
        )

    def _image(self, sums: MovieSums) -> npt.NDArray[np.floating[Any]]:
        """Return the gathered sum, refined where the network has a refiner."""
        refiner = self._network.refiner
        return sums.gathered if refiner is None else refine(refiner, sums.stacked())

    def _predict(self, scaled: Float32Array) -> Iterator[TilePrediction]:
        """Run the network over scaled frames, (frame, channel, y, x), tile by tile."""
        divisor, upsampling = self._network.divisor, self._network.upsampling
        shape = scaled.shape[2:]
        missing = [(-length) % divisor for length in shape]
        # Repeating the last pixels deceives networks least: a mirror image doubles emitters there.
        padded = np.pad(scaled, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])), mode="edge")
        tile_px = max(TILE_PX, 2 * self._halo + divisor)  # of which some is kept, at any halo
        for all_rows, all_columns in tiles(padded.shape[2:], tile_px, self._halo):
            prediction = self.engine(padded[..., all_rows.seen, all_columns.seen])
            # Light that was filled up is no emitter: no peak may be sought there.
            rows, columns = all_rows.limited(shape[0]), all_columns.limited(shape[1])
            seen = (
                slice(None),
                rows.seen_within(upsampling),
                columns.seen_within(upsampling),
            )
            yield TilePrediction(
                prediction.expected[seen], prediction.image[seen], rows, columns, upsampling
            )


@dataclass(slots=True)
class MovieSums:
    """Sums over the frames of a movie, each of shape (y, x) in super-resolution pixels.

    Parameters
    ----------
    posterior : ndarray of float64
        Expected emitters.
    gathered : ndarray of float64
        What the frames add to the image.
    squared : ndarray of float64
        Squares of the expected emitters: large where single frames are certain.
    emitters : float
        Total of the gathered sum.
    """

    posterior: npt.NDArray[np.float64]
    gathered: npt.NDArray[np.float64]
    squared: npt.NDArray[np.float64]
    emitters: float = 0.0

    @classmethod
    def zeros(cls, height: int, width: int) -> MovieSums:
        """Return the sums over no frames."""
        posterior, gathered, squared = np.zeros((3, height, width))
        return cls(posterior, gathered, squared)

    def add(self, tile: TilePrediction) -> None:
        """Add the core of some frames' tile."""
        expected, gathered = tile.expected[tile.core_slices], tile.image[tile.core_slices]
        here = tile.field_slices
        added = gathered.sum(axis=0, dtype=np.float64)
        self.gathered[here] += added
        self.posterior[here] += expected.sum(axis=0, dtype=np.float64)
        self.squared[here] += np.square(expected).sum(axis=0, dtype=np.float64)
        self.emitters += float(added.sum())

    def stacked(self) -> Float32Array:
        """Return the sums in the order that a refiner takes, shape (3, y, x)."""
        return np.stack([self.posterior, self.gathered, self.squared]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class TilePrediction:
    """What a network says of one tile.

    Parameters
    ----------
    expected : ndarray of float32, shape (frame, y, x)
        Expected emitters per super-resolution pixel, with halo.
    image : ndarray of float32, shape (frame, y, x)
        What the frames add to the image, with halo.
    rows, columns : Span
        Where the tile lies, in camera pixels.
    upsampling : int
    """

    expected: Float32Array
    image: Float32Array
    rows: Span
    columns: Span
    upsampling: int

    @property
    def field_slices(self) -> tuple[slice, slice]:
        """Where the core lies in the super-resolution image of the field."""
        return self.rows.core(self.upsampling), self.columns.core(self.upsampling)

    @property
    def core_slices(self) -> tuple[slice, slice, slice]:
        """Where the core lies in the tile's arrays."""
        rows, columns = (span.core_within(self.upsampling) for span in (self.rows, self.columns))
        return slice(None), rows, columns

    def localizations(self, pixel_size_nm: float, first_frame: int) -> Localizations:
        """Find the peaks whose centroid lies in the core, in coordinates of the field."""
        found = find_peaks(self.expected, pixel_size_nm / self.upsampling, first_frame).shifted(
            self.columns.start * pixel_size_nm, self.rows.start * pixel_size_nm
        )
        y, x = found.y_nm / pixel_size_nm, found.x_nm / pixel_size_nm
        return found.select(
            (y >= self.rows.core_start)
            & (y < self.rows.core_stop)
            & (x >= self.columns.core_start)
            & (x < self.columns.core_stop)
        )


def sample_frames(movie: Frames) -> npt.NDArray[Any]:
    """Return frames spread evenly over a movie, few enough to fit in memory."""
    total, height, width = movie.shape
    count = min(total, SAMPLE_FRAMES, max(SAMPLE_VALUES // (height * width), FEW_FRAMES))
    chosen = np.linspace(0, total - 1, count).round().astype(int)
    return np.concatenate([movie.read(int(index), int(index) + 1) for index in chosen])


def blocks(movie: Frames, upsampling: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield (first frame, frames) over a whole movie, few enough that predictions fit in memory."""
    total, height, width = movie.shape
    step = max(VALUES_PER_BLOCK // (height * width * upsampling**2), 1)
    for start in range(0, total, step):
        yield start, movie.read(start, min(start + step, total))


def _by_frame(parts: list[Localizations]) -> Localizations:
    """Join the tables of a block's tiles and order them by frame."""
    joined = Localizations.concatenate(parts)
    return joined.select(np.argsort(joined.frame, kind="stable"))


def _coarser(image: npt.NDArray[np.floating[Any]], factor: int) -> Float32Array:
    """Sum ``factor`` × ``factor`` pixels into one."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    coarse = image.reshape(height, factor, width, factor).sum(axis=(1, 3))
    return np.asarray(coarse, np.float32)
