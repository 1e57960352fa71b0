"""Where a reconstruction goes: into files, as it is made, or into memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np

from deepstorm.arrays import Float32Array, PathLike
from deepstorm.errors import InputError
from deepstorm.files import OutputSet, check_named, check_outputs, output_set
from deepstorm.io.images import write_image
from deepstorm.io.movies.writing import movie_stream
from deepstorm.io.tables.localizations import files_of_table, localization_stream
from deepstorm.reports.pictures import write_preview
from deepstorm.structures import Localizations, Reconstruction


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files that a reconstruction leaves.

    Parameters
    ----------
    image : Path
        Super-resolution image, float32 OME-TIFF.
    record : Path
        Run record, JSON.
    preview : Path, optional
        Picture with colour map and scale bar, PNG.
    localizations : Path, optional
        Table, ThunderSTORM CSV or Picasso HDF5.
    time_lapse : Path, optional
        Images of sliding windows, float32 ImageJ time series; goes with ``windows``.
    """

    image: Path
    record: Path
    preview: Path | None = None
    localizations: Path | None = None
    time_lapse: Path | None = None

    @classmethod
    def beside(cls, image: PathLike, *, time_lapse: bool = False) -> Outputs:
        """Return all files, named after the image; the time lapse only where it is asked for."""
        path = check_named(image)
        stem = path.with_name(path.name.removesuffix(path.suffix).removesuffix(".ome"))
        return cls(
            image=path,
            record=stem.with_name(stem.name + ".json"),
            preview=stem.with_name(stem.name + ".png"),
            localizations=stem.with_name(stem.name + ".csv"),
            time_lapse=stem.with_name(stem.name + "_windows.tif") if time_lapse else None,
        )

    @property
    def files(self) -> list[Path]:
        """All of them, the image first, the record last."""
        written = [self.image, self.preview, self.time_lapse, *files_of_table(self.localizations)]
        return [path for path in (*written, self.record) if path is not None]

    def check(self, *, overwrite: bool, inputs: Iterable[object] = ()) -> None:
        """Refuse files that may not be written, before any work is done.

        Parameters
        ----------
        overwrite : bool
            Whether existing files may be replaced.
        inputs : iterable
            What is read, and so may not be replaced.
        """
        tiff = (".tif", ".tiff")
        for path, suffixes in (
            (self.image, tiff),
            (self.preview, (".png",)),
            (self.time_lapse, tiff),
        ):
            if path is not None and path.suffix.lower() not in suffixes:
                raise InputError(f"'{path}' cannot be written; end its name in {suffixes[0]}")
        check_outputs(self.files, overwrite=overwrite, inputs=inputs)

    def reserved(
        self, *, overwrite: bool, inputs: Iterable[object] = ()
    ) -> contextlib.AbstractContextManager[OutputSet]:
        """Return the files as one set, checked; see :func:`~deepstorm.files.output_set`."""
        self.check(overwrite=overwrite, inputs=inputs)
        return output_set(self.files, overwrite=overwrite, inputs=inputs)

    def staged(self, files: OutputSet) -> Outputs:
        """Return where to write while the set is not complete."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return Outputs(**{name: files.staged(path) for name, path in named.items() if path})

    def write(self, result: Reconstruction) -> None:
        """Write what is known at the end: image, preview and record."""
        description = "expected number of emitters per pixel, deepstorm " + version("deepstorm")
        write_image(self.image, result.image, result.pixel_size_nm, description=description)
        if self.preview is not None:
            write_preview(self.preview, result.image, result.pixel_size_nm)
        self.record.write_text(json.dumps(result.record, indent=2) + "\n", encoding="utf-8")


class CollectedLocalizations:
    """Keeps localizations in memory."""

    def __init__(self) -> None:
        self._parts: list[Localizations] = []

    def __call__(self, part: Localizations) -> None:
        """Keep some."""
        self._parts.append(part)

    def table(self) -> Localizations:
        """Return all of them."""
        return Localizations.concatenate(self._parts)


class CollectedImages:
    """Keeps the images of windows in memory."""

    def __init__(self) -> None:
        self._images: list[Float32Array] = []

    def __call__(self, image: Float32Array) -> None:
        """Keep one, shape (y, x)."""
        self._images.append(image)

    def stack(self) -> Float32Array | None:
        """Return all of them, shape (window, y, x), if there are any."""
        return np.stack(self._images) if self._images else None


def localization_sink(
    outputs: Outputs | None,
    *,
    wanted: bool,
    pixel_size_nm: float,
    shape: tuple[int, int, int],
) -> contextlib.AbstractContextManager[Callable[[Localizations], None] | None]:
    """Return where localizations go: to a file, into memory, or nowhere.

    Parameters
    ----------
    outputs : Outputs, optional
        Staged.
    wanted : bool
        Whether they are kept in memory where there are no outputs.
    pixel_size_nm : float
        Size of a camera pixel.
    shape : (int, int, int)
        Of the movie, (frame, y, x).
    """
    if outputs is None:
        return contextlib.nullcontext(CollectedLocalizations() if wanted else None)
    if outputs.localizations is None:
        return contextlib.nullcontext(None)
    return localization_stream(outputs.localizations, pixel_size_nm=pixel_size_nm, shape=shape)


@contextlib.contextmanager
def image_sink(
    outputs: Outputs | None, *, pixel_size_nm: float
) -> Iterator[Callable[[Float32Array], None]]:
    """Yield where the images of windows go: to a file, or into memory.

    Parameters
    ----------
    outputs : Outputs, optional
        Staged.
    pixel_size_nm : float
        Size of a pixel of these images.
    """
    if outputs is None or outputs.time_lapse is None:
        yield CollectedImages()
    else:
        with movie_stream(outputs.time_lapse, pixel_size_nm) as append:
            yield lambda image: append(image[np.newaxis])
