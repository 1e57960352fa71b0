"""What the user knows of camera and optics, from numbers or from an earlier calibration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from deepstorm.arrays import PathLike
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.camera_maps import CameraMaps
from deepstorm.config import Settings, validated
from deepstorm.errors import InputError
from deepstorm.io.images import read_image

# A value that is less certain than this is better measured in the movie itself.
MOST_RELATIVE_ERROR = 0.25


class _Measured(Settings):
    value: float
    uncertainty: float | None = Field(ge=0)

    def well_known(self) -> float | None:
        """Return the value if it is certain enough to be taken for known."""
        if self.uncertainty is None or self.value <= 0:
            return None
        return self.value if self.uncertainty <= MOST_RELATIVE_ERROR * self.value else None


class _CalibrationFile(Settings, extra="ignore"):
    """The part of a calibration that is of the microscope rather than of one movie."""

    adu_per_photon: _Measured
    zero_adu: _Measured
    sigma_px: _Measured
    read_noise_photons: _Measured | None = None
    excess_noise_factor: _Measured | None = None
    pixel_size_nm: float | None = Field(default=None, gt=0)

    def known(self) -> KnownValues:
        """Return what may be taken for known; the zero belongs to the gain it was found with."""
        slope, sigma_px = self.adu_per_photon.well_known(), self.sigma_px.well_known()
        found = KnownValues(sigma_px=sigma_px, pixel_size_nm=self.pixel_size_nm)
        if slope is None:
            return found
        zero, read, excess = self.zero_adu.value, self.read_noise_photons, self.excess_noise_factor
        return replace(
            found,
            adu_per_photon=slope,
            zero_adu=zero,
            offset_adu=None if read is None else zero + slope * read.value**2,
            adu_per_electron=None if excess is None or not excess.value else slope / excess.value,
        )


def read_known_values(path: PathLike) -> KnownValues:
    """Return what a file of ``deepstorm calibrate`` knows of camera and optics.

    Light, density and drift are each movie's own and are left out, as is what the file does not
    know to a quarter. The pixel size is taken along.

    Parameters
    ----------
    path : path-like
        JSON as :func:`~deepstorm.api.calibrate.calibrate` writes it.

    Raises
    ------
    InputError
        If there is no such file, or it is not a calibration.
    """
    source = Path(path)
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no calibration '{source}'; check its name and folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the calibration '{source}' is not readable JSON: {error}") from None
    return validated(_CalibrationFile, values, f"the calibration '{source}'").known()


def known_values(
    calibration: PathLike | None = None,
    *,
    adu_per_photon: float | None = None,
    zero_adu: float | None = None,
    sigma_px: float | None = None,
    offset_adu: float | None = None,
    adu_per_electron: float | None = None,
    offset_map: PathLike | None = None,
    gain_map: PathLike | None = None,
    variance_map: PathLike | None = None,
) -> KnownValues:
    """Return known values: those of a calibration, and numbers that take precedence over them.

    Parameters
    ----------
    calibration : path-like, optional
        See :func:`read_known_values`.
    adu_per_photon, zero_adu, sigma_px, offset_adu, adu_per_electron : float, optional
        See :class:`~deepstorm.calibration.assumption.KnownValues`.
    offset_map, gain_map, variance_map : path-like, optional
        Images, TIFF or ``.npy``, of the camera's pixels; see
        :class:`~deepstorm.calibration.camera_maps.CameraMaps`.

    Raises
    ------
    InputError
        If the file cannot be used, or a number is not finite, or not positive where it has to be.
    """
    base = KnownValues() if calibration is None else read_known_values(calibration)
    numbers = {
        "adu_per_photon": adu_per_photon,
        "zero_adu": zero_adu,
        "sigma_px": sigma_px,
        "offset_adu": offset_adu,
        "adu_per_electron": adu_per_electron,
    }
    given = {name: value for name, value in numbers.items() if value is not None}
    return replace(base, maps=_camera_maps(offset_map, gain_map, variance_map), **given)


def _camera_maps(*paths: PathLike | None) -> CameraMaps | None:
    """Read offset, gain and variance; return nothing where there are none."""
    images = [None if path is None else read_image(path)[0] for path in paths]
    return CameraMaps(*images) if any(image is not None for image in images) else None
