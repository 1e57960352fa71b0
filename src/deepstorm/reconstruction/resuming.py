"""What is done of a reconstruction, kept in a folder while it runs, so that it can be resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from deepstorm.arrays import Float32Array
from deepstorm.errors import InputError
from deepstorm.reconstruction.partial import Partial
from deepstorm.reconstruction.piece_sums import PiecesOnDisk
from deepstorm.reconstruction.stored_arrays import (
    Arrays,
    packed_tables,
    read_arrays,
    store_arrays,
    unpacked_tables,
)
from deepstorm.reconstruction.sums import MovieSums
from deepstorm.reconstruction.windows import Windows
from deepstorm.reconstruction.work import Standing, Update
from deepstorm.structures import Localizations

# Progress is saved this often, and so seldom that it takes no more than this share of the time.
SAVE_EVERY_S = 20.0
MOST_SHARE = 0.05


class SavedProgress:
    """A folder from which a reconstruction that was killed goes on.

    Everything that belongs to a state is written before the state itself, whose replacement makes
    it count; names end with the number of frames done, so that what a killed run wrote after its
    last state is told apart. Frames are done in their order.

    Parameters
    ----------
    folder : Path
        Exists; nothing else is in it.
    identity : mapping
        All that has to be the same for a result to be the same, ready for JSON: what decides the
        numbers, and which movie it is.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._identity = json.loads(json.dumps(identity))
        self._found: list[Localizations] = []
        self._saved = 0
        self._due = time.monotonic() + SAVE_EVERY_S

    @property
    def exists(self) -> bool:
        """Whether there is anything to go on from."""
        return self._state.is_file() or any(self.pieces.glob("*.npz"))

    @property
    def pieces(self) -> Path:
        """Folder for the sums of a field in pieces."""
        return self._folder / "pieces"

    @property
    def _state(self) -> Path:
        return self._folder / "state.npz"

    def begin(self) -> None:
        """Note what the reconstruction is."""
        text = json.dumps(self._identity, indent=1)
        (self._folder / "job.json").write_text(text, encoding="utf-8")

    def check_same(self) -> None:
        """Refuse to go on with a reconstruction of another movie, or with other settings.

        Raises
        ------
        InputError
            With what differs.
        """
        try:
            kept = json.loads((self._folder / "job.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"the saved progress in '{self._folder}' is damaged: {error}"
            ) from None
        changed = list(_differences(kept, self._identity))
        if changed:
            raise InputError(
                f"the interrupted run cannot be resumed, since {'; '.join(changed)}; repeat it "
                "with the same movie and settings, or restart with `resume=False`"
            )

    def restore(self, standing: Standing) -> None:
        """Bring a reconstruction from its beginning to where it stood.

        Parameters
        ----------
        standing : Standing
            Of no frames; keeps sums that are on disk.

        Raises
        ------
        InputError
            If a file is damaged, or of another reconstruction.
        """
        if self._state.is_file():
            done = Partial.load(self._state, standing.partial.job)
            self._saved = done.count
            self._restore(done, standing)
        # What was written after the last state will be found again.
        for kind in ("table", "window"):
            for path in self._folder.glob(f"{kind}-*.npz"):
                if path not in self._written(kind, self._saved):
                    path.unlink()

    def _restore(self, done: Partial, standing: Standing) -> None:
        """Take up a saved state."""
        kept = done.pieces or standing.partial.pieces
        standing.partial = replace(done, pieces=kept)
        if standing.sliding is not None:
            windows = standing.sliding.windows
            for number, path in self._segments(windows, done.count).items():
                standing.sliding.segments[number] = read_arrays(path, _sums)

    def tables(self) -> Iterator[Localizations]:
        """Yield what was found before, block by block."""
        for path in self._written("table", self._saved):
            yield from read_arrays(path, unpacked_tables).values()

    def windows(self) -> Iterator[Float32Array]:
        """Yield the images of windows that had ended before."""
        for path in self._written("window", self._saved):
            yield read_arrays(path, itemgetter("image"))

    def note(self, update: Update, found: Sequence[Localizations]) -> None:
        """Take note of a step, and save what is done if that is due.

        Parameters
        ----------
        update : Update
        found : sequence of Localizations
            The tables that were taken from its partial, one per block.
        """
        partial = update.partial
        self._found += found
        if update.window is not None:
            store_arrays(self._path("window", partial.count), {"image": update.window})
        now = time.monotonic()
        # Sums that are on disk have gone on: the frames that they are of have to be known.
        is_behind = isinstance(partial.pieces, PiecesOnDisk) and partial.count > self._saved
        if now >= self._due or is_behind:
            self._save(update.standing)
            took = time.monotonic() - now
            self._due = now + took + max(SAVE_EVERY_S, took / MOST_SHARE)

    def _save(self, standing: Standing) -> None:
        """Save a state, and remove what belongs to earlier ones alone."""
        partial, sliding = standing.partial, standing.sliding
        needed = {} if sliding is None else self._segments(sliding.windows, partial.count)
        for number, path in needed.items():
            if sliding is not None and not path.is_file():
                store_arrays(path, sliding.segments[number].arrays())
        if self._found:
            packed = packed_tables(dict(enumerate(self._found)))
            store_arrays(self._path("table", partial.count), packed)
            self._found = []
        pieces = {} if isinstance(partial.pieces, PiecesOnDisk) else partial.pieces
        store_arrays(self._state, replace(partial, pieces=pieces).arrays())
        self._saved = partial.count
        for path in set(self._folder.glob("segment-*.npz")) - set(needed.values()):
            path.unlink()

    def _segments(self, windows: Windows, done: int) -> dict[int, Path]:
        """Return the files of the segments that the window after some frames is made of."""
        length = windows.part_frames
        latest = (done - 1) // length
        numbers = range(max(latest - windows.parts + 1, 0), latest + 1)
        return {
            number: self._path(f"segment-{number}", min(done, (number + 1) * length))
            for number in numbers
        }

    def _path(self, kind: str, done: int) -> Path:
        """Return the name of a file that counts once so many frames are done."""
        return self._folder / f"{kind}-{done:012d}.npz"

    def _written(self, kind: str, done: int) -> list[Path]:
        """Return the files of a kind that count, in their order."""
        return [
            path
            for path in sorted(self._folder.glob(f"{kind}-*.npz"))
            if path <= self._path(kind, done)
        ]


def _sums(named: Arrays) -> MovieSums:
    return MovieSums(**named)


def _differences(kept: Any, now: Any, name: str = "") -> Iterator[str]:
    """Say what differs between two records."""
    if isinstance(kept, dict) and isinstance(now, dict):
        for key in sorted({*kept, *now}):
            yield from _differences(kept.get(key), now.get(key), f"{name} {key}".strip())
    elif kept != now:
        yield f"{name} was {kept}, and is {now}"
