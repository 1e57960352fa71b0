"""FALCON: sparse deconvolution, then emitters off the grid by a Taylor expansion of the PSF."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from deepstorm.arrays import AnyArray
from deepstorm.baselines.imaging import Imaging, ImagingConditions
from deepstorm.baselines.spots import Emitters, TaylorSpots, solve_damped
from deepstorm.baselines.weighted_lasso import minimise_weighted_l1
from deepstorm.config import Settings
from deepstorm.models.devices import find_device
from deepstorm.structures import Localizations

# Expected photons of a pixel below which its weight grows no further.
LEAST_VARIANCE = 1.0
# Marquardt's damping of a round, and its conjugate gradient iterations: what a round leaves undone
# is done by the next.
DAMPING = 0.05
GRADIENT_ITERATIONS = 12
# Rounds after which emitters that met are joined and dim ones are dropped.
ROUNDS_BETWEEN = 4
# Photons that no emitter falls below within the rounds, so that it can recover.
LEAST_PHOTONS = 1e-3


class FalconSettings(Settings):
    """How FALCON deconvolves and localizes.

    Parameters
    ----------
    upsampling : int
        Fine pixels per camera pixel along each axis in the deconvolution.
    penalty : float
        Weight of the ℓ1 norm, in standard deviations of the noise: an emitter that is alone is
        seen where it is so many times as bright as its photons are uncertain.
    admm_iterations : int
        Iterations of the deconvolution for each set of weights.
    reweightings : int
        Times that the ℓ1 norm is weighted anew by what was found, so that bright emitters are
        penalised less than what surrounds them.
    group_reach_px : int
        Half side, in fine pixels, of the square around a maximum that is taken for one emitter.
    taylor_rounds : int
        Times that the PSF is expanded around the present places and the emitters are moved.
    max_step_px : float
        Largest move along either axis in a round, in camera pixels; the expansion is no good
        farther away.
    merge_px : float
        Emitters that come nearer to each other than this, in camera pixels, become one.
    min_significance : float
        Emitters dimmer than so many standard deviations of their photons are dropped.
    frames_at_once : int
        Frames that are handled together; changes memory and speed alone.
    """

    upsampling: int = Field(default=4, ge=1, le=32)
    penalty: float = Field(default=3.0, gt=0)
    admm_iterations: int = Field(default=60, ge=1)
    reweightings: int = Field(default=2, ge=0)
    group_reach_px: int = Field(default=1, ge=1, le=8)
    taylor_rounds: int = Field(default=24, ge=0)
    max_step_px: float = Field(default=0.1, gt=0)
    merge_px: float = Field(default=0.3, ge=0)
    min_significance: float = Field(default=4.0, ge=0)
    frames_at_once: int = Field(default=8, ge=1)


class Falcon:
    """Localize as FALCON does [1]_, in three stages.

    1. Deconvolution on a fine grid: least squares weighted by the expected noise, with an ℓ1 norm
       weighted anew in space, by ADMM.
    2. What lies together on the grid becomes an emitter at its centre of light, and all emitters
       of a frame move freely, each fit linear in a Taylor expansion of the PSF.
    3. Between the fits, emitters that have met are joined and dim ones are dropped; the last fits
       are free of any penalty, so that photons and places are unbiased. Any that meet in these
       are joined at their centre of light, without another fit.

    Parameters
    ----------
    conditions : ImagingConditions
    settings : FalconSettings, optional
    device : str
        As :func:`deepstorm.models.devices.find_device`.

    Notes
    -----
    The published method expands the PSF around every grid point that is not zero and groups
    afterwards; here grouping comes first and the expansion is renewed as the emitters move. The
    background is given rather than estimated.

    References
    ----------
    .. [1] Min et al., "FALCON: fast and unbiased reconstruction of high-density super-resolution
       microscopy data", Scientific Reports 4, 4577 (2014), doi 10.1038/srep04577.
    """

    def __init__(
        self,
        conditions: ImagingConditions,
        settings: FalconSettings | None = None,
        device: str = "cpu",
    ) -> None:
        self.conditions = conditions
        self.settings = settings or FalconSettings()
        self.device = find_device(device)

    def localize(self, frames: AnyArray, first_frame: int = 0) -> Localizations:
        """Find the emitters of each frame; see :class:`deepstorm.baselines.imaging.Baseline`."""
        parts = [Localizations.concatenate([])]
        for start in range(0, len(frames), self.settings.frames_at_once):
            light = self._light(frames[start : start + self.settings.frames_at_once])
            emitters = self._moved(self._grouped(self._deconvolved(light)), light)
            parts.append(self._table(emitters, first_frame + start))
        return Localizations.concatenate(parts[1:] or parts)

    def deconvolve(self, frames: AnyArray) -> Tensor:
        """Return stage 1 alone: effective photons on the grid, (frame, fine y, fine x).

        Raises
        ------
        InputError
            If the frames are not three-dimensional, empty or not finite.
        """
        return self._deconvolved(self._light(frames))

    def _light(self, frames: AnyArray) -> Tensor:
        """Return effective photons without the background."""
        light = self.conditions.photons(frames, self.device)
        return light - self.conditions.background_photons

    def _deconvolved(self, light: Tensor) -> Tensor:
        chosen, sigma_px = self.settings, self.conditions.instrument.sigma_px
        shape = (light.shape[1], light.shape[2])
        imaging = Imaging.gaussian(shape, sigma_px, chosen.upsampling, self.device)
        weights = self._weights(_smoothed(light))
        # The uncertainty of an emitter's photons is one over this.
        certainty = Imaging(imaging.rows**2, imaging.columns**2).adjoint(weights).sqrt()
        penalty = chosen.penalty * certainty
        photons = light.new_zeros(certainty.shape)
        for _ in range(chosen.reweightings + 1):
            near = functional.avg_pool2d(photons, 3, 1, 1, divisor_override=1)
            relative = chosen.penalty / (chosen.penalty + near * certainty)
            photons = minimise_weighted_l1(
                light, imaging, weights, penalty * relative, photons, chosen.admm_iterations
            )
        return photons

    def _weights(self, expected: Tensor) -> Tensor:
        """Return one over the variance of Poisson noise."""
        background = max(self.conditions.background_photons, LEAST_VARIANCE)
        return 1 / (expected.clamp(min=0) + background)

    def _grouped(self, photons: Tensor) -> Emitters:
        """Make an emitter of each local maximum, at the centre of the light around it."""
        reach = self.settings.group_reach_px
        mass, down, right = _moments(photons, reach)
        # Half a weight beside the middle: a maximum is on the brighter of two pixels.
        peaked = photons + 0.5 * mass
        highest = functional.max_pool2d(peaked, 2 * reach + 1, 1, reach)
        frame, row, column = torch.nonzero((peaked == highest) & (mass > 0), as_tuple=True)
        light = mass[frame, row, column]
        y = (row + 0.5 + down[frame, row, column] / light) / self.settings.upsampling
        x = (column + 0.5 + right[frame, row, column] / light) / self.settings.upsampling
        return _padded(frame, light, y, x, len(photons))

    def _moved(self, emitters: Emitters, light: Tensor) -> Emitters:
        """Move the emitters to where they explain the light, joining and dropping between."""
        rounds = self.settings.taylor_rounds
        for index in range(rounds):
            emitters = self._step(emitters, light)
            if index % ROUNDS_BETWEEN == ROUNDS_BETWEEN - 1 and index < rounds - ROUNDS_BETWEEN:
                emitters = _merged(emitters, self.settings.merge_px)
                emitters = self._without_dim(emitters, light)
        return self._without_dim(_merged(emitters, self.settings.merge_px), light)

    def _step(self, emitters: Emitters, light: Tensor) -> Emitters:
        """Fit the first-order model once and renew the places."""
        height, width = light.shape[1:]
        spots, expected = self._expected(emitters, light)
        weights, residual = self._weights(expected), light - expected
        change = solve_damped(spots, weights, residual, DAMPING, GRADIENT_ITERATIONS)
        renewed = (emitters.photons + change[0]).clamp(min=LEAST_PHOTONS)
        photons = torch.where(emitters.there, renewed, 0.0)
        reach = self.settings.max_step_px
        # Divided by the larger one, so that an emitter that fades does not run away.
        steps = change[1:] / torch.maximum(photons, emitters.photons).clamp(min=LEAST_PHOTONS)
        down, right = steps.clamp(-reach, reach)
        return Emitters(
            photons,
            (emitters.y_px + down).clamp(0, height),
            (emitters.x_px + right).clamp(0, width),
        )

    def _expected(self, emitters: Emitters, light: Tensor) -> tuple[TaylorSpots, Tensor]:
        """Return the spots and the light that is expected of them."""
        shape = (light.shape[1], light.shape[2])
        spots = TaylorSpots.around(emitters, self.conditions.instrument.sigma_px, shape)
        still = torch.zeros_like(emitters.photons)
        return spots, spots.image(torch.stack([emitters.photons, still, still]))

    def _without_dim(self, emitters: Emitters, light: Tensor) -> Emitters:
        """Drop emitters whose light could be noise."""
        spots, expected = self._expected(emitters, light)
        certainty = spots.curvature(self._weights(expected))[0].sqrt()
        bright = emitters.photons * certainty >= self.settings.min_significance
        return _compacted(emitters, bright & emitters.there)

    def _table(self, emitters: Emitters, first_frame: int) -> Localizations:
        frame, index = torch.nonzero(emitters.there, as_tuple=True)
        columns = [
            values[frame, index].cpu().numpy().astype(np.float64)
            for values in (emitters.x_px, emitters.y_px, emitters.photons)
        ]
        pixel_nm = self.conditions.pixel_size_nm
        return Localizations(
            frame=frame.cpu().numpy().astype(np.int64) + first_frame,
            x_nm=columns[0] * pixel_nm,
            y_nm=columns[1] * pixel_nm,
            photons=columns[2],
        )


def _smoothed(light: Tensor) -> Tensor:
    """Average 3 × 3 pixels: an expectation good enough to weight a first fit by."""
    return functional.avg_pool2d(light, 3, 1, 1, count_include_pad=False)


def _moments(photons: Tensor, reach: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return light and its first moments (down, right) in the square around each fine pixel."""
    side = 2 * reach + 1
    offset = torch.arange(-reach, reach + 1, dtype=photons.dtype, device=photons.device)
    one = torch.ones_like(offset)
    kernels = torch.stack(
        [torch.outer(one, one), torch.outer(offset, one), torch.outer(one, offset)]
    )
    sums = functional.conv2d(photons[:, None], kernels.view(3, 1, side, side), padding=reach)
    mass, down, right = sums.unbind(dim=1)
    # Sums of zeros may be a rounding error away from zero.
    return torch.where(mass > LEAST_PHOTONS, mass, 0.0), down, right


def _padded(frame: Tensor, photons: Tensor, y: Tensor, x: Tensor, frames: int) -> Emitters:
    """Arrange a list that is ordered by frame as (frame, emitter)."""
    counts = torch.bincount(frame, minlength=frames)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(frame), device=frame.device) - first[frame]
    columns = photons.new_zeros((3, frames, max(int(counts.max()), 1)))
    columns[:, frame, place] = torch.stack([photons, y, x])
    return Emitters(columns[0], columns[1], columns[2])


def _compacted(emitters: Emitters, keep: Tensor) -> Emitters:
    """Return the chosen emitters with as little padding as they need."""
    frame, index = torch.nonzero(keep, as_tuple=True)
    columns = (emitters.photons, emitters.y_px, emitters.x_px)
    photons, y, x = (values[frame, index] for values in columns)
    return _padded(frame, photons, y, x, len(keep))


def _merged(emitters: Emitters, distance_px: float) -> Emitters:
    """Join each emitter to a brighter one nearby, at their common centre of light."""
    there = emitters.there
    place = torch.stack([emitters.y_px, emitters.x_px], dim=-1)
    near = torch.cdist(place, place, compute_mode="donot_use_mm_for_euclid_dist") < distance_px
    order = torch.arange(place.shape[1], device=place.device)
    light, other = emitters.photons[:, :, None], emitters.photons[:, None, :]
    brighter = (other > light) | ((other == light) & (order[None, :] < order[:, None]))
    candidate = near & brighter & there[:, :, None] & there[:, None, :]
    # One that has a brighter neighbour joins the brightest; of a chain, only every other one goes.
    target = torch.where(candidate, other, -1.0).argmax(dim=2)
    joins = candidate.any(dim=2)
    joins &= ~torch.gather(joins, 1, target)
    gives = torch.where(joins, emitters.photons, 0.0)
    total = torch.where(joins, 0.0, emitters.photons).scatter_add(1, target, gives)
    sums = [
        torch.where(joins, 0.0, emitters.photons * values).scatter_add(1, target, gives * values)
        / total.clamp(min=1e-6)
        for values in (emitters.y_px, emitters.x_px)
    ]
    return _compacted(Emitters(total, sums[0], sums[1]), there & ~joins)
