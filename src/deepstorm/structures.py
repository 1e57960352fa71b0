"""Typed records that travel between the rooms of the package; the unit is in every name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from deepstorm.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from deepstorm.estimates import Estimate as Estimate
from deepstorm.fit import Fit


@dataclass(frozen=True, slots=True)
class Localizations:
    """A table of emitters, one entry per emitter and frame.

    The origin (0, 0) is the outer corner of the top-left camera pixel, x runs along columns and y
    along rows. Columns that are not known are ``None``.

    Parameters
    ----------
    frame : ndarray of int, shape (n,)
        Frame index, counted from 0.
    x_nm, y_nm : ndarray of float, shape (n,)
        Position in nm.
    z_nm : ndarray of float, shape (n,), optional
        Axial position in nm.
    photons : ndarray of float, shape (n,), optional
        Detected signal photons.
    sigma_nm : ndarray of float, shape (n,), optional
        Width of the spot (standard deviation of a Gaussian) in nm.
    background_photons : ndarray of float, shape (n,), optional
        Background in photons per camera pixel.
    uncertainty_nm : ndarray of float, shape (n,), optional
        Standard deviation of the lateral position error in nm.
    confidence : ndarray of float, shape (n,), optional
        Expected number of emitters that the entry stands for, from 0 to about 1.

    Raises
    ------
    ValueError
        If the columns differ in length or are not one-dimensional.
    """

    frame: IntArray
    x_nm: FloatArray
    y_nm: FloatArray
    z_nm: FloatArray | None = None
    photons: FloatArray | None = None
    sigma_nm: FloatArray | None = None
    background_photons: FloatArray | None = None
    uncertainty_nm: FloatArray | None = None
    confidence: FloatArray | None = None

    def __post_init__(self) -> None:
        for name, column in self.columns().items():
            if column.shape != (len(self.frame),):
                raise ValueError(
                    f"localization column '{name}' has shape {column.shape}; "
                    f"expected ({len(self.frame)},) like 'frame'"
                )

    def __len__(self) -> int:
        return len(self.frame)

    def columns(self) -> dict[str, AnyArray]:
        """Return the known columns by name, in the order of the fields."""
        known = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: column for name, column in known.items() if column is not None}

    def select(self, keep: BoolArray | IntArray | slice) -> Localizations:
        """Return the entries chosen by a mask, indices or a slice, every column alike."""
        return replace(self, **{name: column[keep] for name, column in self.columns().items()})

    def shifted(self, dx_nm: float, dy_nm: float) -> Localizations:
        """Return a copy whose positions are moved by (dx_nm, dy_nm)."""
        return replace(self, x_nm=self.x_nm + dx_nm, y_nm=self.y_nm + dy_nm)

    @classmethod
    def concatenate(cls, parts: list[Localizations]) -> Localizations:
        """Join tables end to end, keeping the columns that every part has.

        Parameters
        ----------
        parts : list of Localizations
            An empty list gives an empty table.
        """
        if not parts:
            return cls(np.empty(0, np.int64), np.empty(0), np.empty(0))
        shared = set.intersection(*(set(part.columns()) for part in parts))
        return cls(
            **{
                name: np.concatenate([part.columns()[name] for part in parts])
                for name in parts[0].columns()
                if name in shared
            }
        )


@dataclass(frozen=True, slots=True)
class Instrument:
    """What microscope and camera do to an emitter, as far as a network needs to know.

    Every camera is described as one that counts *effective photons*, whose variance equals their
    mean: an excess noise factor is part of ``adu_per_photon``, and the variance of read noise
    counts as background.

    Parameters
    ----------
    zero_adu : float
        Counts at which the variance of the noise, as a line over the mean counts, is zero: the
        camera's offset less its read noise's variance over ``adu_per_photon``.
    adu_per_photon : float
        Counts per effective photon: the slope of the variance over the mean.
    sigma_px : float
        Standard deviation of the PSF, as a Gaussian, in camera pixels.
    """

    zero_adu: float
    adu_per_photon: float
    sigma_px: float


@dataclass(frozen=True, slots=True)
class Caution:
    """Something that a person should know before believing a result.

    Parameters
    ----------
    code : str
        Short and stable, for programs: a heading of ``docs/warnings.md``.
    sentence : str
        What was found, what was expected, what that means for the result, what to do.
    measured : Estimate, optional
        The number behind it, in the unit that the sentence names.
    """

    code: str
    sentence: str
    measured: Estimate | None = None

    def __str__(self) -> str:
        return f"{self.sentence} [{self.code}]"

    @property
    def figures(self) -> dict[str, Any]:
        """Return the number and where it is explained, ready for JSON."""
        explained: dict[str, Any] = {"docs": f"docs/warnings.md#{self.code}"}
        if self.measured is None:
            return explained
        uncertainty = self.measured.uncertainty
        known = uncertainty if math.isfinite(uncertainty) else None
        return {"value": self.measured.value, "uncertainty": known} | explained


def recorded_warnings(cautions: Iterable[Caution]) -> dict[str, Any]:
    """Return warnings ready for JSON: sentences, and their numbers by code."""
    found = list(cautions)
    return {
        "warnings": [str(caution) for caution in found],
        "warning_figures": {caution.code: caution.figures for caution in found},
    }


@dataclass(frozen=True, slots=True, eq=False)
class Screening:
    """Which pixels and frames of a movie say nothing, or are unlike the rest.

    Parameters
    ----------
    hot, dead : ndarray of bool, shape (y, x)
        Pixels that are bright, or that do not respond, in every frame; lines of them, too. They
        are filled in from around them.
    unlit : ndarray of bool, shape (y, x)
        Parts of the field in which no emitter can be seen: beyond a field stop, cleared, covered.
    darker : ndarray of bool, shape (y, x)
        The darker one of two lit parts that have a sharp edge between them.
    left_out : ndarray of bool, shape (frame,)
        Which of the frames that were looked at tell nothing of the others.
    most_alike : float
        A frame is empty if a larger share of its pixels have the same extreme value.
    noise_adu : float
        Usual standard deviation of a pixel.
    """

    hot: BoolArray
    dead: BoolArray
    unlit: BoolArray
    darker: BoolArray
    left_out: BoolArray
    most_alike: float
    noise_adu: float

    @property
    def faulty(self) -> BoolArray:
        """Pixels that are filled in, shape (y, x)."""
        return self.hot | self.dead


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a raw movie says of its camera, optics and emitters.

    Photons are effective ones throughout, as in :class:`Instrument`: the variance of their number
    equals its mean. For an EMCCD, whose excess noise factor is 2, they are half of the detected
    ones.

    Parameters
    ----------
    adu_per_photon, zero_adu, sigma_px : Estimate
        See :class:`Instrument`.
    background_photons : Estimate
        Mean light per camera pixel and frame that does not come from blinking emitters, together
        with the variance of the read noise.
    background_unevenness : Estimate
        Relative standard deviation over the field of the smooth part of the background.
    signal_photons : Estimate
        Mean photons of an emitter in a frame.
    density_per_px : Estimate
        Mean number of emitters that are on in a frame, per camera pixel.
    drift_px : Estimate
        Distance between the places of the sample in the first and in the last frame.
    hot_pixels, dead_pixels : ndarray of bool, shape (y, x)
        Pixels that are bright, or that do not respond, in every frame.
    frames : int
        Number of frames that were looked at.
    pixel_size_nm : float, optional
        Size of a camera pixel in the sample.
    read_noise_photons : Estimate, optional
        Standard deviation of the read noise; known where the camera's offset was given.
    excess_noise_factor : Estimate, optional
        Known where the gain in counts per electron was given.
    notes : tuple of str
        What was assumed for want of a measurement, as sentences.
    screening : Screening, optional
        What was left out of the measurement.
    """

    adu_per_photon: Estimate
    zero_adu: Estimate
    sigma_px: Estimate
    background_photons: Estimate
    background_unevenness: Estimate
    signal_photons: Estimate
    density_per_px: Estimate
    drift_px: Estimate
    hot_pixels: BoolArray
    dead_pixels: BoolArray
    frames: int
    pixel_size_nm: float | None = None
    read_noise_photons: Estimate | None = None
    excess_noise_factor: Estimate | None = None
    notes: tuple[str, ...] = ()
    screening: Screening | None = None

    @property
    def instrument(self) -> Instrument:
        """Camera and optics alone, as a network takes them."""
        return Instrument(self.zero_adu.value, self.adu_per_photon.value, self.sigma_px.value)

    @property
    def density_per_um2(self) -> Estimate | None:
        """Emitters that are on in a frame, per µm², where the pixel size is known."""
        return self._in_lengths(self.density_per_px, -2, 1000)

    @property
    def drift_nm(self) -> Estimate | None:
        """The drift in nm, where the pixel size is known."""
        return self._in_lengths(self.drift_px, 1, 1)

    @property
    def sigma_nm(self) -> Estimate | None:
        """Standard deviation of the PSF in nm, where the pixel size is known."""
        return self._in_lengths(self.sigma_px, 1, 1)

    def _in_lengths(self, in_px: Estimate, power: int, unit_nm: float) -> Estimate | None:
        """Convert from a power of camera pixels to that of a unit of length."""
        if self.pixel_size_nm is None:
            return None
        factor = (self.pixel_size_nm / unit_nm) ** power
        return Estimate(in_px.value * factor, in_px.uncertainty * factor)


def histogram_image(
    localizations: Localizations, shape: tuple[int, int], pixel_size_nm: float
) -> Float32Array:
    """Count the emitters in each pixel of a super-resolution grid with a corner origin.

    Parameters
    ----------
    localizations : Localizations
        Positions outside the field are left out.
    shape : tuple of int
        Size (y, x) of the image in super-resolution pixels.
    pixel_size_nm : float
        Size p of a super-resolution pixel; pixel *i* covers [*i*·p, (*i*+1)·p).

    Returns
    -------
    ndarray of float32, shape ``shape``
        Emitters per pixel.
    """
    row = np.floor(np.asarray(localizations.y_nm) / pixel_size_nm).astype(np.int64)
    column = np.floor(np.asarray(localizations.x_nm) / pixel_size_nm).astype(np.int64)
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    flat = row[inside] * shape[1] + column[inside]
    counts = np.bincount(flat, minlength=shape[0] * shape[1])
    return counts.reshape(shape).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """A super-resolution image and what is known of its making.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
        Expected number of emitters per super-resolution pixel, summed over the movie.
    pixel_size_nm : float
        Size of a super-resolution pixel.
    widefield : ndarray of float32, shape (y, x)
        Mean of the camera frames.
    posterior : ndarray of float32, shape (y, x), optional
        The same before any sharpening: the sum of what the frames say on their own.
    localizations : Localizations, optional
        Where they were asked for.
    time_lapse : ndarray of float32, shape (window, y, x), optional
        Images of sliding windows, where they were asked for and not written to a file.
    warnings : tuple of Caution
        What a person should know before believing it.
    fit : Fit, optional
        How well the frames are explained by what was found in them.
    record : dict
        Settings, versions, checksums and timings of the run, ready for JSON; the warnings, too.
    """

    image: Float32Array
    pixel_size_nm: float
    widefield: Float32Array
    posterior: Float32Array | None = None
    localizations: Localizations | None = None
    time_lapse: Float32Array | None = None
    warnings: tuple[Caution, ...] = ()
    fit: Fit | None = None
    record: dict[str, Any] = field(default_factory=dict)
