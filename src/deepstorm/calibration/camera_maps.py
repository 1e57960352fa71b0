"""What is known of each pixel of a sensor: maps of offset, gain and read noise.

Each pixel of an sCMOS camera has an amplifier of its own. Maps of them come from dark frames and
from frames of even light (Huang et al. 2013, doi 10.1038/nmeth.2488), and other programs use the
same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import AnyArray, BoolArray, Float32Array, FloatArray
from deepstorm.calibration.faults import HotPixels
from deepstorm.errors import InputError

# A pixel is filled in from its neighbours if its read noise has this many times the usual variance:
# it would count as light.
NOISY = 25.0


@dataclass(frozen=True, slots=True, eq=False)
class CameraMaps:
    """What is known of each pixel of a sensor.

    Parameters
    ----------
    offset_adu : ndarray, shape (y, x), optional
        Mean counts in the dark.
    gain : ndarray, shape (y, x), optional
        Counts per electron, or anything proportional to it; above 0.
    variance_adu2 : ndarray, shape (y, x), optional
        Variance of the counts in the dark.

    Raises
    ------
    InputError
        If a map is not a finite image, gains are not above 0 or variances negative, or the sizes
        differ.
    """

    offset_adu: FloatArray | None = None
    gain: FloatArray | None = None
    variance_adu2: FloatArray | None = None

    def __post_init__(self) -> None:
        for name, least in (("offset_adu", -np.inf), ("gain", 0.0), ("variance_adu2", -1e-12)):
            image = getattr(self, name)
            if image is None:
                continue
            if image.ndim != 2 or not np.isfinite(image).all() or not (image > least).all():
                raise InputError(
                    f"the camera map of {name.split('_')[0]} cannot be used; expected an image of "
                    "finite numbers, gains above 0 and variances of at least 0"
                )
        shapes = {image.shape for image in self._given()}
        if len(shapes) > 1:
            raise InputError(
                f"the camera maps have different sizes, {sorted(shapes)} (y, x); give maps of one "
                "sensor"
            )

    def _given(self) -> list[FloatArray]:
        maps = (self.offset_adu, self.gain, self.variance_adu2)
        return [image for image in maps if image is not None]

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Size (y, x) of the maps, if there is any."""
        given = self._given()
        return given[0].shape if given else None

    @property
    def noisy(self) -> BoolArray | None:
        """Pixels whose read noise would count as light."""
        if self.variance_adu2 is None:
            return None
        usual = max(float(np.median(self.variance_adu2)), 1e-12)
        noisy: BoolArray = self.variance_adu2 > NOISY * usual
        return noisy

    def even(self, frames: AnyArray) -> Float32Array:
        """Return frames, shape (frame, y, x), as an even sensor would have recorded them."""
        result = np.array(frames, np.float32)
        if self.offset_adu is not None:
            usual = np.median(self.offset_adu)
            result -= (self.offset_adu - usual).astype(np.float32)
        if self.gain is not None:
            level = np.float32(0 if self.offset_adu is None else np.median(self.offset_adu))
            factor = (np.median(self.gain) / self.gain).astype(np.float32)
            result = (result - level) * factor + level
        noisy = self.noisy
        return result if noisy is None else HotPixels(noisy).repair(result)
