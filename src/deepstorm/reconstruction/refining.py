"""Run a refiner over the sums of a movie, tile by tile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.models.architectures import RefinementSettings
from deepstorm.reconstruction.tiling import tiles

# Tiles of this many super-resolution pixels a side keep a refiner's features within 300 MB.
TILE_PX = 1024
# What lies beyond the border is taken to be its mirror image for so many pixels: were it nothing, a
# refiner would draw a line where a structure is cut off by the border.
MIRRORED_PX = 24


def refine(
    run: Callable[[Float32Array], Float32Array], refinement: RefinementSettings, sums: Float32Array
) -> Float32Array:
    """Return the refined image, shape (y, x).

    Its total is about that of the gathered sum: as much crosses the border inwards as outwards.

    Parameters
    ----------
    run : callable
        Makes an image of the sums over a tile; see
        :meth:`~deepstorm.reconstruction.engines.protocol.Engine.refine`.
    refinement : RefinementSettings
        Of the refiner that it runs.
    sums : ndarray of float32, shape (3, y, x)
        Sums over a movie, in the order that the refiner takes.
    """
    beyond = (MIRRORED_PX, MIRRORED_PX)
    mirrored = np.pad(sums, ((0, 0), beyond, beyond), mode="symmetric")
    _, height, width = mirrored.shape
    # Tiles begin where pooling cells do, so that they tile whole cells; the last ones end earlier.
    whole = _whole(height, refinement.divisor), _whole(width, refinement.divisor)
    image = np.empty((height, width), np.float32)
    for all_rows, all_columns in tiles(whole, TILE_PX, refinement.halo_px, refinement.divisor):
        rows, columns = all_rows.limited(height), all_columns.limited(width)
        refined = run(mirrored[:, rows.seen, columns.seen])
        image[rows.core(1), columns.core(1)] = refined[rows.core_within(1), columns.core_within(1)]
    return image[MIRRORED_PX:-MIRRORED_PX, MIRRORED_PX:-MIRRORED_PX]


def _whole(length: int, divisor: int) -> int:
    """Round up to a multiple of the divisor."""
    return -(-length // divisor) * divisor
