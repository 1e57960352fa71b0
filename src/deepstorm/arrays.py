"""Names of the types that travel through the package."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

PathLike = str | os.PathLike[str]

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.floating[Any]]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
RgbArray = npt.NDArray[np.uint8]
