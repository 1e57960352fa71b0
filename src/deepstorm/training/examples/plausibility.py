"""Whether a table of emitters belongs to the frames that it came with.

A table that belongs elsewhere, counts from elsewhere or has its axes swapped trains a network to
find emitters where there are none, and nothing in the losses says why. Here the frames are asked:
at the positions of a table that belongs to them there is light, and nowhere else is more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from deepstorm.arrays import BoolArray, Float32Array, Float64Array
from deepstorm.errors import InputError
from deepstorm.models.scaling import USUAL_SIGMA_PX, AnyFrames
from deepstorm.structures import Localizations
from deepstorm.training.examples.spots import grid, spot_images, spot_response, values_at

# Fewer emitters than this neither train a network nor tell where a table belongs.
LEAST_EMITTERS = 10
# Light at the positions, in standard errors of what random positions have: it is there from the
# first on, and another reading of the table is better if it has more by the second and the third.
CERTAIN, BETTER_BY, BETTER_TIMES = 4.0, 4.0, 1.25
# Shifts up to here are sought, and those beyond the second are refused: half a pixel is the usual
# mistake, a PSF that is not symmetric may have its middle a little off.
SHIFT_REACH_PX, SHIFT_STEP_PX, LARGEST_SHIFT_PX = 3.0, 0.25, 0.35
# Positions that span less than this are in another unit.
SMALLEST_EXTENT_PX = 3.0
# Pixel sizes that are tried, as multiples of the one that was given.
FACTORS = np.exp(np.linspace(-np.log(4), np.log(4), 281))
# So many pixels and emitters are looked at.
MOST_PIXELS, MOST_EMITTERS = 2**24, 1000
# Emitters are alone if no other one of the frame is within this many widths of a spot.
ALONE = 4.0
SPARSE_SHARE = 0.5


def check_positions(
    frames: AnyFrames,
    emitters: Localizations,
    pixel_size_nm: float,
    sigma_px: float = USUAL_SIGMA_PX,
) -> None:
    """Refuse a table whose positions are not where the frames have light.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Camera counts.
    emitters : Localizations
        Fewer than ten say too little, and are not checked beyond their being numbers.
    pixel_size_nm : float
        Size of a camera pixel.
    sigma_px : float
        Width of a spot; a guess will do.

    Raises
    ------
    InputError
        If the frames are empty, or the positions do not belong to them. It names what does not fit,
        or would fit better: other frame numbers, another pixel size, x and y exchanged, a mirrored
        axis, or a shift.
    """
    check_frames(frames)
    check_finite(emitters)
    if len(emitters) < LEAST_EMITTERS:
        return
    _check_frame_numbers(len(frames), emitters)
    _check_extent(frames.shape, emitters, pixel_size_nm)
    seen, table = _portion(frames, emitters)
    light = _Light(spot_response(seen, sigma_px), pixel_size_nm)
    shift_px, shifted_fit = light.best_shift(table)
    words, fit = light.best_reading(table)
    if fit > max(shifted_fit * BETTER_TIMES, shifted_fit + BETTER_BY, CERTAIN + BETTER_BY):
        raise InputError(
            f"the positions do not match the frames as they are; they would if {words} (light "
            f"at the positions of {fit:.0f} standard errors, against {light.fit(table):.0f}): "
            "correct the table or the settings"
        )
    if shifted_fit < CERTAIN + (BETTER_BY if light.fit(table) < CERTAIN else 0):
        raise InputError(
            f"the {len(table)} positions that were examined do not belong to the frames: there "
            "is no more light at them than anywhere else (swapped axes, other frame numbers, "
            "other pixel sizes and small shifts were tried): give the table that was made from "
            "these frames"
        )
    _check_shift(shift_px, max(LARGEST_SHIFT_PX, 3 * np.sqrt(2) * sigma_px / shifted_fit))


def check_frames(frames: AnyFrames) -> None:
    """Refuse frames that show nothing.

    Raises
    ------
    InputError
        If there are none, they are not three-dimensional, not finite, or all pixels are alike.
    """
    if np.ndim(frames) != 3 or np.size(frames) == 0:
        raise InputError(
            f"the frames have the shape {np.shape(frames)}; expected three axes (frame, y, x), "
            "none of them empty"
        )
    if not np.isfinite(frames).all():
        raise InputError("the frames have values that are not finite; replace them first")
    if np.min(frames) == np.max(frames):
        raise InputError(
            f"the frames are empty: all their pixels are {np.max(frames):g}; check that the movie "
            "is the right one"
        )


def check_finite(emitters: Localizations) -> None:
    """Refuse positions that are not numbers.

    Raises
    ------
    InputError
    """
    if not (np.isfinite(emitters.x_nm).all() and np.isfinite(emitters.y_nm).all()):
        raise InputError(
            "the table of emitters has positions that are not finite; leave these entries out"
        )


def alone(emitters: Localizations, distance_nm: float) -> BoolArray:
    """Return which emitters have no other one of their frame within a distance, shape (n,)."""
    # The frame is a third axis, stretched so far that no pair crosses frames.
    depth = 2.0 * distance_nm * emitters.frame
    points = np.column_stack([emitters.x_nm, emitters.y_nm, depth])
    tree = cKDTree(points)
    return np.asarray(tree.query_ball_point(points, distance_nm, return_length=True) == 1)


def check_sparse(emitters: Localizations, pixel_size_nm: float, sigma_px: float) -> None:
    """Refuse frames whose emitters are mostly not alone.

    Parameters
    ----------
    emitters : Localizations
        Those within the frames.
    pixel_size_nm, sigma_px : float
        Size of a camera pixel, and width of a spot in camera pixels.

    Raises
    ------
    InputError
        If there are fewer than ten, or the frames are dense.
    """
    check_number(len(emitters), "the frames hold", "take more sparse frames")
    share = float(alone(emitters, ALONE * sigma_px * pixel_size_nm).mean())
    if share < SPARSE_SHARE:
        raise InputError(
            f"only {100 * share:.0f} % of the emitters are isolated, without another one within "
            f"{ALONE:g} standard deviations of the PSF ({ALONE * sigma_px:.1f} pixels); of "
            f"sparse frames at least {100 * SPARSE_SHARE:.0f} % are: take frames with fewer "
            "emitters, or train on dense frames with known positions as examples of the kind "
            "'regions'"
        )


def check_number(usable: int, where: str, remedy: str) -> None:
    """Refuse fewer than ten emitters.

    Raises
    ------
    InputError
    """
    if usable < LEAST_EMITTERS:
        raise InputError(
            f"{where} {usable} usable emitters; at least {LEAST_EMITTERS} are needed: {remedy}"
        )


def within(emitters: Localizations, shape: tuple[float, ...], pixel_size_nm: float) -> BoolArray:
    """Return which emitters lie in frames of a shape (frame, y, x), shape (n,)."""
    count, height, width = shape
    y, x = emitters.y_nm / pixel_size_nm, emitters.x_nm / pixel_size_nm
    in_time = (emitters.frame >= 0) & (emitters.frame < count)
    inside: BoolArray = in_time & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return inside


def _portion(frames: AnyFrames, emitters: Localizations) -> tuple[AnyFrames, Localizations]:
    """Return as many frames as are looked at, those with most emitters, and their emitters."""
    count, height, width = frames.shape
    length = min(max(MOST_PIXELS // (height * width), 3), count)
    within_movie = emitters.frame[(emitters.frame >= 0) & (emitters.frame < count)]
    up_to = np.cumsum(np.bincount(within_movie + 1, minlength=count + 1))
    start = int(np.argmax(up_to[length:] - up_to[:-length]))
    # One frame more on either side: numbers that are off by one reach it.
    near = (emitters.frame >= start - 1) & (emitters.frame <= start + length)
    table = emitters.select(near)
    chosen = np.linspace(0, len(table) - 1, min(len(table), MOST_EMITTERS)).astype(np.int64)
    table = table.select(chosen)
    return frames[start : start + length], replace(table, frame=table.frame - start)


@dataclass(frozen=True)
class _Light:
    """Filtered frames, and how much light a table finds in them.

    Parameters
    ----------
    response : ndarray of float32, shape (frame, y, x)
        See :func:`~deepstorm.training.examples.spots.spot_response`.
    pixel_size_nm : float
    """

    response: Float32Array
    pixel_size_nm: float

    @cached_property
    def _spread(self) -> float:
        return max(float(self.response.std()), 1e-30)

    def fit(self, table: Localizations, pixel_size_nm: float | None = None) -> float:
        """Return the light at the positions, in standard errors of that at random ones."""
        size_nm = pixel_size_nm or self.pixel_size_nm
        y, x = table.y_nm / size_nm, table.x_nm / size_nm
        values = values_at(self.response, table.frame, y, x)
        return float(values.mean() * np.sqrt(len(values)) / self._spread)

    def best_reading(self, table: Localizations) -> tuple[str, float]:
        """Return the other reading of a table that finds most light, and how much."""
        readings = _readings(table, self.pixel_size_nm, self.response.shape)
        fits = {words: self.fit(*reading) for words, reading in readings}
        best = max(fits, key=lambda words: fits[words])
        return best, fits[best]

    def _inner(self, table: Localizations) -> BoolArray:
        """Return which emitters are farther from the border than shifts reach."""
        margin_nm = (SHIFT_REACH_PX + 0.5) * self.pixel_size_nm
        count, *sides = self.response.shape
        inner = (count, *(side - 2 * (SHIFT_REACH_PX + 0.5) for side in sides))
        return within(table.shifted(-margin_nm, -margin_nm), inner, self.pixel_size_nm)

    def best_shift(self, table: Localizations) -> tuple[Float64Array, float]:
        """Return the shift (y, x) in pixels that finds most light, and how much."""
        offsets = grid(SHIFT_REACH_PX, SHIFT_STEP_PX)
        inner = self._inner(table)
        # Beyond the border there is no light to compare with.
        chosen = table.select(inner) if inner.sum() >= LEAST_EMITTERS else table
        around = spot_images(self.response, chosen, self.pixel_size_nm, offsets)
        mean = around.mean(axis=0, dtype=np.float64)
        shift_px = _peak(mean) * SHIFT_STEP_PX + offsets[0]
        return shift_px, float(mean.max() * np.sqrt(len(chosen)) / self._spread)


def _readings(
    table: Localizations, pixel_size_nm: float, shape: tuple[int, ...]
) -> Iterator[tuple[str, tuple[Localizations, float]]]:
    """Yield other readings of a table, in words, each as a table and a pixel size."""
    height_nm, width_nm = (length * pixel_size_nm for length in shape[1:])
    others = {
        "x and y were swapped": replace(table, x_nm=table.y_nm, y_nm=table.x_nm),
        "x were counted from the right": replace(table, x_nm=width_nm - table.x_nm),
        "y were counted from the bottom": replace(table, y_nm=height_nm - table.y_nm),
        "each frame number were one less (the table counts from one more)": replace(
            table, frame=table.frame - 1
        ),
        "each frame number were one more": replace(table, frame=table.frame + 1),
    }
    for words, other in others.items():
        yield words, (other, pixel_size_nm)
    for factor in FACTORS[FACTORS != 1.0]:
        size_nm = float(pixel_size_nm * factor)
        yield f"the pixel size were {size_nm:.3g} nm", (table, size_nm)


def _check_frame_numbers(count: int, emitters: Localizations) -> None:
    """Refuse a table of other frames; numbers may be off by one, which is told by the light."""
    first, last = int(emitters.frame.min()), int(emitters.frame.max())
    near = (emitters.frame >= -1) & (emitters.frame <= count)
    if near.sum() < LEAST_EMITTERS:
        raise InputError(
            f"the positions are of frames {first:,} to {last:,}, counted from 0, and the movie "
            f"has frames 0 to {count - 1:,}: {near.sum()} of {len(emitters):,} positions lie in "
            "them; give the table for this movie, or correct its frame numbers"
        )


def _check_extent(shape: tuple[int, ...], emitters: Localizations, pixel_size_nm: float) -> None:
    """Refuse positions in another unit, or of another field."""
    places = np.stack([emitters.y_nm, emitters.x_nm]) / pixel_size_nm
    low, high = places.min(axis=1), places.max(axis=1)
    is_point = (high - low < SMALLEST_EXTENT_PX).all() and min(shape[1:]) > 4 * SMALLEST_EXTENT_PX
    is_outside = not ((places >= 0) & (places < np.array(shape[1:])[:, None])).all(axis=0).any()
    if is_point or is_outside:
        raise InputError(
            f"the positions lie from {low[1]:.3g} to {high[1]:.3g} pixels in x and from "
            f"{low[0]:.3g} to {high[0]:.3g} in y, in frames {shape[2]} pixels wide and {shape[1]} "
            f"high, if a pixel is {pixel_size_nm:g} nm: check the pixel size and the unit of the "
            "positions (nm)"
        )


def _check_shift(shift_px: Float64Array, largest_px: float) -> None:
    """Refuse a table that is moved."""
    dy, dx = shift_px
    if np.hypot(dx, dy) > largest_px:
        raise InputError(
            "the positions are shifted relative to the frames: they fit best when x is "
            f"changed by {dx:+.2f} and y by {dy:+.2f} camera pixels; half a pixel means that "
            "the table counts from the centre of the first pixel instead of its outer corner, "
            "other shifts may come from a pixel size that is slightly wrong: correct the table"
        )


def _peak(image: Float64Array) -> Float64Array:
    """Return the place (row, column) of the highest value, between pixels by parabolas."""
    row, column = np.unravel_index(int(image.argmax()), image.shape)
    return np.array([_vertex(image[:, column], int(row)), _vertex(image[row], int(column))])


def _vertex(values: Float64Array, highest: int) -> float:
    """Return where the parabola through the highest value and its neighbours has its top."""
    if not 0 < highest < len(values) - 1:
        return float(highest)
    before, top, after = values[highest - 1 : highest + 2]
    curvature = before - 2 * top + after
    return float(highest + (before - after) / (2 * curvature)) if curvature else float(highest)
