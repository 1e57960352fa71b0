"""The tables of Picasso: localizations in HDF5, and a YAML file that describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import AnyArray, Float64Array
from deepstorm.errors import InputError, MissingExtraError
from deepstorm.io.checking import existing_file
from deepstorm.io.tables.emitter_columns import lateral, localizations_from_columns
from deepstorm.io.tables.numbers import Head
from deepstorm.io.tables.table_format import TableFormat, WriteOptions, needed_pixel_size
from deepstorm.structures import Localizations

if TYPE_CHECKING:
    import h5py

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How HDF5 files begin."""

_MAX_YAML_BYTES = 2**20
_MAX_INFLATION = 1100
"""Deflate shrinks nothing by more than 1032."""
_PLACEHOLDER_UNCERTAINTY_PX = 0.1
_PLACEHOLDER_NOTE = "Localization precision is a placeholder"
_COLUMNS = ("frame", "x", "y", "z", "photons", "sx", "sy", "bg", "lpx", "lpy", "confidence")


class Picasso(TableFormat):
    """Picasso HDF5: dataset ``/locs`` and a ``.yaml`` file of the same stem.

    On disk, positions and widths are in camera pixels counted from the *centre* of the first one,
    frames from 0. Picasso needs an uncertainty for every localization; where it is unknown, a tenth
    of a pixel is written and the YAML file says that it is a placeholder.
    """

    name = "picasso"
    suffixes = (".hdf5", ".h5")

    def matches(self, head: Head) -> bool:
        """Recognise any HDF5 file."""
        return head.start.startswith(HDF5_SIGNATURE)

    def read(self, head: Head, pixel_size_nm: float | None) -> Localizations:
        """Read the table.

        Parameters
        ----------
        head : Head
            Of the HDF5 file.
        pixel_size_nm : float, optional
            Size of a camera pixel; taken from the YAML file if not given. Where it is given, the
            YAML file may be missing.

        Raises
        ------
        MissingExtraError
            If h5py or PyYAML is not installed.
        InputError
            If a file is missing or damaged, or the pixel size is not known.
        """
        path = head.path
        beside = path.with_suffix(".yaml")
        info = _read_info(beside) if beside.exists() else {}
        pixel_nm = needed_pixel_size(
            _pixel_size(info) if pixel_size_nm is None else pixel_size_nm,
            f"'{path.name}' is in camera pixels, and there is no Pixelsize in '{beside.name}', "
            "which belongs next to it",
        )
        with np.errstate(all="ignore"):  # damaged numbers become infinite and are refused as such
            columns = _in_nm(_read_locs(path), pixel_nm)
        if info.get(_PLACEHOLDER_NOTE) is True:
            columns.pop("uncertainty_nm", None)
        return localizations_from_columns(
            columns,
            first_frame=head.first_frame or 0,
            name=path.name,
            where=lambda row: f"'{path.name}', entry {row} (counted from 0)",
        )

    def files(self, path: Path) -> list[Path]:
        """Return the HDF5 and the YAML file.

        Raises
        ------
        MissingExtraError
            If h5py or PyYAML is not installed.
        """
        _libraries()
        return [path, path.with_suffix(".yaml")]

    def write(
        self, files: Sequence[Path], localizations: Localizations, options: WriteOptions
    ) -> None:
        """Write the table and its YAML file.

        Raises
        ------
        InputError
            If the pixel size is missing.
        """
        h5py, yaml = _libraries()
        pixel_nm = needed_pixel_size(options.pixel_size_nm, "Picasso tables are in camera pixels")
        target, beside = files
        with h5py.File(target, "w") as file:
            file.create_dataset("locs", data=_table(localizations, pixel_nm))
        info = _info(localizations, pixel_nm, options.shape)
        beside.write_text(yaml.safe_dump_all(info, sort_keys=False), encoding="utf-8")


def _libraries() -> tuple[Any, Any]:
    """Return the modules h5py and yaml.

    Raises
    ------
    MissingExtraError
        If one of them is not installed.
    """
    try:
        import h5py
        import yaml
    except ImportError as error:
        raise MissingExtraError("Picasso HDF5 files", "picasso") from error
    return h5py, yaml


def _read_info(path: Path) -> dict[str, Any]:
    """Read all documents of a YAML file into one mapping; earlier documents count for more."""
    _, yaml = _libraries()
    text = _description(existing_file(path))
    try:
        documents = [entry for entry in yaml.safe_load_all(text) if isinstance(entry, dict)]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"'{path.name}' is not valid YAML; export the table again") from error
    merged: dict[str, Any] = {}
    for document in reversed(documents):
        merged.update({key: value for key, value in document.items() if isinstance(key, str)})
    return merged


def _description(path: Path) -> str:
    """Read a YAML file, refusing what would keep its parser busy without end."""
    if path.stat().st_size > _MAX_YAML_BYTES:
        raise InputError(f"'{path.name}' is far longer than a description of localizations")
    text = path.read_text(encoding="utf-8", errors="replace")
    if "<<" in text:
        # Merged mappings may grow ninefold with every line; Picasso writes none.
        raise InputError(f"'{path.name}' merges mappings (<<), which is not supported")
    return text


def _pixel_size(info: Mapping[str, Any]) -> float | None:
    size = info.get("Pixelsize")
    if isinstance(size, bool) or not isinstance(size, (int, float)):
        return None
    return float(size) if 0 < size < 1e6 else None


def _read_locs(path: Path) -> dict[str, AnyArray]:
    h5py, _ = _libraries()
    try:
        with h5py.File(path, "r") as file:
            dataset = _locs_dataset(file, path.name)
            known = [name for name in _COLUMNS if name in dataset.dtype.names]
            return {name: _column(dataset, name, path.name) for name in known}
    except InputError:
        raise
    except Exception as error:
        # h5py raises whatever the damage makes HDF5 stumble over.
        raise InputError(f"'{path.name}' cannot be read as HDF5: {error}") from error


def _locs_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return ``/locs`` if it is a table that is stored in this very file and fits into it."""
    import h5py

    here = isinstance(file.get("locs", getlink=True), h5py.HardLink)
    dataset = file["locs"] if here else None
    if not isinstance(dataset, h5py.Dataset) or not dataset.dtype.names or dataset.ndim != 1:
        raise InputError(
            f"'{name}' holds no table named 'locs'; expected the localizations of Picasso"
        )
    if dataset.is_virtual or dataset.external:
        raise InputError(f"'{name}' refers to other files for its localizations; export it again")
    stored = max(dataset.id.get_storage_size(), 1)
    if dataset.nbytes > _MAX_INFLATION * stored:
        raise InputError(f"'{name}' is damaged: it claims {len(dataset)} localizations")
    return dataset


def _column(dataset: h5py.Dataset, column: str, name: str) -> AnyArray:
    kind = dataset.dtype[column]
    if kind.kind not in "uif" or kind.shape:
        raise InputError(f"'{name}': the column '{column}' does not hold numbers")
    return np.asarray(dataset[column])


def _in_nm(found: Mapping[str, AnyArray], pixel_nm: float) -> dict[str, Float64Array]:
    """Convert Picasso's columns to the package's fields and to the corner origin."""
    wide = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    columns = {
        name: (wide[name[0]] + 0.5) * pixel_nm for name in ("x_nm", "y_nm") if name[0] in wide
    }
    same = {"frame": "frame", "z": "z_nm", "photons": "photons", "bg": "background_photons"}
    same["confidence"] = "confidence"
    columns |= {field: wide[name] for name, field in same.items() if name in wide}
    for field, first, second in (("sigma_nm", "sx", "sy"), ("uncertainty_nm", "lpx", "lpy")):
        if first in wide and second in wide:
            columns[field] = lateral(wide[first], wide[second]) * pixel_nm
    return columns


def _table(localizations: Localizations, pixel_nm: float) -> npt.NDArray[np.void]:
    """Return the record array that Picasso expects, in its types and its order."""
    uncertainty = localizations.uncertainty_nm
    lateral = (
        np.full(len(localizations), _PLACEHOLDER_UNCERTAINTY_PX)
        if uncertainty is None
        else uncertainty / pixel_nm
    )
    width = None if localizations.sigma_nm is None else localizations.sigma_nm / pixel_nm
    columns = {
        "frame": localizations.frame,
        "x": localizations.x_nm / pixel_nm - 0.5,
        "y": localizations.y_nm / pixel_nm - 0.5,
        "z": localizations.z_nm,
        "photons": localizations.photons,
        "sx": width,
        "sy": width,
        "bg": localizations.background_photons,
        "lpx": lateral,
        "lpy": lateral,
        "confidence": localizations.confidence,
    }
    known = {name: values for name, values in columns.items() if values is not None}
    kinds = [(name, "u4" if name == "frame" else "f4") for name in known]
    table = np.empty(len(localizations), dtype=kinds)
    for name, values in known.items():
        table[name] = values
    return table


def _info(
    localizations: Localizations, pixel_nm: float, shape: tuple[int, int, int] | None
) -> list[dict[str, Any]]:
    """Return the documents of the YAML file: of the movie, and of the localizations."""
    frames, height, width = shape or _least_shape(localizations, pixel_nm)
    movie = {"Frames": frames, "Height": height, "Width": width, "Pixelsize": pixel_nm}
    origin: dict[str, Any] = {"Generated by": "deepstorm", "Pixelsize": pixel_nm}
    if localizations.uncertainty_nm is None:
        origin[_PLACEHOLDER_NOTE] = True
    return [movie, origin]


def _least_shape(localizations: Localizations, pixel_nm: float) -> tuple[int, int, int]:
    """Return the smallest movie (frame, y, x) in which all localizations have a place."""
    if not len(localizations):
        return 1, 1, 1
    height, width = (
        max(1, int(np.ceil(np.max(position) / pixel_nm)))
        for position in (localizations.y_nm, localizations.x_nm)
    )
    return int(np.max(localizations.frame)) + 1, height, width
