"""Run a refiner over the sums of a movie, tile by tile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from deepstorm.models.refinement import Refiner
from deepstorm.reconstruction.tiling import tiles

Float32Array = npt.NDArray[np.float32]

# Tiles of this many super-resolution pixels a side keep a refiner's features within 300 MB.
TILE_PX = 1024


# What lies beyond the border is taken to be its mirror image for so many pixels: were it nothing, a
# refiner would draw a line where a structure is cut off by the border.
MIRRORED_PX = 24


def refine(refiner: Refiner, sums: Float32Array) -> Float32Array:
    """Return the refined image, shape (y, x).

    Its total is about that of the gathered sum: as much crosses the border inwards as outwards.

    Parameters
    ----------
    refiner : Refiner
    sums : ndarray of float32, shape (3, y, x)
        Sums over a movie, in the order that the refiner takes.
    """
    beyond = (MIRRORED_PX, MIRRORED_PX)
    mirrored = _by_tiles(refiner, np.pad(sums, ((0, 0), beyond, beyond), mode="symmetric"))
    return mirrored[MIRRORED_PX:-MIRRORED_PX, MIRRORED_PX:-MIRRORED_PX]


@torch.inference_mode()
def _by_tiles(refiner: Refiner, sums: Float32Array) -> Float32Array:
    height, width = sums.shape[1:]
    # Tiles begin where pooling cells do, so that they tile whole cells; the last ones end earlier.
    whole = tuple(-(-length // refiner.divisor) * refiner.divisor for length in (height, width))
    image = np.empty((height, width), np.float32)
    for all_rows, all_columns in tiles((whole[0], whole[1]), TILE_PX, refiner.halo_px):
        rows, columns = all_rows.limited(height), all_columns.limited(width)
        seen = torch.from_numpy(np.ascontiguousarray(sums[None, :, rows.seen, columns.seen]))
        refined = refiner(seen)[0, 0].numpy()
        image[rows.core(1), columns.core(1)] = refined[rows.core_within(1), columns.core_within(1)]
    return image
