"""A filter that no light of emitters passes, and the noise of any camera does.

What alternates from pixel to pixel along both axes is beyond what optics transmit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deepstorm.arrays import Float64Array, FloatArray

# Of unit size: white noise keeps its variance.
TAPS = np.array([1.0, -6.0, 15.0, -20.0, 15.0, -6.0, 1.0])
TAPS /= np.sqrt((TAPS**2).sum())
REACH_PX = len(TAPS) // 2
# Neighbouring outputs of the filter are correlated: this many are worth one.
CORRELATED = 10.0


def filtered(images: FloatArray, taps: Float64Array = TAPS) -> npt.NDArray[np.floating]:
    """Filter images along both axes, shape (..., y, x); they go on as in a mirror."""
    once = ndimage.correlate1d(images, taps, axis=-1, mode="mirror")
    return np.asarray(ndimage.correlate1d(once, taps, axis=-2, mode="mirror"))
