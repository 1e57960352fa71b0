"""One movie on its way to an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, Protocol

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.errors import InputError
from deepstorm.reconstruction.fitting import FittedMovie
from deepstorm.reconstruction.predictor import Piece, Predictor
from deepstorm.reconstruction.spool import LocalizationSpool
from deepstorm.reconstruction.streaming import Frames, ahead, blocks
from deepstorm.reconstruction.sums import MovieSums, SlidingSums, TilePrediction, placed
from deepstorm.reconstruction.windows import Windows
from deepstorm.structures import Localizations

LocalizationSink = Callable[[Localizations], None]
WindowSink = Callable[[Float32Array], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a reconstruction stands.

    Parameters
    ----------
    frames : int
        Frames done; where the field is done in pieces, as many as that is the work of.
    total_frames : int
    emitters : float
        Expected emitters so far.
    """

    frames: int
    total_frames: int
    emitters: float


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some frames that follow each other.

    Parameters
    ----------
    start : int
        Index of the first one.
    counts : ndarray of float32, shape (frame, y, x)
        Without faulty pixels.
    scaled : ndarray of float32, shape (frame, channel, y, x)
        As the network takes them.
    """

    start: int
    counts: Float32Array
    scaled: Float32Array

    @property
    def stop(self) -> int:
        """Index after the last frame."""
        return self.start + len(self.counts)


class Step(NamedTuple):
    """A block and what the network says of one tile of it."""

    block: Block
    tile: TilePrediction


class Collector(Protocol):
    """Something that predictions are added to."""

    def add(self, tile: TilePrediction) -> None:
        """Add the core of some frames' tile."""


class Run:
    """Adds up a movie, in one pass or in one per piece of the field.

    Reading, predicting, and adding up go on at the same time: the first two are each a step ahead.

    Parameters
    ----------
    predictor : Predictor
    movie : Frames
    fitted : FittedMovie
    pixel_size_nm : float
        Size of a camera pixel.
    on_progress : callable
        Called after each block.

    Attributes
    ----------
    image, posterior : ndarray of float32, shape (y, x)
        What is done of the image, and of the sum of the expected emitters.
    light : ndarray of float64, shape (y, x)
        Sum of the frames.
    emitters : float
        Total of the gathered sum.
    """

    def __init__(
        self,
        predictor: Predictor,
        movie: Frames,
        fitted: FittedMovie,
        pixel_size_nm: float,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._predictor = predictor
        self._movie = movie
        self._fitted = fitted
        self._pixel_nm = pixel_size_nm
        self._on_progress = on_progress
        _, height, width = movie.shape
        self._pieces = predictor.pieces(height, width)
        fine = (height * predictor.upsampling, width * predictor.upsampling)
        self.image = np.zeros(fine, np.float32)
        self.posterior = np.zeros(fine, np.float32)
        self.light = np.zeros((height, width))
        self.emitters = 0.0
        self._pieces_done = 0

    def complete(
        self,
        on_localizations: LocalizationSink | None = None,
        windows: Windows | None = None,
        on_window: WindowSink = lambda image: None,
    ) -> None:
        """Do the whole movie.

        Parameters
        ----------
        on_localizations : callable, optional
            Called with the localizations of each block; none are sought where it is absent.
        windows : Windows, optional
        on_window : callable
            Called with the image of each window.

        Raises
        ------
        InputError
            If the movie is shorter than a window, or the field too large for windows.
        """
        if windows is not None:
            self._check(windows)
        if len(self._pieces) == 1:
            self._do_at_once(on_localizations, windows, on_window)
        else:
            self._do_by_pieces(on_localizations)
        # A refiner moves about as much light out of the field as into it.
        _scale(self.image, self.emitters)

    def _check(self, windows: Windows) -> None:
        """Refuse windows that do not suit the movie."""
        windows.starts(self._movie.shape[0])
        if len(self._pieces) > 1:
            side = self._pieces[0][0].stop
            raise InputError(
                f"sliding windows are made of fields up to {side} × {side} camera pixels; this "
                f"movie has {self._movie.shape[2]} × {self._movie.shape[1]}: choose a part of it, "
                "--roi X,Y,WIDTH,HEIGHT"
            )

    def _do_at_once(
        self,
        on_localizations: LocalizationSink | None,
        windows: Windows | None,
        on_window: WindowSink,
    ) -> None:
        """Add up all sums in one pass over the movie."""
        piece = self._pieces[0]
        sums = self._predictor.sums(piece)
        sliding = None if windows is None else SlidingSums(windows, sums.shape)
        every = None if windows is None else windows.part_frames
        collectors: list[Collector] = [sums] if sliding is None else [sums, sliding]
        localize = on_localizations is not None
        steps = self._steps(piece, localize, every)
        for block, found in self._added(steps, collectors, localize):
            if on_localizations is not None:
                on_localizations(self._lit(block, found))
            if sliding is not None and sliding.ends_at(block.stop):
                on_window(self._image(sliding.whole()))
            self.light += block.counts.sum(axis=0, dtype=np.float64)
            self._report(block, sums)
        self._keep(piece, sums)

    def _do_by_pieces(self, on_localizations: LocalizationSink | None) -> None:
        """Pass over the movie once for each piece, and once more for the light of localizations."""
        localize = on_localizations is not None
        with LocalizationSpool() as spool:
            for piece in self._pieces:
                sums = self._predictor.sums(piece)
                steps = self._steps(piece, localize)
                for block, found in self._added(steps, [sums], localize):
                    if localize:
                        spool.add(block.start, placed(found, *piece, self._pixel_nm))
                    self._report(block, sums)
                self._keep(piece, sums)
            with closing(ahead(self._blocks())) as again:
                for block in again:
                    self.light += block.counts.sum(axis=0, dtype=np.float64)
                    if on_localizations is not None:
                        found = by_frame(spool.take(block.start))
                        on_localizations(self._lit(block, found))

    def _blocks(self, every: int | None = None) -> Iterator[Block]:
        """Read, repair and scale the movie."""
        for start, frames in blocks(self._movie, self._predictor.fine_upsampling, every):
            repaired = self._fitted.faulty.repair(frames)
            yield Block(start, repaired, self._fitted.scaling.apply(repaired))

    def _steps(self, piece: Piece, localize: bool, every: int | None = None) -> Iterator[Step]:
        """Run the network over the movie's blocks, tile by tile, on what is seen of a piece."""
        rows, columns = piece
        with closing(ahead(self._blocks(every))) as prepared:
            for block in prepared:
                seen = block.scaled[..., rows.seen, columns.seen]
                for tile in self._predictor.predict(seen, block.start, maxima=localize):
                    yield Step(block, tile)

    def _added(
        self, steps: Iterator[Step], collectors: Sequence[Collector], localize: bool
    ) -> Iterator[tuple[Block, Localizations]]:
        """Add predictions to sums; yield each block when it is done, with what was found in it."""
        with closing(ahead(steps)) as done:
            for block, of_block in groupby(done, attrgetter("block")):
                found = []
                for _, tile in of_block:
                    for collector in collectors:
                        collector.add(tile)
                    if localize:
                        found.append(tile.localizations(self._pixel_nm))
                yield block, by_frame(found)

    def _lit(self, block: Block, found: Localizations) -> Localizations:
        """Measure the light of a block's localizations."""
        return self._fitted.with_light(found, block.counts, block.start, self._pixel_nm)

    def _keep(self, piece: Piece, sums: MovieSums) -> None:
        """Put the core of a finished piece into the images."""
        fine, coarse = self._predictor.fine_upsampling, self._predictor.upsampling
        within = tuple(span.core_within(fine) for span in piece)
        here = tuple(span.core(coarse) for span in piece)
        self.image[here] = self._predictor.coarser(self._predictor.image(sums)[within])
        self.posterior[here] = self._predictor.coarser(sums.posterior[within])
        self.emitters += float(sums.gathered[within].sum())
        self._pieces_done += 1

    def _image(self, sums: MovieSums) -> Float32Array:
        """Return the image of a field in one piece."""
        image = self._predictor.coarser(self._predictor.image(sums))
        _scale(image, sums.emitters)
        return image

    def _report(self, block: Block, sums: MovieSums) -> None:
        """Tell how far the work is, after a block of a piece."""
        total = self._movie.shape[0]
        passes = self._pieces_done * total + block.stop
        self._on_progress(
            Progress(passes // len(self._pieces), total, self.emitters + sums.emitters)
        )


def by_frame(parts: list[Localizations]) -> Localizations:
    """Join the tables of a block's tiles or pieces and order them by frame."""
    joined = Localizations.concatenate(parts)
    return joined.select(np.argsort(joined.frame, kind="stable"))


def _scale(image: Float32Array, total: float) -> None:
    """Give an image its total, in place."""
    found = image.sum(dtype=np.float64)
    if found > 0:
        image *= np.float32(total / found)
