"""Parts of a movie on their way to sums: read, predicted, and added up."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from deepstorm.arrays import BoolArray, Float32Array, Int64Array
from deepstorm.calibration.sampling import Frames
from deepstorm.errors import InputError
from deepstorm.reconstruction.finishing import window_image
from deepstorm.reconstruction.job import Job
from deepstorm.reconstruction.partial import Partial
from deepstorm.reconstruction.piece_sums import PiecesOnDisk, PieceSums
from deepstorm.reconstruction.predictor import Piece, Predictor
from deepstorm.reconstruction.residuals import EVERY, is_checked
from deepstorm.reconstruction.streaming import ahead, block_edges
from deepstorm.reconstruction.sums import SlidingSums, TilePrediction, placed
from deepstorm.structures import Localizations

# A field in pieces is read in stretches whose frames take about this many bytes in memory, as the
# camera gave them and scaled; each stretch is added to the sums of every piece.
STRETCH_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Part:
    """Frames of a movie that follow each other.

    Parameters
    ----------
    start, stop : int
        First frame, and frame after the last one; blocks begin and end there (:func:`edges`).
    """

    start: int
    stop: int


@dataclass(slots=True, eq=False)
class Standing:
    """What a reconstruction has come to, and all that is needed to go on from there.

    Parameters
    ----------
    partial : Partial
    sliding : SlidingSums, optional
        Sums over the window that is being filled, where windows are wanted.
    """

    partial: Partial
    sliding: SlidingSums | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """Where a reconstruction stands.

    Parameters
    ----------
    frames : int
        Frames done; where the field is done in pieces, as many as that is the work of.
    total_frames : int
    standing : Standing
        What they come to: the same object in each update, which grows.
    window : ndarray of float32, shape (y, x), optional
        Image of the window that has just ended.
    """

    frames: int
    total_frames: int
    standing: Standing
    window: Float32Array | None = None

    @property
    def partial(self) -> Partial:
        """What the frames come to, which grows."""
        return self.standing.partial


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some frames that follow each other.

    Parameters
    ----------
    start : int
        Index of the first one.
    counts : ndarray of float32, shape (frame, y, x)
        Without faulty pixels.
    is_used : ndarray of bool, shape (frame,)
        Which frames say something; the other ones are empty.
    scaled : ndarray of float32, shape (frame, channel, y, x)
        As the network takes them.
    """

    start: int
    counts: Float32Array
    is_used: BoolArray
    scaled: Float32Array

    @property
    def stop(self) -> int:
        """Index after the last frame."""
        return self.start + len(self.counts)

    @property
    def numbers(self) -> Int64Array:
        """Indices of the frames."""
        return np.arange(self.start, self.stop)


class Step(NamedTuple):
    """A block and what the network says of one tile of it."""

    block: Block
    tile: TilePrediction


class Collector(Protocol):
    """Something that predictions are added to."""

    def add(self, tile: TilePrediction) -> None:
        """Add the core of some frames' tile."""


class Worker:
    """A job and its network, ready to work on parts of the movie.

    Reading, predicting, and adding up go on at the same time: the first two are each a step ahead.

    Parameters
    ----------
    job : Job
    predictor : Predictor

    Raises
    ------
    InputError
        If the field is too large for the job's windows.
    """

    def __init__(self, job: Job, predictor: Predictor) -> None:
        self._job = job
        self._predictor = predictor
        self._pieces = predictor.pieces(*job.field)
        self._silent = job.fitted.cleaning.silent
        if job.windows is not None:
            _check_windows(self._pieces, job)

    def beginning(self, folder: Path | None = None) -> Standing:
        """Return where a reconstruction stands before its first frame.

        Parameters
        ----------
        folder : Path, optional
            Where sums that are too large for memory are kept; a temporary folder by default.
        """
        partial = Partial(self._job.checksum, np.zeros(self._job.field))
        if len(self._pieces) > 1:
            partial.pieces = PiecesOnDisk.temporary() if folder is None else PiecesOnDisk(folder)
        if self._job.windows is None:
            return Standing(partial)
        fine = self._predictor.fine_upsampling
        height, width = self._job.field
        return Standing(partial, SlidingSums(self._job.windows, (height * fine, width * fine)))

    def updates(self, movie: Frames, part: Part, standing: Standing) -> Generator[Update]:
        """Add the frames of a part, block by block.

        Parameters
        ----------
        movie : Frames
            Of the job's field.
        part : Part
        standing : Standing
            Grows; without these frames.

        Yields
        ------
        Update
            After each block, or, where the field is done in pieces, after each piece of a block.
            Whoever stops iterating leaves no thread behind.

        Raises
        ------
        InputError
            If the part does not begin and end with blocks.
        """
        blocks = self._blocks_of(part, movie.shape[0])
        if len(self._pieces) == 1:
            return self._at_once(movie, blocks, standing)
        return self._by_pieces(movie, blocks, standing)

    def _blocks_of(self, part: Part, frames: int) -> list[Part]:
        """Return the blocks of a part of a movie."""
        allowed = edges(self._job, self._predictor, frames)
        within = [edge for edge in allowed if part.start <= edge <= part.stop]
        if len(within) < 2 or (within[0], within[-1]) != (part.start, part.stop):
            raise InputError(
                f"frames {part.start} to {part.stop} cannot be reconstructed as a part; a part "
                f"begins and ends with blocks of {allowed[1]} frames"
            )
        return [Part(*edge) for edge in pairwise(within)]

    def _at_once(
        self, movie: Frames, parts: Sequence[Part], standing: Standing
    ) -> Generator[Update]:
        """Add up the field in one piece."""
        piece, sliding = self._pieces[0], standing.sliding
        of_field = standing.partial.pieces.setdefault(0, PieceSums(self._predictor.sums(piece)))
        sums = of_field.sums
        collectors: list[Collector] = [sums] if sliding is None else [sums, sliding]
        with (
            closing(ahead(self._read(movie, parts))) as blocks,
            closing(self._added(blocks, piece, collectors)) as added,
        ):
            for block, found in added:
                self._count_in(standing.partial, block, found)
                window = None
                if sliding is not None and sliding.ends_at(block.stop):
                    window = window_image(self._predictor, sliding.whole())
                yield Update(standing.partial.count, movie.shape[0], standing, window)

    def _by_pieces(
        self, movie: Frames, parts: Sequence[Part], standing: Standing
    ) -> Generator[Update]:
        """Read a stretch of blocks; add it to the sums of each piece; go on to the next one."""
        for stretch in self._stretches(parts):
            blocks = list(self._read(movie, stretch))
            found: dict[int, list[Localizations]] = {block.start: [] for block in blocks}
            for index, piece in enumerate(self._pieces):
                kept = yield from self._piece(movie, standing, index, blocks)
                for start, table in kept.found.items():
                    found[start].append(placed(table, *piece, self._job.pixel_size_nm))
            for block in blocks:
                self._count_in(standing.partial, block, by_frame(found[block.start]))
            yield Update(standing.partial.count, movie.shape[0], standing)

    def _piece(
        self, movie: Frames, standing: Standing, index: int, blocks: Sequence[Block]
    ) -> Generator[Update, None, PieceSums]:
        """Add blocks to the sums of a piece, unless they are in them; return these."""
        piece, pieces = self._pieces[index], standing.partial.pieces
        first, stop = blocks[0].start, blocks[-1].stop
        kept = pieces.get(index) or PieceSums(self._predictor.sums(piece))
        if kept.stop == stop:
            return kept
        kept.found.clear()
        with closing(self._added(blocks, piece, [kept.sums])) as added:
            for block, found in added:
                kept.found[block.start] = found
                done = (index * (stop - first) + block.stop - first) // len(self._pieces)
                yield Update(standing.partial.count + done, movie.shape[0], standing)
        kept.stop = stop
        pieces[index] = kept
        return kept

    def _stretches(self, parts: Sequence[Part]) -> Iterator[list[Part]]:
        """Divide blocks into as many at a time as memory holds."""
        height, width = self._job.field
        frame_bytes = height * width * 4 * (1 + self._predictor.channels)
        most = max(STRETCH_BYTES // frame_bytes, 1)
        stretch: list[Part] = []
        for part in parts:
            if stretch and part.stop - stretch[0].start > most:
                yield stretch
                stretch = []
            stretch.append(part)
        if stretch:
            yield stretch

    def _read(self, movie: Frames, parts: Iterable[Part]) -> Iterator[Block]:
        """Read, repair and scale blocks of the movie."""
        fitted = self._job.fitted
        for part in parts:
            frames = movie.read(part.start, part.stop)
            counts, is_used = fitted.cleaning.clean(frames), ~fitted.cleaning.empty_ones(frames)
            yield Block(part.start, counts, is_used, fitted.scaling.apply(counts))

    def _added(
        self, blocks: Iterable[Block], piece: Piece, collectors: Sequence[Collector]
    ) -> Generator[tuple[Block, Localizations]]:
        """Add a piece of blocks to sums; yield each block when it is done, with what was found."""
        with closing(ahead(self._steps(blocks, piece))) as steps:
            for block, of_block in groupby(steps, attrgetter("block")):
                found = []
                for _, tile in of_block:
                    for collector in collectors:
                        collector.add(tile)
                    # Without a table, emitters are sought in the frames to be checked alone.
                    every = 1 if self._job.localize else EVERY
                    found.append(tile.localizations(self._job.pixel_size_nm, every))
                yield block, by_frame(found)

    def _steps(self, blocks: Iterable[Block], piece: Piece) -> Iterator[Step]:
        """Run the network over blocks, tile by tile, on what is seen of a piece."""
        rows, columns = piece
        for block in blocks:
            seen = block.scaled[..., rows.seen, columns.seen]
            for tile in self._predictor.predict(seen, block.start, maxima=self._job.localize):
                yield Step(block, tile.only(block.is_used, self._lit(piece, tile)))

    def _lit(self, piece: Piece, tile: TilePrediction) -> BoolArray | None:
        """Return which camera pixels of a piece's tile get light; nothing if all of them do."""
        if self._silent is None:
            return None
        rows, columns = piece
        of_piece = self._silent[rows.seen, columns.seen]
        lit: BoolArray = ~of_piece[tile.rows.seen, tile.columns.seen]
        return lit

    def _count_in(self, partial: Partial, block: Block, found: Localizations) -> None:
        """Measure the light of what was found in a block, check that, and count the block in."""
        job, table, fit = self._job, None, None
        is_sought = block.is_used & (job.localize | is_checked(block.numbers))
        if job.localize or is_sought.any():
            counts = block.counts if is_sought.all() else block.counts[is_sought]
            numbers = block.numbers[is_sought]
            lit, explained = job.fitted.with_light(found, counts, numbers, job.pixel_size_nm)
            fit = job.fitted.checked(explained)
            table = lit if job.localize else None
        light = block.counts[block.is_used].sum(axis=0, dtype=np.float64)
        empty = block.numbers[~block.is_used]
        partial.extend((block.start, block.stop), light, table, empty, fit)


def edges(job: Job, predictor: Predictor, frames: int) -> list[int]:
    """Return where parts of a movie may begin and end: blocks of frames are worked on whole."""
    every = None if job.windows is None else job.windows.part_frames
    return block_edges((frames, *job.field), predictor.fine_upsampling, every)


def by_frame(parts: list[Localizations]) -> Localizations:
    """Join the tables of a block's tiles or pieces and order them by frame."""
    joined = Localizations.concatenate(parts)
    return joined.select(np.argsort(joined.frame, kind="stable"))


def _check_windows(pieces: Sequence[Piece], job: Job) -> None:
    """Refuse windows of a field in pieces."""
    if len(pieces) > 1:
        side = pieces[0][0].stop
        height, width = job.field
        raise InputError(
            f"sliding windows are available for fields of up to {side} × {side} camera pixels; "
            f"this movie has {width} × {height}: choose a part of it, "
            "`region='X,Y,WIDTH,HEIGHT'`"
        )
