"""A network over frames of any size: tile by tile, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from deepstorm.errors import InputError
from deepstorm.models.checkpoint import Network, NetworkCard
from deepstorm.models.devices import DeviceName
from deepstorm.reconstruction.engines import choose_engine
from deepstorm.reconstruction.refining import refine
from deepstorm.reconstruction.sums import MovieSums, TilePrediction
from deepstorm.reconstruction.tiling import Span, tiles

Float32Array = npt.NDArray[np.float32]
Piece = tuple[Span, Span]

# Tiles of this many camera pixels a side keep a network's features within a few hundred MB.
TILE_PX = 256
# Sums are kept for pieces of the field of so many super-resolution pixels, 0.8 GB; a larger field
# is done piece after piece, and its movie read as often.
VALUES_PER_PIECE = 2**25


class Predictor:
    """A network ready to run, and what it needs to see around each part of the field.

    Parameters
    ----------
    network : Network
    card : NetworkCard
    device : str
        See :func:`~deepstorm.reconstruction.engines.choose_engine`.
    upsampling : int, optional
        Super-resolution pixels per camera pixel; a divisor of the network's own, which is the
        default. Pixels of a coarser image are sums of the network's.

    Raises
    ------
    InputError
        If the network cannot give that upsampling, or the device is not there.
    """

    def __init__(
        self,
        network: Network,
        card: NetworkCard,
        device: DeviceName = "auto",
        upsampling: int | None = None,
    ) -> None:
        self.upsampling = upsampling if upsampling is not None else network.upsampling
        if self.upsampling < 1 or network.upsampling % self.upsampling:
            raise InputError(
                f"the network '{card.name}' gives {network.upsampling} × {network.upsampling} "
                f"pixels per camera pixel; an upsampling of {self.upsampling} cannot be made of "
                "that: choose a divisor of it"
            )
        self._network = network
        margin_px = math.ceil(card.rendering.margin_px / network.upsampling)
        self._halo = network.halo_px + self._whole(margin_px)
        self.engine = choose_engine(network, card.rendering, device)

    @property
    def fine_upsampling(self) -> int:
        """Super-resolution pixels per camera pixel of the network, in which sums are kept."""
        return self._network.upsampling

    def pieces(self, height: int, width: int) -> list[Piece]:
        """Divide a field of camera pixels into pieces whose sums fit in memory, with their halos.

        The image of a piece's core is the same as if the field were in one piece.
        """
        refiner, upsampling = self._network.refiner, self._network.upsampling
        refined_px = 0 if refiner is None else math.ceil(refiner.halo_px / upsampling)
        halo = self._halo + self._whole(refined_px)
        side = self._whole(math.isqrt(VALUES_PER_PIECE) // upsampling)
        side = max(side, 2 * halo + self._network.divisor)
        return [
            (rows.limited(height), columns.limited(width))
            for rows, columns in tiles((self._whole(height), self._whole(width)), side, halo)
        ]

    def sums(self, piece: Piece) -> MovieSums:
        """Return the sums over no frames for a piece."""
        height, width = ((span.stop - span.start) * self.fine_upsampling for span in piece)
        return MovieSums.zeros(height, width)

    def predict(self, scaled: Float32Array, first_frame: int) -> Iterator[TilePrediction]:
        """Run the network over scaled frames, (frame, channel, y, x), tile by tile."""
        upsampling = self.fine_upsampling
        height, width = scaled.shape[2:]
        whole = self._whole(height), self._whole(width)
        beyond = ((0, 0), (0, 0), (0, whole[0] - height), (0, whole[1] - width))
        # Repeating the last pixels deceives networks least: a mirror image doubles emitters there.
        padded = np.pad(scaled, beyond, mode="edge")
        # Of any tile some is kept, whatever the halo.
        tile_px = max(TILE_PX, 2 * self._halo + self._network.divisor)
        for all_rows, all_columns in tiles(whole, tile_px, self._halo):
            prediction = self.engine(padded[..., all_rows.seen, all_columns.seen])
            # Light that was filled up is no emitter: no peak may be sought there.
            rows, columns = all_rows.limited(height), all_columns.limited(width)
            seen = (slice(None), rows.seen_within(upsampling), columns.seen_within(upsampling))
            yield TilePrediction(
                expected=prediction.expected[seen],
                image=prediction.image[seen],
                rows=rows,
                columns=columns,
                upsampling=upsampling,
                first_frame=first_frame,
            )

    def image(self, sums: MovieSums) -> npt.NDArray[np.floating[Any]]:
        """Return the gathered sum of a piece, refined where the network has a refiner."""
        refiner = self._network.refiner
        return sums.gathered if refiner is None else refine(refiner, sums.stacked())

    def coarser(self, fine: npt.NDArray[np.floating[Any]]) -> Float32Array:
        """Sum the network's pixels into those of the image."""
        factor = self.fine_upsampling // self.upsampling
        height, width = fine.shape[0] // factor, fine.shape[1] // factor
        coarse = fine.reshape(height, factor, width, factor).sum(axis=(1, 3))
        return np.asarray(coarse, np.float32)

    def _whole(self, length_px: int) -> int:
        """Round up to what the network can take."""
        return math.ceil(length_px / self._network.divisor) * self._network.divisor
