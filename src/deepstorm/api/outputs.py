"""The files that a reconstruction leaves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError
from deepstorm.files import OutputSet, check_named, check_outputs, output_set, stem_of
from deepstorm.io.images import write_image
from deepstorm.io.tables.localizations import files_of_table
from deepstorm.reports.pictures import write_preview
from deepstorm.structures import Reconstruction


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
        stem = path.with_name(stem_of(path))
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
