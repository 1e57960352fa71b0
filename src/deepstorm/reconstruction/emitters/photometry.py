"""The light of emitters whose places are known: photons of each, and the background under it.

All emitters and the background of a block of frames are fitted together, by least squares whose
weights are one over the expected variance. As the expectation comes from the fit itself, the result
is that of maximum likelihood for Poisson noise, reached in a few Newton steps. Each is a sparse
linear system in which emitters couple where their spots overlap, and all of them with the
background under them. Only the background is fitted robustly: emitters that were missed add
light to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial import cKDTree

from deepstorm.arrays import Float32Array, Float64Array, FloatArray, IntArray
from deepstorm.errors import InputError
from deepstorm.reconstruction.emitters.background import BackgroundGrid, background_grid
from deepstorm.simulation.psf import integrated_gaussian

# A spot is followed to where 0.1 % of its light is left outside.
SPOT_REACH_SIGMA = 3.5
# The spots of emitters further apart than this many sigma correlate by less than 2e-4.
COUPLING_SIGMA = 6.0
# Deviations, in standard deviations, above which light is not taken for background any further, and
# what that cuts off the mean of Gaussian noise: phi(1) - (1 - Phi(1)).
MOST_DEVIATION = 1.0
CUT_OFF = 0.0833
# Newton steps: the first is weighted by the mean image, the others by the fit of the step before.
STEPS = 3
# The brightness of an emitter is expected to be the mean one, give or take this many times itself.
# The expectation decides where the frame cannot: how nearby emitters share their common light.
BRIGHTNESS_SPREAD = 1.0
# Confidence below which a localization's expected share of light shrinks no further.
LEAST_CONFIDENCE = 0.1
# Expected variance below which a pixel's weight grows no further.
LEAST_VARIANCE = 0.1
# Each emitter's own information is overstated by this share, so that two all but atop each other
# keep their shares of light rather than take huge opposite ones (Levenberg).
DAMPING = 0.03
# Iterations of each linear solution and relative error at which they end: the next step takes up
# what is left.
MOST_ITERATIONS = 30
TOLERANCE = 3e-2


@dataclass(frozen=True, slots=True)
class Light:
    """What :func:`measure_light` finds.

    Parameters
    ----------
    photons : ndarray of float64, shape (n,)
        Signal of each localization in effective photons, 0 or more.
    background_photons : ndarray of float64, shape (n,)
        Background under each localization in effective photons per pixel, 0 or more.
    background_image : ndarray of float64, shape (y, x)
        Background of each pixel, the same in every frame of the block.
    expected : ndarray of float32, shape (frame, y, x)
        Background and emitters of each pixel in each frame.
    """

    photons: Float64Array
    background_photons: Float64Array
    background_image: Float64Array
    expected: Float32Array


def measure_light(
    frames: FloatArray,
    frame: IntArray,
    x_px: FloatArray,
    y_px: FloatArray,
    sigma_px: float,
    confidence: FloatArray | None = None,
) -> Light:
    """Measure how bright each localization is, and the background under it.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        A block of frames in effective photons: the variance of the noise is the mean.
    frame : ndarray of int, shape (n,)
        Frame of each localization, from 0 within the block.
    x_px, y_px : ndarray, shape (n,)
        Positions in camera pixels from the outer corner of the top-left pixel.
    sigma_px : float
        Standard deviation of the Gaussian PSF in camera pixels.
    confidence : ndarray, shape (n,), optional
        Expected number of emitters that each localization stands for. The light expected of it
        is in proportion, so that of two localizations too close to tell apart the more certain
        one gets the larger share; where the frame itself tells, it hardly matters.

    Returns
    -------
    Light

    Raises
    ------
    InputError
        If the arrays do not fit together, a value is not finite, a position lies outside the
        field, ``sigma_px`` is not above 0, or a confidence is negative.
    """
    _check(frames, frame, x_px, y_px, sigma_px, confidence)
    x, y = x_px.astype(np.float64), y_px.astype(np.float64)
    spots = _Spots.place(frame, x, y, sigma_px, frames.shape)
    grid = background_grid(*frames.shape[1:])
    at_emitters = grid.at(x, y)
    certain = np.ones(len(frame)) if confidence is None else confidence.astype(np.float64)
    shares = np.maximum(certain, LEAST_CONFIDENCE)
    photons, levels, expected = _fit(frames.astype(np.float32), spots, grid, at_emitters, shares)
    return Light(photons, at_emitters @ levels, grid.image(levels), expected)


def _check(
    frames: FloatArray,
    frame: IntArray,
    x_px: FloatArray,
    y_px: FloatArray,
    sigma_px: float,
    confidence: FloatArray | None,
) -> None:
    if frames.ndim != 3 or 0 in frames.shape:
        raise InputError(f"the frames have shape {frames.shape}; expected (frame, y, x), none of 0")
    columns = [frame, x_px, y_px] + ([] if confidence is None else [confidence])
    if any(column.shape != (len(frame),) for column in columns):
        shapes = ", ".join(str(column.shape) for column in columns)
        raise InputError(
            f"columns of localizations have shapes {shapes}; expected the same length for all"
        )
    if not (np.isfinite(sigma_px) and sigma_px > 0):
        raise InputError(f"the PSF's sigma is {sigma_px} camera pixels; give a number above 0")
    if not np.all(np.isfinite(frames)):
        raise InputError("a frame holds values that are not finite; leave such frames out")
    _check_inside(frames.shape, frame, x_px, y_px)
    if confidence is not None and not np.all(np.isfinite(confidence) & (confidence >= 0)):
        raise InputError("a confidence is negative or not finite; leave such localizations out")


def _check_inside(
    shape: tuple[int, ...], frame: IntArray, x_px: FloatArray, y_px: FloatArray
) -> None:
    inside = (frame >= 0) & (frame < shape[0])
    inside &= (y_px >= 0) & (y_px <= shape[1]) & (x_px >= 0) & (x_px <= shape[2])
    if not inside.all():
        worst = int(np.argmin(inside))
        raise InputError(
            f"{np.count_nonzero(~inside)} localizations lie outside the block of {shape[0]} frames "
            f"of {shape[1]} × {shape[2]} pixels, the first in frame {frame[worst]} at x "
            f"{x_px[worst]:.1f}, y {y_px[worst]:.1f} pixels; leave them out"
        )


@dataclass(frozen=True, slots=True)
class _Spots:
    """The spots of one photon of all emitters, on frames widened by a dark border.

    The border lets every window lie whole inside the frame; pixels there get no weight.
    """

    shape: tuple[int, int, int]  # (frame, y, x) with the border
    border: int
    light: sparse.csr_array  # (n, pixels)
    squares: sparse.csr_array  # (n, pixels): the same, squared
    overlap: sparse.csr_array  # (n, n): correlation of the spots of emitters of one frame

    @classmethod
    def place(
        cls,
        frame: IntArray,
        x_px: Float64Array,
        y_px: Float64Array,
        sigma_px: float,
        shape: tuple[int, ...],
    ) -> _Spots:
        """Lay a window around each emitter, and find the emitters whose spots overlap."""
        reach = int(np.ceil(SPOT_REACH_SIGMA * sigma_px))
        border = reach + 1
        full = (shape[0], shape[1] + 2 * border, shape[2] + 2 * border)
        first_y, rows = _profiles(y_px, sigma_px, reach)
        first_x, columns = _profiles(x_px, sigma_px, reach)
        first = (frame * full[1] + first_y + border) * full[2] + first_x + border
        offsets = np.arange(2 * reach + 1)[:, None] * full[2] + np.arange(2 * reach + 1)
        pixels = first[:, None] + offsets.ravel()
        light = (rows[:, :, None] * columns[:, None, :]).ravel()
        ends = np.arange(len(frame) + 1) * offsets.size
        size = (len(frame), int(np.prod(full)))
        return cls(
            full,
            border,
            sparse.csr_array((light, pixels.ravel(), ends), shape=size),
            sparse.csr_array((light**2, pixels.ravel(), ends), shape=size),
            _overlap(frame, x_px, y_px, sigma_px),
        )

    def render(self, photons: Float64Array) -> Float32Array:
        """Return the expected light of all emitters, without the border."""
        wide = (photons.astype(np.float32) @ self.light).reshape(self.shape)
        edge = slice(self.border, -self.border)
        return wide[:, edge, edge]

    def widened(self, frames: Float32Array) -> Float32Array:
        """Return the frames with the border, flat."""
        wide = np.zeros(self.shape, np.float32)
        edge = slice(self.border, -self.border)
        wide[:, edge, edge] = frames
        return wide.ravel()


def _profiles(
    position_px: Float64Array, sigma_px: float, reach: int
) -> tuple[IntArray, Float32Array]:
    """Return the first pixel of each window along one axis, and the spot's profile there."""
    first = np.floor(position_px).astype(np.int64) - reach
    sigma = np.full(len(first), float(sigma_px))
    profile = integrated_gaussian(position_px, sigma, first, 2 * reach + 1)
    return first, profile.astype(np.float32)


def _overlap(
    frame: IntArray, x_px: Float64Array, y_px: Float64Array, sigma_px: float
) -> sparse.csr_array:
    """Return the correlation of near emitters' spots, with the damping on the diagonal."""
    distance = COUPLING_SIGMA * sigma_px
    places = np.stack([frame * 2 * distance, y_px, x_px], axis=1)
    pairs = cKDTree(places).query_pairs(distance, output_type="ndarray").T
    square = ((places[pairs[0]] - places[pairs[1]]) ** 2).sum(axis=1)
    # Pixels widen a Gaussian by the variance of their own extent.
    shared = np.exp(-square / (4 * (sigma_px**2 + 1 / 12)))
    upper = sparse.csr_array((shared, pairs), shape=(len(frame), len(frame)))
    overlap: sparse.csr_array = upper + upper.T + (1 + DAMPING) * sparse.eye_array(len(frame))
    return overlap


@dataclass(frozen=True, slots=True)
class _Information:
    """Fisher information of the emitters' photons and the background's levels together.

    Between two values it is approximate, which costs a Newton step at most: the gradient is exact.
    """

    noise: Float64Array  # (n,) standard deviation of the photons of each emitter were it alone
    overlap: sparse.csr_array  # (n, n)
    seen: Float64Array  # (n,) summed weight under each spot
    at_emitters: sparse.csr_array  # (n, nodes)
    levels: sparse.csr_array  # (nodes, nodes)
    expectation: float  # added to the diagonal of the photons

    def diagonal(self) -> Float64Array:
        """Return the information of each value were the others known."""
        return np.concatenate([self.noise**-2 + self.expectation, self.levels.diagonal()])

    def apply(self, values: Float64Array) -> Float64Array:
        """Multiply photons and levels, end to end, by the information matrix."""
        photons, levels = np.split(values, [len(self.noise)])
        light = self.overlap @ (photons / self.noise) / self.noise + self.expectation * photons
        # The background hardly bends under a spot, which sees of it the value at the emitter.
        light += self.seen * (self.at_emitters @ levels)
        return np.concatenate(
            [light, self.at_emitters.T @ (self.seen * photons) + self.levels @ levels]
        )


def _fit(
    frames: Float32Array,
    spots: _Spots,
    grid: BackgroundGrid,
    at_emitters: sparse.csr_array,
    shares: Float64Array,
) -> tuple[Float64Array, Float64Array, Float32Array]:
    """Return the photons of the emitters, the background at the nodes, and both in each pixel."""
    n = len(shares)
    values = np.zeros(n + at_emitters.shape[1])
    weights = np.broadcast_to(1 / np.maximum(frames.mean(axis=0), LEAST_VARIANCE), frames.shape)
    residual, expectation, expected = frames, 0.0, frames
    trust = np.append(np.sqrt(shares), np.ones(len(values) - n))
    for step in range(STEPS):
        information = _information(weights, spots, grid, at_emitters, expectation)
        pull = _gradient(residual, weights, spots, grid, robust=step > 0)
        mean = values[:n].sum() / max(shares.sum(), LEAST_CONFIDENCE)
        pull[:n] += expectation * (shares * mean - values[:n])
        values += _newton_step(information, pull, trust * ((values > 0) | (pull > 0)))
        np.maximum(values, 0.0, out=values)
        expected = spots.render(values[:n]) + grid.image(values[n:]).astype(np.float32)
        residual = frames - expected
        weights = (1 / np.maximum(expected, LEAST_VARIANCE)).astype(np.float32)
        expectation = _expectation(values[:n], shares)
    return values[:n], values[n:], expected


def _information(
    weights: Float32Array,
    spots: _Spots,
    grid: BackgroundGrid,
    at_emitters: sparse.csr_array,
    expectation: float,
) -> _Information:
    wide = spots.widened(weights)
    return _Information(
        noise=1 / np.sqrt((spots.squares @ wide).astype(np.float64)),
        overlap=spots.overlap,
        seen=(spots.light @ wide).astype(np.float64),
        at_emitters=at_emitters,
        levels=grid.information(weights.sum(axis=0, dtype=np.float64)),
        expectation=expectation,
    )


def _gradient(
    residual: Float32Array,
    weights: Float32Array,
    spots: _Spots,
    grid: BackgroundGrid,
    *,
    robust: bool,
) -> Float64Array:
    """Return the derivative of the log-likelihood by the photons and the background's levels.

    Where ``robust``, the background follows light above it only so far: emitters that nobody
    localized are not background.
    """
    scatter = np.sqrt(weights)
    deviation = residual * scatter
    emitters = spots.light @ spots.widened(deviation * scatter)
    taken = np.minimum(deviation, MOST_DEVIATION) + CUT_OFF if robust else deviation
    in_all_frames = (taken * scatter).sum(axis=0, dtype=np.float64)
    return np.concatenate([emitters, grid.on_nodes(in_all_frames)])


def _expectation(photons: Float64Array, shares: Float64Array) -> float:
    """Return the information in expecting of each emitter the mean brightness."""
    mean = photons.sum() / max(shares.sum(), LEAST_CONFIDENCE)
    return float(1 / (BRIGHTNESS_SPREAD * max(mean, 1.0)) ** 2)


def _newton_step(
    information: _Information, pull: Float64Array, trust: Float64Array
) -> Float64Array:
    """Return the step by conjugate gradients, which come to the values of most trust first.

    What the data cannot tell apart is moved in proportion to the square of ``trust``, and values
    of no trust stay.
    """
    scale = trust / np.sqrt(information.diagonal())
    scaled = LinearOperator(
        (len(pull), len(pull)),
        lambda values: scale * information.apply(scale * values),
        dtype=float,
    )
    step, _ = cg(scaled, scale * pull, rtol=TOLERANCE, maxiter=MOST_ITERATIONS)
    result: Float64Array = scale * step
    return result
