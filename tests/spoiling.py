"""What spoils movies: troubles of microscopes, of cameras and of files, with random parameters.

A trouble is a function of a :class:`~takes.Take`, which it changes, and of a generator. ``LIGHT``
lists those before the camera, ``COUNTS`` those of the camera, ``PROCESSING`` those of people after
it; :func:`spoiled` applies any of them in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import imagecodecs
import numpy as np
from scipy import ndimage
from scipy.signal import wiener

from deepstorm.simulation.psf import Psf
from deepstorm.simulation.pupil import PupilPsf
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Localizations
from takes import WHITE, Array, Mask, Take

Trouble = Callable[[Take, np.random.Generator], None]


def spoiled(
    settings: SimulationSettings, seed: int, names: Iterable[str], rng: np.random.Generator
) -> Take:
    """Simulate a movie that has the named troubles, none for the clean movie."""
    take, wanted = Take.of(settings, seed), set(names)
    for stage in (LIGHT, COUNTS, PROCESSING):
        if stage is COUNTS:
            take.expose()
        for name in filter(wanted.__contains__, stage):
            stage[name](take, rng)
    return take


def some_frames(n_frames: int, rng: np.random.Generator) -> list[int]:
    """Draw the first ten frames, every second one, a run of them, or a few anywhere."""
    every = np.arange(n_frames)
    start, length = rng.integers(n_frames // 2), rng.integers(2, n_frames // 4)
    few = rng.choice(n_frames, rng.integers(1, 5), replace=False)
    chosen = (every[:10], every[::2], every[start : start + length], few)[rng.integers(4)]
    return [int(frame) for frame in chosen]


def lit_area(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw a field stop, shape (y, x): a circle, a rectangle or a half-plane; 1 inside, 0 outside.

    Its edge is sharp or soft.
    """
    y, x = (grid / side - 0.5 for grid, side in zip(np.indices(shape), shape, strict=True))
    dy, dx = rng.uniform(-0.1, 0.1, 2)
    angle, half_y, half_x = rng.uniform(0, 2 * np.pi), *rng.uniform(0.25, 0.45, 2)
    areas = (
        np.hypot(y - dy, x - dx) < rng.uniform(0.3, 0.45),
        (abs(y - dy) < half_y) & (abs(x - dx) < half_x),
        (y - dy) * np.sin(angle) + (x - dx) * np.cos(angle) < rng.uniform(-0.1, 0.3),
    )
    area = areas[rng.integers(3)].astype(float)
    soft: Array = ndimage.gaussian_filter(area, rng.choice([0.0, 1.0]) * rng.uniform(0.3, 2))
    return soft


# --- Before the camera ---------------------------------------------------------------------------


def _seen_through(take: Take, psf: Psf, rng: np.random.Generator) -> None:
    """Give the emitters another PSF."""
    movie = simulate_movie(take.settings, np.random.default_rng(take.seed))
    take.settings = take.settings.model_copy(update={"psf": psf})
    emitters = replace(movie.emitters, **psf.sample(len(movie.emitters), rng))
    take.light = psf.image(emitters, take.pixel_nm, take.light.shape) + take.background


def _objective(take: Take) -> PupilPsf:
    """Return diffraction that makes spots about as wide as they are."""
    aperture = min(0.21 * 670 / take.settings.psf.sigma_nm, 1.45)
    return PupilPsf(numerical_aperture=aperture)


def astigmatism(take: Take, rng: np.random.Generator) -> None:
    """A cylindrical lens or a bad objective: spots longer than wide, by their height."""
    depth = _depth_nm(_objective(take))
    waves = {"astigmatism_waves": rng.choice([-1, 1]) * rng.uniform(0.06, 0.15)}
    heights = {
        "defocus_nm": rng.uniform(0, 0.3) * depth,
        "z_spread_nm": rng.uniform(0, 0.2) * depth,
    }
    _seen_through(take, _objective(take).model_copy(update=waves | heights), rng)


def defocus(take: Take, rng: np.random.Generator) -> None:
    """The sample out of focus: wide spots with rings."""
    shift = {"defocus_nm": rng.uniform(0.4, 0.8) * _depth_nm(_objective(take))}
    _seen_through(take, _objective(take).model_copy(update=shift), rng)


def _depth_nm(psf: PupilPsf) -> float:
    depth = psf.wavelength_nm * psf.refractive_index / psf.numerical_aperture**2
    return min(depth, 1000.0)


def dense_start(take: Take, rng: np.random.Generator) -> None:
    """All molecules on in the first frames, until most are dark or bleached."""
    frames = int(rng.integers(5, take.settings.frames // 3))
    density = take.settings.density_per_um2 * rng.uniform(8, 30)
    told = {"frames": frames, "density_per_um2": density}
    movie = simulate_movie(take.settings.model_copy(update=told), np.random.default_rng(take.seed))
    stays = np.exp(-movie.emitters.frame / rng.uniform(0.2, 1) / frames)
    more = movie.emitters.select(rng.random(len(stays)) < stays)
    take.light[:frames] += take.settings.psf.image(more, take.pixel_nm, take.light[:frames].shape)
    extra = replace(movie, emitters=more).truth
    take.truth = Localizations.concatenate([take.truth, extra])
    take.shown[:frames] = np.minimum(take.shown[:frames], 0.5)


def uneven_background(take: Take, rng: np.random.Generator) -> None:
    """Light from out of focus, more in some places than in others."""
    uneven = Background(mean_photons=take.faint_photons(), unevenness=rng.uniform(0.2, 1))
    take.light += uneven.realise(take.background.shape, rng) - take.background


def bleaching(take: Take, rng: np.random.Generator) -> None:
    """A background that falls 2- to 13-fold, slowly or in the first frames."""
    y, x = np.indices(take.background.shape)
    place, width = rng.uniform(0.2, 0.8, 2) * y.shape, rng.uniform(0.15, 0.5) * len(y)
    blob = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * width**2))
    frame, fold = np.arange(len(take.light)), rng.uniform(2, 13)
    falls = np.exp(-frame / (rng.choice([0.06, 0.4, 1.0]) * len(frame)))
    level = take.faint_photons() * (fold - 1) * falls
    take.light += level[:, None, None] * (1 + rng.uniform(0, 1) * blob)


def flash(take: Take, rng: np.random.Generator) -> None:
    """The room's light, or a second laser, in a few frames."""
    lit = rng.choice(len(take.light), rng.integers(1, 6), replace=False)
    take.light[lit] += take.faint_photons() * rng.uniform(3, 30)
    take.shown[lit] = np.minimum(take.shown[lit], 0.5)


def vignetting(take: Take, rng: np.random.Generator) -> None:
    """Light that falls off towards the corners."""
    y, x = (
        grid / side - 0.5
        for grid, side in zip(np.indices(take.background.shape), take.background.shape, strict=True)
    )
    take.light *= 1 - rng.uniform(0.5, 0.9) * (y**2 + x**2) / 0.5


def dark_frames(take: Take, rng: np.random.Generator) -> None:
    """The shutter closed in some frames."""
    dark = some_frames(len(take.light), rng)
    take.light[dark], take.shown[dark] = 0, 0


def field_stop(take: Take, rng: np.random.Generator) -> None:
    """Dark surroundings."""
    lit = lit_area(take.background.shape, rng)
    take.light *= lit
    take.hide(lit < 0.5)


def splitter_gap(take: Take, rng: np.random.Generator) -> None:
    """A dark band between two halves of the sensor."""
    lit = np.ones(take.background.shape)
    start, width = int(rng.integers(5, len(lit) - 15)), int(rng.integers(3, 11))
    lit[start : start + width] = 0
    lit = ndimage.gaussian_filter1d(lit, rng.uniform(0, 1), axis=0)
    lit = lit if rng.random() < 0.5 else lit.T
    take.light *= lit
    take.hide(lit < 0.5)


# --- In the camera -------------------------------------------------------------------------------


def noise_free(take: Take, rng: np.random.Generator) -> None:
    """Computed frames without any noise, rounded."""
    counts = take.light * np.exp(rng.uniform(*np.log([0.3, 3]))) + rng.choice([0, 100])
    take.counts = np.rint(counts).clip(0, WHITE)


def saturated(take: Take, rng: np.random.Generator) -> None:
    """A camera whose limit lies below the brightest spots."""
    take.counts = take.counts.clip(max=np.round(np.percentile(take.counts, rng.uniform(98, 99.9))))


def cosmic_rays(take: Take, rng: np.random.Generator) -> None:
    """One to ten hits of one pixel or of a short track, of 3000 counts up to saturation."""
    for _ in range(rng.integers(1, 11)):
        angle, length = rng.uniform(0, np.pi), rng.choice([1, 1, rng.integers(2, 8)])
        frame, *start = (rng.integers(side) for side in take.counts.shape)
        track = start + np.arange(length)[:, None] * [np.sin(angle), np.cos(angle)]
        y, x = np.rint(track).astype(int).clip(0, np.array(take.counts.shape[1:]) - 1).T
        take.counts[frame, y, x] += np.exp(rng.uniform(*np.log([3000, WHITE])))
    take.counts = take.counts.clip(max=WHITE)


def faulty_lines(take: Take, rng: np.random.Generator) -> None:
    """Hot, saturated or dead columns, rows and blocks."""
    for _ in range(rng.integers(1, 4)):
        mask = np.zeros(take.background.shape, bool)
        sides = [(len(mask), 1), (1, len(mask)), (2, len(mask)), tuple(rng.integers(2, 8, 2))]
        height, width = sides[rng.integers(4)]
        y, x = rng.integers(len(mask) - height + 1), rng.integers(len(mask) - width + 1)
        mask[y : y + height, x : x + width] = True
        shape = (len(take.counts), int(mask.sum()))
        hot = take.counts[:, mask] + rng.poisson(rng.uniform(200, 2000), shape)
        broken = (hot, np.full(shape, WHITE), np.zeros(shape))[rng.integers(3)]
        take.counts[:, mask] = broken.clip(0, WHITE)
        take.hide(mask)


def flickering(take: Take, rng: np.random.Generator) -> None:
    """One to ten pixels that are hot in some frames."""
    mask = np.zeros(take.background.shape, bool)
    for y, x in rng.integers(mask.shape, size=(rng.integers(1, 11), 2)):
        on = rng.random(len(take.counts)) < rng.uniform(0.1, 0.7)
        take.counts[on, y, x] += np.exp(rng.uniform(*np.log([300, 5000])))
        mask[y, x] = True
    take.counts = take.counts.clip(max=WHITE)
    take.hide(mask)


def white_frames(take: Take, rng: np.random.Generator) -> None:
    """Frames that are white throughout."""
    white = some_frames(len(take.counts), rng)
    take.counts[white], take.shown[white] = WHITE, 0


def zero_frames(take: Take, rng: np.random.Generator) -> None:
    """Frames that were lost, and filled in with zeros."""
    lost = some_frames(len(take.counts), rng)
    take.counts[lost], take.shown[lost] = 0, 0


# --- After the camera ----------------------------------------------------------------------------


def filtered(take: Take, rng: np.random.Generator) -> None:
    """Smoothed by a Gaussian, by a median over neighbours or by one over three frames."""
    sigma = rng.uniform(0.4, 0.8)
    smooth = (
        lambda: ndimage.gaussian_filter(take.counts, (0, sigma, sigma)),
        lambda: ndimage.median_filter(take.counts, (1, 3, 3)),
        lambda: ndimage.median_filter(take.counts, (3, 1, 1)),
    )
    take.counts, take.dtype = smooth[rng.integers(3)](), _file_type(rng)


def _file_type(rng: np.random.Generator) -> type[np.generic]:
    return np.float32 if rng.random() < 0.3 else np.uint16


def denoised(take: Take, rng: np.random.Generator) -> None:
    """Small wavelet coefficients left out, or smoothed where there is little to see (Wiener)."""
    if rng.random() < 0.5:
        with np.errstate(divide="ignore", invalid="ignore"):  # where nothing varies
            smooth = np.stack([wiener(frame, 3) for frame in take.counts])
        clean = np.where(np.isfinite(smooth), smooth, take.counts)
    else:
        clean, strength = take.counts, rng.uniform(1.5, 3.5)
        details = []
        for step in (1, 2):
            smooth = ndimage.gaussian_filter(clean, (0, step, step))
            waves = clean - smooth
            least = strength * np.median(np.abs(waves)) / 0.67
            details.append(np.where(np.abs(waves) > least, waves, 0))
            clean = smooth
        clean = clean + sum(details)
    take.counts, take.dtype = clean.clip(0, WHITE), _file_type(rng)


def temporal_median_off(take: Take, rng: np.random.Generator) -> None:
    """Median or mean of every pixel taken off: clipped at 0, with an offset, or signed."""
    off = np.median(take.counts, 0) if rng.random() < 0.5 else take.counts.mean(0)
    rest = np.rint(take.counts - off)
    take.counts = (rest.clip(0), (rest + 100 - min(rest.min() + 100, 0)), rest)[rng.integers(3)]


def enlarged(take: Take, rng: np.random.Generator) -> None:
    """Twice as many pixels, copied or interpolated, or one and a half times as many."""
    factor, order = ((2, 0), (2, 1), (1.5, 1))[rng.integers(3)]
    told = {"order": order, "mode": "nearest", "grid_mode": True}
    take.counts = ndimage.zoom(take.counts, (1, factor, factor), **told).clip(0, WHITE)
    take.pixel_nm /= factor


def eight_bits(take: Take, rng: np.random.Generator) -> None:
    """Stretched to 8 bits, with the ends clipped; compressed with loss in half of the cases."""
    low, high = np.percentile(take.counts, [rng.uniform(0, 1), rng.uniform(99.5, 100)])
    counts = ((take.counts - low) / max(high - low, 1) * 255).clip(0, 255)
    if rng.random() < 0.5:
        level = int(rng.integers(70, 96))
        files = (imagecodecs.jpeg_encode(f.astype(np.uint8), level=level) for f in counts)
        counts = np.stack([imagecodecs.jpeg_decode(file) for file in files]).astype(float)
    take.counts, take.dtype = counts, np.uint8


def burnt_in(take: Take, rng: np.random.Generator) -> None:
    """A scale bar, or letters, as bright as can be."""
    mask = np.zeros(take.counts.shape[1:], bool)
    height, width = (int(n) for n in (rng.integers(2, 6), rng.integers(10, 25)))
    y, x = (
        int(rng.integers(1, side - n)) for side, n in zip(mask.shape, (height, width), strict=True)
    )
    mask[y : y + height, x : x + width] = True
    if rng.random() < 0.5:
        mask &= rng.random(mask.shape) < 0.6
    take.counts[:, mask] = 255 if take.dtype is np.uint8 else WHITE
    _hide_enlarged(take, mask)


def cleared(take: Take, rng: np.random.Generator) -> None:
    """All outside of a region set to zero, as Fiji's "Clear Outside" does."""
    mask = lit_area(take.counts.shape[1:], rng) < 0.5
    take.counts[:, mask] = 0
    _hide_enlarged(take, mask)


def _hide_enlarged(take: Take, mask: Mask) -> None:
    """Hide what is hidden in an enlarged movie."""
    y, x = (
        np.arange(side) * n // side
        for n, side in zip(mask.shape, take.background.shape, strict=True)
    )
    take.hide(mask[np.ix_(y, x)])


def _named(*troubles: Trouble) -> dict[str, Trouble]:
    return {each.__name__: each for each in troubles}


LIGHT = {
    **_named(astigmatism, defocus, dense_start, uneven_background, bleaching),
    **_named(flash, vignetting, dark_frames, field_stop, splitter_gap),
}
COUNTS = {
    **_named(noise_free, saturated, flickering, cosmic_rays, faulty_lines),
    **_named(white_frames, zero_frames),
}
PROCESSING = {
    **_named(filtered, denoised, temporal_median_off, enlarged),
    **_named(eight_bits, cleared, burnt_in),
}
TROUBLES = LIGHT | COUNTS | PROCESSING
