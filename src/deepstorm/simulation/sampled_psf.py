"""A PSF known by its finely sampled image: integrated over camera pixels, at any position.

The image gives the light of each of its fine pixels. In between, the light summed from one corner
is a cubic spline through the corners of the fine pixels, so that every fine pixel keeps its light
exactly; a camera pixel of any size takes differences of that sum. All this is tabulated once for a
size of camera pixels. An emitter then costs 16 rows of the table (32 between two planes), weighted
by cubic B-splines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage, sparse
from scipy.interpolate import make_interp_spline
from scipy.optimize import minimize_scalar

from deepstorm.arrays import Float64Array, FloatArray, IntArray
from deepstorm.errors import InputError
from deepstorm.structures import Localizations

# Nodes of the table per fine pixel: enough for errors of about 1e-4 of the peak.
NODES_PER_FINE_PX = 2
# Values of spots that are made at a time.
VALUES_PER_PORTION = 2**22
CENTRING_ROUNDS = 8
# A wider PSF is a mistaken unit rather than a microscope, and would take all memory.
MAX_REACH_PX = 250.0


@dataclass(frozen=True, eq=False)
class SampledPsf:
    """The light of one emitter in fine pixels, in one plane of focus or several.

    Parameters
    ----------
    planes : ndarray of float64, shape (z, y, x)
        Light in each fine pixel. The emitter is in the middle of the image. Each plane is
        normalised to a sum of 1.
    pixel_size_nm : float
        Size of a fine pixel in the sample.
    z_step_nm : float, optional
        Distance between planes; needed where there are several.
    zero_plane : int, optional
        The plane at z = 0; where absent the sharpest, as of a stack whose focus nobody noted.

    Raises
    ------
    InputError
        If the planes are no stack of images, hold no light, their distance is missing, or the one
        at z = 0 is none of them.
    """

    planes: Float64Array
    pixel_size_nm: float
    z_step_nm: float | None = None
    zero_plane: int | None = None

    def __post_init__(self) -> None:
        shape = self.planes.shape
        if len(shape) != 3 or min(shape) < 1 or min(shape[1:]) < 4:
            raise InputError(f"the PSF has shape {shape}; expected (z, y, x), 4 × 4 pixels or more")
        if shape[0] > 1 and not self.z_step_nm:
            raise InputError(
                f"the PSF has {shape[0]} planes, but their distance is not known; give it in nm"
            )
        if self.zero_plane is not None and not 0 <= self.zero_plane < shape[0]:
            raise InputError(
                f"plane {self.zero_plane} of the PSF is given as that at z = 0; expected one of 0 "
                f"to {shape[0] - 1}"
            )
        total = self.planes.sum(axis=(1, 2), keepdims=True)
        if not np.isfinite(total).all() or (total <= 0).any():
            raise InputError(
                "a plane of the PSF holds no light, or NaN; expected images of one emitter "
                "with its background subtracted"
            )
        object.__setattr__(self, "planes", np.asarray(self.planes, np.float64) / total)

    @property
    def focus(self) -> int:
        """The plane at z = 0: the one given, else the one whose peak is highest."""
        if self.zero_plane is not None:
            return self.zero_plane
        return int(np.argmax(self.planes.max(axis=(1, 2))))

    @property
    def reach_nm(self) -> float:
        """Half of the image's longer side."""
        return float(max(self.planes.shape[1:]) / 2 * self.pixel_size_nm)

    @property
    def sigma_nm(self) -> float:
        """Width of the Gaussian that fits the plane at z = 0 best, by least squares."""
        return _gaussian_width(self)

    def centred(self) -> SampledPsf:
        """Return a copy moved so that the core of the plane at z = 0 is in the middle."""
        sigma = self.sigma_nm / self.pixel_size_nm
        planes, total = self.planes, np.zeros(2)
        for _ in range(CENTRING_ROUNDS):
            total += core_offset(planes[self.focus], sigma)
            moved = (0.0, -total[1], -total[0])
            planes = ndimage.shift(self.planes, moved, order=3, mode="constant").clip(min=0)
        return replace(self, planes=planes)

    def check(self, pixel_size_nm: float) -> None:
        """Raise ValueError if the image covers too many camera pixels."""
        reach_px = self.reach_nm / pixel_size_nm
        if reach_px > MAX_REACH_PX:
            raise ValueError(
                f"the PSF reaches {reach_px:.0f} camera pixels from its centre; at most "
                f"{MAX_REACH_PX:.0f} are expected, check pixel_size_nm and the PSF's own lengths"
            )

    def image(
        self, emitters: Localizations, pixel_size_nm: float, shape: tuple[int, int, int]
    ) -> Float64Array:
        """Image emitters, with ``photons`` and, where known, ``z_nm``; see ``Psf.image``.

        Emitters beyond the planes are imaged as in the nearest one.
        """
        self.check(pixel_size_nm)
        table = _pixel_table(self, pixel_size_nm)
        columns = emitters.columns()
        x_px, y_px = emitters.x_nm / pixel_size_nm, emitters.y_nm / pixel_size_nm
        reach = table.reach_px + 1
        inside = (x_px > -reach) & (x_px < shape[2] + reach)
        near = np.flatnonzero(inside & (y_px > -reach) & (y_px < shape[1] + reach))
        z_nm = columns.get("z_nm", np.zeros(len(emitters)))
        image = np.zeros(shape)
        portion = max(VALUES_PER_PORTION // table.spots.shape[1], 1)
        for start in range(0, len(near), portion):
            chosen = near[start : start + portion]
            plane = self.focus + z_nm[chosen] / (self.z_step_nm or 1.0)
            spots = _spots(table, x_px[chosen], y_px[chosen], plane.clip(0, len(self.planes) - 1))
            spots *= columns["photons"][chosen, None]
            _add(image, spots, emitters.frame[chosen], x_px[chosen], y_px[chosen], table.reach_px)
        return image


def core_offset(image: Float64Array, sigma: float) -> Float64Array:
    """Return about how far the core of a spot is from the middle of its image.

    It is zero where a Gaussian of that width, fitted by least squares, has its centre.

    Parameters
    ----------
    image : ndarray, shape (y, x)
    sigma : float
        Width of the Gaussian that is most like the core, in pixels of the image.

    Returns
    -------
    ndarray, shape (2,)
        Offset (x, y) in pixels of the image.
    """
    y, x = (np.arange(n) + 0.5 - n / 2 for n in image.shape)
    along_y, along_x = (np.exp(-(c**2) / (2 * sigma**2)) for c in (y, x))
    weight = image * along_y[:, None] * along_x
    # The weight halves the offset of a Gaussian.
    moment = np.array([weight.sum(axis=0) @ x, weight.sum(axis=1) @ y])
    found: Float64Array = 2 * moment / weight.sum()
    return found


class _PixelTable(NamedTuple):
    """Spline coefficients of the light in camera pixels.

    ``spots`` has a row for each plane and phase (y, x), of the pixels (y, x) around an emitter.
    """

    spots: Float64Array
    reach_px: int
    nodes_per_px: int


@lru_cache(maxsize=16)
def _pixel_table(psf: SampledPsf, pixel_size_nm: float) -> _PixelTable:
    fine_px = psf.pixel_size_nm / pixel_size_nm
    nodes = int(np.ceil(NODES_PER_FINE_PX / fine_px))
    reach = int(np.ceil(psf.reach_nm / pixel_size_nm))
    width = 2 * reach + 1
    light = psf.planes
    for axis in (1, 2):
        light = _pixel_light(light, axis, fine_px, reach, nodes)
        light = ndimage.spline_filter1d(light, 3, axis, mode="mirror")
    row = np.arange(nodes + 4)[:, None] + nodes * np.arange(width)
    spots = light[:, row[:, None, :, None], row[None, :, None, :]]
    return _PixelTable(spots.reshape(-1, width**2), reach, nodes)


def _pixel_light(
    light: Float64Array, axis: int, fine_px: float, reach: int, nodes: int
) -> Float64Array:
    """Integrate along an axis over camera pixels that begin at each node.

    Node *i* is at −reach − 1 + (*i* − 1) / nodes camera pixels from the emitter.
    """
    count = light.shape[axis]
    half = count / 2 * fine_px
    corners = np.linspace(-half, half, count + 1)
    summed = np.insert(np.cumsum(light, axis), 0, 0.0, axis)
    # The density is zero at both ends.
    spline = make_interp_spline(corners, summed, k=3, axis=axis, bc_type="clamped")
    start = -reach - 1 + (np.arange((2 * reach + 1) * nodes + 4) - 1) / nodes
    found: Float64Array = spline((start + 1).clip(-half, half)) - spline(start.clip(-half, half))
    return found


def _spots(
    table: _PixelTable, x_px: FloatArray, y_px: FloatArray, plane: FloatArray
) -> Float64Array:
    """Return the light of emitters in the pixels around them, shape (n, y · x), of sum 1."""
    phases = table.nodes_per_px + 4
    z_tap = np.stack([np.floor(plane), np.ceil(plane)], axis=1).astype(np.int64)
    upper = plane - z_tap[:, 0]
    z_weight = np.stack([1 - upper, upper], axis=1)
    y_tap, y_weight = _taps(y_px, table.nodes_per_px)
    x_tap, x_weight = _taps(x_px, table.nodes_per_px)
    if not upper.any():
        z_tap, z_weight = z_tap[:, :1], z_weight[:, :1]
    yx = y_tap[:, None, :, None] * phases + x_tap[:, None, None, :]
    row = z_tap[:, :, None, None] * phases**2 + yx
    weight = z_weight[:, :, None, None] * y_weight[:, None, :, None] * x_weight[:, None, None, :]
    ends = np.arange(len(plane) + 1) * row[:1].size
    size = (len(plane), len(table.spots))
    chosen = sparse.csr_array((weight.ravel(), row.ravel(), ends), shape=size)
    # A spline may swing below zero by a little where there is next to no light.
    found: Float64Array = np.maximum(chosen @ table.spots, 0.0)
    return found


def _taps(position_px: FloatArray, nodes: int) -> tuple[IntArray, Float64Array]:
    """Return phases in the table and their cubic B-spline weights, shape (n, 4) each."""
    place = (1 - (position_px - np.floor(position_px))) * nodes
    first = np.floor(place).astype(np.int64)
    r = place - first
    weights = [
        (1 - r) ** 3,
        4 - 6 * r**2 + 3 * r**3,
        1 + 3 * r + 3 * r**2 - 3 * r**3,
        r**3,
    ]
    return first[:, None] + np.arange(4), np.stack(weights, axis=1) / 6


def _add(
    image: Float64Array,
    spots: Float64Array,
    frame: IntArray,
    x_px: FloatArray,
    y_px: FloatArray,
    reach: int,
) -> None:
    """Add spots to their frames; what is outside the field is cut."""
    side = 2 * reach + 1
    _, height, width = image.shape
    rows, columns = (np.floor(c).astype(np.int64) - reach for c in (y_px, x_px))
    for spot, plane, row, column in zip(
        spots.reshape(-1, side, side), frame, rows.tolist(), columns.tolist(), strict=True
    ):
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + side, height), min(column + side, width)
        if top < bottom and left < right:
            seen = spot[top - row : bottom - row, left - column : right - column]
            image[plane, top:bottom, left:right] += seen


@lru_cache(maxsize=64)
def _gaussian_width(psf: SampledPsf) -> float:
    image = psf.planes[psf.focus]

    def misfit(log_sigma: float) -> float:
        # The overlap with a Gaussian of unit norm, wherever it is largest: coma moves the core.
        sigma = np.exp(log_sigma)
        return -float(ndimage.gaussian_filter(image, sigma, mode="constant").max() * sigma)

    limits = (np.log(0.5), np.log(max(image.shape) / 2))
    best = minimize_scalar(misfit, bounds=limits, method="bounded")
    return float(np.exp(best.x)) * psf.pixel_size_nm


class ImagedPsf:
    """What optics share whose settings lead to a :class:`SampledPsf`."""

    if TYPE_CHECKING:  # a field of the settings, in the place that they give it
        z_spread_nm: float

    def sampled(self) -> SampledPsf:
        """Return the image of one emitter."""
        raise NotImplementedError

    @property
    def sigma_nm(self) -> float:
        """Standard deviation of the Gaussian most like the core, in the nominal focus."""
        return self.sampled().sigma_nm

    def sample(self, n: int, rng: np.random.Generator) -> dict[str, Float64Array]:
        """Draw the column ``z_nm``; ``sigma_nm`` is that in the nominal focus for all."""
        columns = {"sigma_nm": np.full(n, self.sigma_nm)}
        if self.z_spread_nm > 0:
            columns["z_nm"] = rng.normal(0.0, self.z_spread_nm, n)
        return columns

    def image(
        self, emitters: Localizations, pixel_size_nm: float, shape: tuple[int, int, int]
    ) -> Float64Array:
        """Image emitters; see :meth:`deepstorm.simulation.psf.Psf.image`."""
        return self.sampled().image(emitters, pixel_size_nm, shape)
