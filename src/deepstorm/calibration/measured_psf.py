"""The PSF from images of single emitters: of sparse frames, or of beads at several focuses.

Each spot shows the PSF between other pixel borders. A density of light on cells of a quarter of a
camera pixel is fitted to all of them at once, with the smoothness of a PSF asked for; brightness,
background and position of each spot are fitted to that density; and so on in turns. What comes out
is the optical PSF, before camera pixels integrate it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.optimize import nnls

from deepstorm.arrays import BoolArray, Float64Array, FloatArray, IntArray
from deepstorm.calibration.spot_density import CELLS_PER_PX, SpotImages, SpotModel, in_cells
from deepstorm.errors import InputError

LEAST_EMITTERS = 10
LEAST_BEADS = 3
# More spots hardly make it better, and take memory; the brightest are used.
MOST_SPOTS = 400
# Beyond a window's reach: its last pixel ends one further, and a neighbour's spot has a width.
CLEARANCE_PX = 3
ROUNDS = 4
FIRST_REJECTION = 1
# Rounds without registration, in which the centroid is moved to the emitter.
CENTRING_ROUNDS = 2
LARGEST_STEP_PX = 0.3
# Spots whose residual has more than so many times the variance of their like are no single ones.
MOST_EXCESS = 2.0
# Outer part of the radius over which what is left of the light fades, lest a halo end in a step.
FADING = 0.15
# Spots of less than this part of the median brightness say little.
FAINTEST = 0.25
# Widths in camera pixels between which spots are looked for, and how much they must stand out.
SPOT_WIDTHS_PX = (1.0, 4.0)
SPOT_SIGNIFICANCE = 6.0


@dataclass(frozen=True, slots=True)
class PsfMeasurement:
    """A PSF and how well it is known.

    Parameters
    ----------
    image : ndarray of float64, shape (z, y, x)
        Light in cells of a quarter of a camera pixel, before camera pixels integrate it; not
        negative, of sum 1 in each plane. The middle is the centroid of the sharpest plane,
        faint light included; programs that fit Gaussians have their centre elsewhere where there
        is coma.
    emitters : int
        Spots that it was measured from.
    left_out : int
        Spots that were too near to others or to the border, too faint, or of another shape.
    signal_to_noise : float
        Peak over the standard deviation of the noise in a cell, in the sharpest plane.
    residual : float
        What the model leaves of the mean spot, root mean square over the peak.
    """

    image: Float64Array
    emitters: int
    left_out: int
    signal_to_noise: float
    residual: float


def find_spots(frames: FloatArray) -> tuple[IntArray, Float64Array, Float64Array]:
    """Find bright spots, without telling single ones from several.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)

    Returns
    -------
    frame : ndarray of int, shape (n,)
    x_px, y_px : ndarray, shape (n,)
        Positions from the outer corner of the first pixel, to a few tenths of a pixel.
    """
    narrow, wide = (
        ndimage.gaussian_filter(np.asarray(frames, np.float64), (0, width, width))
        for width in SPOT_WIDTHS_PX
    )
    raised = narrow - wide
    middle = np.median(raised, axis=(1, 2), keepdims=True)
    noise = 1.4826 * np.median(np.abs(raised - middle), axis=(1, 2), keepdims=True)
    highest = ndimage.maximum_filter(raised, (1, 5, 5)) == raised
    frame, y, x = np.nonzero(highest & (raised > middle + SPOT_SIGNIFICANCE * noise))
    near = np.arange(-1, 2)
    _, height, width_px = raised.shape
    rows = (y[:, None, None] + near[:, None]).clip(0, height - 1)
    columns = (x[:, None, None] + near).clip(0, width_px - 1)
    weight = raised[frame[:, None, None], rows, columns].clip(min=0)
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    # Three pixels see less than half of how far a spot is off their middle.
    dx, dy = 2 * (weight.sum(1) @ near), 2 * (weight.sum(2) @ near)
    return frame, x + 0.5 + dx, y + 0.5 + dy


def measure_sparse(
    frames: FloatArray, frame: IntArray, x_px: FloatArray, y_px: FloatArray, radius_px: int = 7
) -> PsfMeasurement:
    """Measure the PSF from frames of isolated emitters.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Camera counts.
    frame, x_px, y_px : ndarray, shape (n,)
        Emitters: frame from 0, position in camera pixels from the outer corner of the first one.
    radius_px : int
        Camera pixels from an emitter within which its light is looked for; what is beyond counts as
        background.

    Raises
    ------
    InputError
        If fewer than 10 emitters are left that stand alone.
    """
    model = SpotModel(radius_px)
    chosen = _isolated(frames.shape, frame, x_px, y_px, model)
    _require(int(chosen.sum()), len(frame), LEAST_EMITTERS, "emitters", model)
    spots = _cut(frames, frame[chosen], x_px[chosen], y_px[chosen], model)
    fitted = _fit(model, spots, LEAST_EMITTERS, len(frame))
    return replace(
        _measurement(model, [fitted.density], fitted), left_out=len(frame) - len(fitted.spots)
    )


def measure_beads(
    stack: FloatArray, x_px: FloatArray, y_px: FloatArray, radius_px: int = 7
) -> PsfMeasurement:
    """Measure the PSF at several focuses from frames of the same beads.

    Positions are fitted in the sharpest plane and kept in the others, so that a spot which moves
    sideways with the focus does so in the result.

    Parameters
    ----------
    stack : ndarray, shape (z, y, x)
        Camera counts, one frame per plane.
    x_px, y_px : ndarray, shape (n,)
        Beads, in camera pixels from the outer corner of the first one.
    radius_px : int
        As for :func:`measure_sparse`.

    Raises
    ------
    InputError
        If fewer than 3 beads are left that stand alone.
    """
    model = SpotModel(radius_px)
    same = np.zeros(len(x_px), np.int64)
    chosen = _isolated(stack.shape, same, x_px, y_px, model)
    _require(int(chosen.sum()), len(x_px), LEAST_BEADS, "beads", model)
    planes = [
        _cut(stack, same[chosen] + z, x_px[chosen], y_px[chosen], model) for z in range(len(stack))
    ]
    sharpest = int(np.argmax([one.windows.var(axis=(1, 2)).sum() for one in planes]))
    fitted = _fit(model, planes[sharpest], LEAST_BEADS, len(x_px))
    densities = [_plane(model, one.select(fitted.kept), fitted) for one in planes]
    densities[sharpest] = fitted.density
    found = _measurement(model, densities, fitted)
    return replace(found, left_out=len(x_px) - len(fitted.spots))


def _require(alone: int, given: int, least: int, what: str, model: SpotModel) -> None:
    if alone < least:
        raise InputError(
            f"{alone} of {given} {what} are isolated and complete, {model.reach_px} pixels "
            f"from the border and {model.reach_px + CLEARANCE_PX} from others; at least {least} "
            "are needed: give more or sparser frames, a larger field, or a smaller radius"
        )


def _isolated(
    shape: tuple[int, ...], frame: IntArray, x_px: FloatArray, y_px: FloatArray, model: SpotModel
) -> BoolArray:
    """Tell which emitters have a window of their own."""
    reach = model.reach_px
    column, row = np.floor(x_px), np.floor(y_px)
    whole = (column >= reach) & (column < shape[2] - reach)
    whole &= (row >= reach) & (row < shape[1] - reach) & (frame >= 0) & (frame < shape[0])
    for one in np.unique(frame):
        here = np.flatnonzero(frame == one)
        apart = [np.abs(along[here, None] - along[here]) for along in (x_px, y_px)]
        # Windows are square.
        distance = np.maximum(*apart) + np.diag(np.full(len(here), np.inf))
        whole[here] &= distance.min(axis=1) > reach + CLEARANCE_PX
    return np.asarray(whole, np.bool_)


def _cut(
    frames: FloatArray, frame: IntArray, x_px: FloatArray, y_px: FloatArray, model: SpotModel
) -> SpotImages:
    near = np.arange(-model.reach_px, model.reach_px + 1)
    column, row = np.floor(x_px).astype(np.int64), np.floor(y_px).astype(np.int64)
    windows = frames[
        frame[:, None, None], row[:, None, None] + near[:, None], column[:, None, None] + near
    ]
    x, y = np.asarray(x_px, np.float64), np.asarray(y_px, np.float64)
    return SpotImages(windows.astype(np.float64), x - column, y - row)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A density and the spots that it was fitted to; ``kept`` says which of those given."""

    density: Float64Array
    spots: SpotImages
    photons: Float64Array
    background: Float64Array
    kept: BoolArray


def _fit(model: SpotModel, spots: SpotImages, least: int, given: int) -> _Fitted:
    """Fit the density and every spot's brightness, background and position in turns."""
    photons, background = _first_light(model, spots)
    keep = photons > FAINTEST * np.median(photons)
    if keep.sum() > MOST_SPOTS:
        keep &= photons >= np.sort(photons[keep])[-MOST_SPOTS]
    now = _Fitted(
        np.zeros((model.cells, model.cells)),
        spots.select(keep),
        photons[keep],
        background[keep],
        keep,
    )
    for turn in range(ROUNDS + CENTRING_ROUNDS):
        now = _with_density(model, now)
        if turn < ROUNDS:
            now = _registered(model, now)
        if turn == FIRST_REJECTION:
            now = _of_one_shape(model, now)
            _require(len(now.spots), given, least, "spots of one shape", model)
        if turn < ROUNDS + CENTRING_ROUNDS - 1:
            now = replace(now, spots=now.spots.moved(*_centroid(model, now.density)))
    return now


def _first_light(model: SpotModel, spots: SpotImages) -> tuple[Float64Array, Float64Array]:
    """Return the light and the background of windows, the latter from their border."""
    near = np.arange(-model.reach_px, model.reach_px + 1) + 0.5
    x, y = spots.x_px[:, None, None], spots.y_px[:, None, None]
    distance = np.hypot(near - x, near[:, None] - y)
    inside = distance < model.radius_px
    background = np.array([np.median(w[~m]) for w, m in zip(spots.windows, inside, strict=True)])
    light = ((spots.windows - background[:, None, None]) * inside).sum(axis=(1, 2))
    return light, background


def _with_density(model: SpotModel, now: _Fitted) -> _Fitted:
    """Fit the density, of unit light, and then the light of the spots."""
    density = model.fit(now.spots, now.photons, now.background, now.density)
    density = _calmed(model, density)
    shapes = model.light(density, now.spots)
    photons, background = _scaled(shapes, now.spots.windows)
    return replace(now, density=density, photons=photons, background=background)


def _scaled(shapes: Float64Array, windows: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Fit windows by their shape and a constant."""
    shape_mean, window_mean = shapes.mean(axis=(1, 2)), windows.mean(axis=(1, 2))
    centred = shapes - shape_mean[:, None, None]
    photons = (centred * windows).sum(axis=(1, 2)) / (centred**2).sum(axis=(1, 2))
    return photons, window_mean - photons * shape_mean


def _registered(model: SpotModel, now: _Fitted) -> _Fitted:
    """Move every spot to where the density fits it best, by a Gauss-Newton step."""
    shapes = model.light(now.density, now.spots)
    along_x, along_y = model.slopes(now.density, now.spots)
    light = now.photons[:, None, None]
    columns = [shapes, np.ones_like(shapes), light * along_x, light * along_y]
    design = np.stack([column.reshape(len(shapes), -1) for column in columns], axis=-1)
    model_light = light * shapes + now.background[:, None, None]
    left = (now.spots.windows - model_light).reshape(len(shapes), -1, 1)
    turned = design.transpose(0, 2, 1)
    step = np.linalg.solve(turned @ design, turned @ left)[:, 2:, 0]
    dx, dy = step.clip(-LARGEST_STEP_PX, LARGEST_STEP_PX).T
    return replace(now, spots=now.spots.moved(dx, dy))


def _of_one_shape(model: SpotModel, now: _Fitted) -> _Fitted:
    """Leave out spots whose residual is larger than their brightness explains."""
    left = _residual(model, now)
    variance = (left**2).mean(axis=(1, 2))
    # Background noise, shot noise, and the error of a shape that is not final yet.
    causes = np.stack([np.ones(len(left)), now.photons, now.photons**2], axis=1)
    expected = causes @ nnls(causes / variance[:, None], np.ones(len(left)))[0]
    fine = (variance < MOST_EXCESS * expected * np.median(variance / expected)) & (now.photons > 0)
    kept = now.kept.copy()
    kept[kept] = fine
    return _Fitted(
        now.density, now.spots.select(fine), now.photons[fine], now.background[fine], kept
    )


def _residual(model: SpotModel, now: _Fitted) -> Float64Array:
    shapes = model.light(now.density, now.spots)
    return now.spots.windows - now.photons[:, None, None] * shapes - now.background[:, None, None]


def _plane(model: SpotModel, spots: SpotImages, fitted: _Fitted) -> Float64Array:
    """Fit the density of another plane of the same beads, at the positions found."""
    there = SpotImages(spots.windows, fitted.spots.x_px, fitted.spots.y_px)
    _, background = _first_light(model, there)
    now = replace(fitted, spots=there, background=background)
    for _ in range(2):
        now = _with_density(model, now)
    return now.density


def _calmed(model: SpotModel, density: Float64Array) -> Float64Array:
    """Let rings in which there is nothing but noise be round; make the sum 1.

    In each ring, the part of the variance that noise does not explain is kept.
    """
    ring = np.floor(model.distance * 2).astype(np.int64).clip(0, 2 * model.radius_px)
    numbers = np.arange(2 * model.radius_px + 1)
    mean = ndimage.mean(density, ring, numbers)
    variance = ndimage.variance(density, ring, numbers)
    noise = _noise(model, density) ** 2
    kept = np.sqrt((1 - 1.5 * noise / np.maximum(variance, 1e-300)).clip(0, 1))
    round_part = np.interp(model.distance * 2, numbers + 0.5, mean)
    outside = model.distance >= model.radius_px
    calm = round_part + kept[ring] * (density - round_part)
    calm[outside] = 0.0
    found: Float64Array = calm / calm.sum()
    return found


def _noise(model: SpotModel, density: Float64Array) -> float:
    """Return the standard deviation of coefficients in the outer third of the circle."""
    distance = model.distance
    outer = (distance > 0.7 * model.radius_px) & (distance < 0.95 * model.radius_px)
    return float(1.4826 * np.median(np.abs(density[outer] - np.median(density[outer]))))


def _finished(model: SpotModel, density: Float64Array) -> Float64Array:
    """Return the light in each cell, none of it negative, fading out to the circle."""
    fade = ((1 - model.distance / model.radius_px) / FADING).clip(0, 1)
    light = in_cells(density).clip(min=0) * fade
    found: Float64Array = light / light.sum()
    return found


def _centroid(model: SpotModel, density: Float64Array) -> tuple[float, float]:
    light = _finished(model, density)
    return float(light.sum(axis=0) @ model.offset), float(light.sum(axis=1) @ model.offset)


def _measurement(
    model: SpotModel, densities: list[Float64Array], fitted: _Fitted
) -> PsfMeasurement:
    raw = model.fit(fitted.spots, fitted.photons, fitted.background, fitted.density)
    noise = max(_noise(model, in_cells(raw)), 1e-12)
    image = np.stack([_finished(model, density) for density in densities])
    weight = fitted.photons[:, None, None]
    left = _residual(model, fitted).sum(axis=0) / weight.sum()
    mean = (weight * model.light(fitted.density, fitted.spots)).sum(axis=0) / weight.sum()
    return PsfMeasurement(
        image=image,
        emitters=len(fitted.spots),
        left_out=0,
        signal_to_noise=float(_finished(model, fitted.density).max() / noise),
        residual=float(np.sqrt((left**2).mean()) / mean.max()),
    )


def cell_size_nm(pixel_size_nm: float) -> float:
    """Return the size of a measured PSF's cells for a size of camera pixels."""
    return pixel_size_nm / CELLS_PER_PX
