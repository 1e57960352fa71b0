"""Measured sparse frames as the material of composites: spots, backgrounds and what is left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from deepstorm.arrays import BoolArray, Float32Array, Float64Array, FloatArray, IntArray
from deepstorm.errors import InputError
from deepstorm.models.scaling import AnyFrames
from deepstorm.structures import Instrument, Localizations
from deepstorm.training.examples.plausibility import (
    LEAST_EMITTERS,
    alone,
    check_number,
    check_positions,
    check_sparse,
    within,
)
from deepstorm.training.examples.spots import asymmetry, grid, spot_images

# The smooth border of a spot begins where its light falls below this part of the background's
# noise. All distances are in standard deviations of the PSF: where a spot ends at least and at
# most, how wide its smooth border is, and over how much of what is near a background is averaged.
SPOT_NOISE_SHARE = 0.3
LEAST_RADIUS, MOST_RADIUS, BORDER = 3.0, 6.0, 1.0
# Spots that are closer than this cannot be localized one by one; and where most of a spot's light
# lies, none of which may be copied without its position.
OVERLAP, CORE = 3.0, 2.0
BACKGROUND_REACH = 6.0
# Light that stands out of the noise by so much and is in no table makes its place ambiguous.
UNEXPLAINED = 5.5
# Backgrounds are taken from pixels away from spots if these are at least this part of what is near.
LEAST_DARK_SHARE = 0.02
PROFILE_STEP_PX = 0.5
MOST_SPOTS = 1000
# From the median absolute deviation of a normal distribution to its standard deviation.
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class SparseFrames:
    """Measured frames in which emitters are isolated, and where they are.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Camera counts, all of one camera and one gain.
    emitters : Localizations
        All emitters that were localized, from any source.
    pixel_size_nm : float
        Size of a camera pixel.
    instrument : Instrument
        Camera and optics of the frames; composites are scaled by it.
    ambiguous : Localizations or ndarray of bool, shape (frame, y, x), optional
        Where there is light that the table does not explain: overlapping spots, poor fits. Bright
        light that is in neither table is found without it, unless it lies within the radius of a
        spot that is: there the table is trusted, since spots of an aberrated PSF have light apart.
    """

    frames: AnyFrames
    emitters: Localizations
    pixel_size_nm: float
    instrument: Instrument
    ambiguous: Localizations | BoolArray | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What composites are made of.

    Parameters
    ----------
    light : ndarray of float32, shape (frame, y, x)
        Counts above the background.
    background : ndarray of float32, shape (frame, y, x)
        Counts of the background without its noise, offset included.
    weight : ndarray of float32, shape (frame, y, x)
        1 on usable spots, 0 away from them, with a smooth border.
    ambiguous : ndarray of bool, shape (frame, y, x)
        Where light cannot be told apart.
    emitters : Localizations
        Usable emitters: away from each other's middle, and from ambiguous light.
    pixel_size_nm : float
    instrument : Instrument
    noise_adu : float
        Standard deviation of the background's noise.
    radius_px : float
        Where spots end.
    asymmetry : float
        Of the mean spot, see :func:`~deepstorm.training.examples.spots.asymmetry`.
    photons : float
        Mean light of a spot in effective photons, counted within its radius.
    """

    light: Float32Array
    background: Float32Array
    weight: Float32Array
    ambiguous: BoolArray
    emitters: Localizations
    pixel_size_nm: float
    instrument: Instrument
    noise_adu: float
    radius_px: float
    asymmetry: float
    photons: float

    @property
    def background_photons(self) -> float:
        """Mean background in effective photons, the variance of read noise included."""
        level_adu = float(self.background.mean(dtype=np.float64))
        return (level_adu - self.instrument.zero_adu) / self.instrument.adu_per_photon


def prepare_material(sparse: SparseFrames, radius_px: float | None = None) -> Material:
    """Check sparse frames, and divide them into spots and background.

    Parameters
    ----------
    sparse : SparseFrames
    radius_px : float, optional
        Where spots end; measured where absent: a smooth border of one standard deviation of the PSF
        begins where the median spot falls below 0.3 standard deviations of the background's noise.

    Raises
    ------
    InputError
        If frames and table do not belong together, frames are empty or dense, or fewer than ten
        emitters are usable.
    """
    sigma_px, size_nm = sparse.instrument.sigma_px, sparse.pixel_size_nm
    check_positions(sparse.frames, sparse.emitters, size_nm, sigma_px)
    seen = sparse.emitters.select(within(sparse.emitters, sparse.frames.shape, size_nm))
    check_sparse(seen, size_nm, sigma_px)
    counts = np.asarray(sparse.frames, np.float32)
    given = _given_places(sparse)
    places = np.concatenate([_positions_px(seen, size_nm), given])
    near = _discs(places, counts.shape, LEAST_RADIUS * sigma_px)
    light = counts - _background(counts, near, sigma_px)
    noise_adu = _noise(light[~near])
    radius = radius_px or _radius(light, seen, size_nm, noise_adu, sigma_px)
    near = _discs(places, counts.shape, radius)
    found = _unexplained(light, near, sigma_px)
    doubtful = np.concatenate([given, found])
    overlapping = ~alone(seen, OVERLAP * sigma_px * size_nm)
    doubtful = np.concatenate([doubtful, _positions_px(seen.select(overlapping), size_nm)])
    usable = _away_from(seen, doubtful, size_nm, radius + CORE * sigma_px)
    doubtful = np.concatenate([doubtful, _positions_px(seen.select(~usable), size_nm)])
    kept = seen.select(usable)
    check_number(
        len(kept), "after what is ambiguous was left out, the frames hold", "take more or sparser"
    )
    background = _background(counts, near | _discs(found, counts.shape, radius), sigma_px)
    light = counts - background
    lone = kept.select(alone(kept, 2 * radius * size_nm))
    chosen = _few(lone if len(lone) >= LEAST_EMITTERS else kept)
    images = spot_images(light, chosen, size_nm, grid(radius, PROFILE_STEP_PX))
    return Material(
        light=light,
        background=background,
        weight=_weights(_positions_px(kept, size_nm), counts.shape, radius, BORDER * sigma_px),
        ambiguous=_discs(doubtful, counts.shape, radius),
        emitters=kept,
        pixel_size_nm=size_nm,
        instrument=sparse.instrument,
        noise_adu=noise_adu,
        radius_px=radius,
        asymmetry=asymmetry(images),
        photons=_mean_photons(images, radius, sparse.instrument),
    )


def _positions_px(emitters: Localizations, pixel_size_nm: float) -> Float64Array:
    """Return (frame, y, x) in camera pixels, shape (n, 3)."""
    y, x = emitters.y_nm / pixel_size_nm, emitters.x_nm / pixel_size_nm
    return np.column_stack([emitters.frame, y, x]).astype(np.float64)


def _few(emitters: Localizations) -> Localizations:
    """Return emitters spread over the table, at most so many as a mean spot needs."""
    chosen = np.linspace(0, len(emitters) - 1, min(len(emitters), MOST_SPOTS))
    return emitters.select(chosen.astype(np.int64))


def _given_mask(sparse: SparseFrames) -> BoolArray:
    """Return the mask of ambiguous pixels, where one was given, else none, shape (frame, y, x)."""
    if not isinstance(sparse.ambiguous, np.ndarray):
        return np.zeros((1, 1, 1), bool)
    if sparse.ambiguous.shape != sparse.frames.shape:
        raise InputError(
            f"the mask of ambiguous pixels has the shape {sparse.ambiguous.shape}; expected that "
            f"of the frames, {sparse.frames.shape}"
        )
    return sparse.ambiguous


def _given_places(sparse: SparseFrames) -> Float64Array:
    """Return the ambiguous places that were given as (frame, y, x), shape (n, 3)."""
    if isinstance(sparse.ambiguous, Localizations):
        return _positions_px(sparse.ambiguous, sparse.pixel_size_nm)
    return _centres(_given_mask(sparse))


def _centres(chosen: BoolArray) -> Float64Array:
    """Return the centres (frame, y, x) of pixels in a mask, shape (n, 3)."""
    return np.asarray(np.argwhere(chosen) + np.array([0.0, 0.5, 0.5]), np.float64)


def _pixels_near(
    places: Float64Array, shape: tuple[int, ...], radius_px: float
) -> tuple[tuple[IntArray, IntArray, IntArray], FloatArray]:
    """Return the pixels (frame, y, x) around places that are in the frames, and their distances."""
    reach = int(np.ceil(radius_px)) + 1
    offset = np.arange(-reach, reach + 1)
    frame = np.broadcast_to(places[:, 0].astype(np.int64)[:, None, None], (len(places), 1, 1))
    y = np.floor(places[:, 1]).astype(np.int64)[:, None, None] + offset[:, None]
    x = np.floor(places[:, 2]).astype(np.int64)[:, None, None] + offset
    far = np.hypot(y + 0.5 - places[:, 1, None, None], x + 0.5 - places[:, 2, None, None])
    frame, y, x = np.broadcast_arrays(frame, y, x)
    inside = (frame >= 0) & (frame < shape[0]) & (y >= 0) & (y < shape[1])
    inside &= (x >= 0) & (x < shape[2]) & (far <= radius_px)
    return (frame[inside], y[inside], x[inside]), far[inside]


def _discs(places: Float64Array, shape: tuple[int, ...], radius_px: float) -> BoolArray:
    """Return which pixels lie within a radius of a place."""
    discs = np.zeros(shape, bool)
    discs[_pixels_near(places, shape, radius_px)[0]] = True
    return discs


def _weights(
    places: Float64Array, shape: tuple[int, ...], radius_px: float, border_px: float
) -> Float32Array:
    """Return 1 near places, falling to 0 over a border as a cosine does that ends at the radius."""
    pixels, far = _pixels_near(places, shape, radius_px)
    outward = np.clip((far - radius_px + border_px) / border_px, 0, 1)
    weights = np.zeros(shape, np.float32)
    np.maximum.at(weights, pixels, (0.5 * (1 + np.cos(np.pi * outward))).astype(np.float32))
    return weights


def _background(counts: Float32Array, lit: BoolArray, sigma_px: float) -> Float32Array:
    """Average the pixels without spots over their surroundings, frame by frame."""
    reach = (0, BACKGROUND_REACH * sigma_px, BACKGROUND_REACH * sigma_px)
    dark = (~lit).astype(np.float32)
    # Taken off first, so that rounding does not matter and frames without dark pixels have a level.
    medians = np.array([_median(*pair) for pair in zip(counts, lit, strict=True)], np.float32)
    level = medians[:, None, None]
    share = ndimage.gaussian_filter(dark, reach)
    summed = ndimage.gaussian_filter((counts - level) * dark, reach)
    trusted = share > LEAST_DARK_SHARE
    local = np.where(trusted, summed / np.where(trusted, share, 1), 0)
    return np.asarray(level + local, np.float32)


def _median(counts: Float32Array, lit: BoolArray) -> float:
    """Return the median of the pixels without spots, of all where there are none."""
    return float(np.median(counts if lit.all() else counts[~lit]))


def _noise(dark_adu: Float32Array) -> float:
    """Return the standard deviation of what has no spots, whatever a few pixels do."""
    if dark_adu.size == 0:
        raise InputError(
            "spots cover all pixels of the frames, so the background cannot be determined: "
            "take frames with fewer emitters"
        )
    return MAD_TO_SIGMA * float(np.median(np.abs(dark_adu - np.median(dark_adu))))


def _radius(
    light: Float32Array,
    emitters: Localizations,
    pixel_size_nm: float,
    noise_adu: float,
    sigma_px: float,
) -> float:
    """Return where the smooth border ends that begins where the median spot is lost in noise."""
    offsets = grid(MOST_RADIUS * sigma_px, PROFILE_STEP_PX)
    images = spot_images(light, _few(emitters), pixel_size_nm, offsets)
    median = np.median(images, axis=0)
    ring = np.rint(np.hypot(offsets[:, None], offsets) / PROFILE_STEP_PX).astype(np.int64)
    profile = np.bincount(ring.ravel(), median.ravel()) / np.bincount(ring.ravel())
    bright = np.flatnonzero(profile[: len(offsets) // 2 + 1] > SPOT_NOISE_SHARE * noise_adu)
    lost_px = PROFILE_STEP_PX * (1 + int(bright.max(initial=0)))
    ends_px = lost_px + BORDER * sigma_px
    return float(np.clip(ends_px, LEAST_RADIUS * sigma_px, MOST_RADIUS * sigma_px))


def _unexplained(light: Float32Array, near: BoolArray, sigma_px: float) -> Float64Array:
    """Return places (frame, y, x) of light that is in no table, shape (n, 3)."""
    smooth = ndimage.gaussian_filter(light, (0, sigma_px, sigma_px))
    dark = smooth[~near]
    if dark.size == 0:
        return np.empty((0, 3))
    highest = ndimage.maximum_filter(smooth, (1, 3, 3)) == smooth
    standing_out = smooth > float(np.median(dark)) + UNEXPLAINED * _noise(dark)
    return _centres(highest & standing_out & ~near)


def _away_from(
    emitters: Localizations,
    doubtful: Float64Array,
    pixel_size_nm: float,
    distance_px: float,
) -> BoolArray:
    """Return which emitters have neither ambiguous light nearby nor others that have, shape (n,).

    A spot that touches ambiguous light is ambiguous itself, and so on from spot to spot.
    """
    stretch = (2 * distance_px + 1, 1, 1)  # no pair crosses frames
    places = _positions_px(emitters, pixel_size_nm) * stretch
    usable = np.ones(len(emitters), bool)
    tree, front = cKDTree(places), doubtful * stretch
    while len(front):
        touched = np.zeros(len(emitters), bool)
        for neighbours in tree.query_ball_point(front, distance_px):
            touched[neighbours] = True
        front = places[touched & usable]
        usable &= ~touched
    return usable


def _mean_photons(images: Float32Array, radius_px: float, instrument: Instrument) -> float:
    """Return the light of the mean spot within its radius, in effective photons."""
    offsets = grid(radius_px, PROFILE_STEP_PX)
    inside = np.hypot(offsets[:, None], offsets) <= radius_px
    mean = images.mean(axis=0, dtype=np.float64)
    return float(mean[inside].sum() * PROFILE_STEP_PX**2 / instrument.adu_per_photon)
