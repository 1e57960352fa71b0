"""How well the frames of a movie are explained: the record of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from deepstorm.arrays import Float64Array, IntArray
from deepstorm.estimates import Estimate, plain


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How well the frames of a movie are explained by what was found in them.

    A residual is a frame less what is expected of it: background and emitters, seen through the
    PSF. Variances are in units of the one that is expected, so that they are 1 if all is right.
    Uncertainties are infinite where there was nothing to measure.

    Parameters
    ----------
    frames : ndarray of int, shape (frame,)
        Frames that were looked at.
    frame_variance : ndarray of float64, shape (frame,)
        Variance of the residuals of each.
    variance, near_variance, away_variance : Estimate
        The same of all frames: everywhere, near emitters, and away from them.
    noise_variance : Estimate
        The same going by what alternates from pixel to pixel along both axes, which no light does.
    noise_adu2 : Estimate
        The variance of this noise, away from emitters, in squared counts.
    correlation_x, correlation_y, correlation_diagonal : Estimate
        Correlation of the residuals of neighbours away from emitters.
    shared_x, shared_y : Estimate
        The same, less what is light of emitters that were missed.
    fineness : Estimate
        Size of what alternates from pixel to pixel along both axes, over the size of what does so
        along one alone: 1 for noise that no two pixels share, whatever its scale.
    unexplained_share : Estimate
        Residual light over the light of emitters.
    spots : int
        Emitters, alone and bright, whose spots were compared with the PSF.
    widening : Estimate
        By how much the variance of spots exceeds that of the PSF, as a part of that.
    elongation : Estimate
        Half the difference of the variances of spots along their longer and their shorter axis, as
        a part of the PSF's: 0 for round spots, near 1 for lines.
    elongation_degrees : float
        Direction of the longer axis, from x towards y.
    spot_residual : ndarray of float64, shape (y, x)
        Mean residual around these emitters, as a part of their light.
    steady_variance : Estimate
        Variance between neighbouring pixels of the mean of all frames, which noise alone decides.
    pattern_variance : float
        Variance between neighbouring pixels that all frames have in common, such as that of the
        offsets of an sCMOS camera, over that of the noise away from emitters.
    block_px : int
        Side of the blocks of the maps.
    variance_map : ndarray of float64, shape (block down, block right)
        Variance of the residuals; not a number where no pixel was looked at, as in the others.
    unexplained_map, significance_map : ndarray of float64, shape (block down, block right)
        Residual light as a part of all light, and in standard deviations of its noise.
    emitters : float
        Expected emitters of the image.
    calibrated_emitters : Estimate
        Those of the density that was measured in the movie.
    """

    frames: IntArray
    frame_variance: Float64Array
    variance: Estimate
    near_variance: Estimate
    away_variance: Estimate
    noise_variance: Estimate
    noise_adu2: Estimate
    correlation_x: Estimate
    correlation_y: Estimate
    correlation_diagonal: Estimate
    shared_x: Estimate
    shared_y: Estimate
    fineness: Estimate
    unexplained_share: Estimate
    spots: int
    widening: Estimate
    elongation: Estimate
    elongation_degrees: float
    spot_residual: Float64Array
    steady_variance: Estimate
    pattern_variance: float
    block_px: int
    variance_map: Float64Array
    unexplained_map: Float64Array
    significance_map: Float64Array
    emitters: float
    calibrated_emitters: Estimate

    @property
    def figures(self) -> dict[str, Any]:
        """Return all of it ready for JSON; what is not finite is ``None``."""
        return {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}
