"""A network over frames of any size: tile by tile, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from deepstorm.arrays import Float32Array, FloatArray
from deepstorm.errors import InputError
from deepstorm.models.devices import DeviceName
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.emitters.peaks import PeakSettings
from deepstorm.reconstruction.engines.choice import EngineName, choose_engine
from deepstorm.reconstruction.refining import refine
from deepstorm.reconstruction.sums import MovieSums, TilePrediction
from deepstorm.reconstruction.tiling import Span, tiles

Piece = tuple[Span, Span]

# Tiles are so large that a network holds this many values at once, 0.5 GB, and no larger than these
# camera pixels a side. The larger they are, the less of them is halo.
FEATURES_PER_TILE = 2**27
TILE_PX = 512
# Sums are kept for pieces of the field of so many super-resolution pixels, 0.8 GB; a larger field
# is done piece after piece, and its movie read as often.
VALUES_PER_PIECE = 2**25


class Predictor:
    """A network ready to run, and what it needs to see around each part of the field.

    Parameters
    ----------
    network : TrainedNetwork
    device, engine : str
        See :func:`~deepstorm.reconstruction.engines.choice.choose_engine`.
    upsampling : int, optional
        Super-resolution pixels per camera pixel; a divisor of the network's own, which is the
        default. Pixels of a coarser image are sums of the network's.

    Raises
    ------
    InputError
        If the network cannot give that upsampling, or the device or the engine is not there.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        device: DeviceName = "auto",
        upsampling: int | None = None,
        engine: EngineName = "auto",
    ) -> None:
        card = network.card
        fine = card.network.upsampling
        self.upsampling = upsampling if upsampling is not None else fine
        if self.upsampling < 1 or fine % self.upsampling:
            raise InputError(
                f"the network '{card.name}' gives {fine} × {fine} pixels per camera pixel; an "
                f"upsampling of {self.upsampling} cannot be made from that: choose a divisor of "
                "it"
            )
        self._network = card.network
        self._refinement = card.refinement
        margin_px = math.ceil(max(card.rendering.margin_px, PeakSettings().context_px) / fine)
        self._halo = self._network.halo_px + self._whole(margin_px)
        self.engine = choose_engine(network, device, engine)

    @property
    def fine_upsampling(self) -> int:
        """Super-resolution pixels per camera pixel of the network, in which sums are kept."""
        return self._network.upsampling

    @property
    def channels(self) -> int:
        """Channels of a scaled frame that the network takes."""
        return self._network.channels

    def pieces(self, height: int, width: int) -> list[Piece]:
        """Divide a field of camera pixels into pieces whose sums fit in memory, with their halos.

        The image of a piece's core is the same as if the field were in one piece.
        """
        refinement, upsampling = self._refinement, self._network.upsampling
        refined_px = 0 if refinement is None else math.ceil(refinement.halo_px / upsampling)
        halo = self._halo + self._whole(refined_px)
        side = self._whole(math.isqrt(VALUES_PER_PIECE) // upsampling)
        divisor = self._network.divisor
        side = max(side, 2 * halo + divisor)
        whole = self._whole(height), self._whole(width)
        return [
            (rows.limited(height), columns.limited(width))
            for rows, columns in tiles(whole, side, halo, divisor)
        ]

    def sums(self, piece: Piece) -> MovieSums:
        """Return the sums over no frames for a piece."""
        height, width = ((span.stop - span.start) * self.fine_upsampling for span in piece)
        return MovieSums.zeros(height, width)

    def predict(
        self, scaled: Float32Array, first_frame: int, *, maxima: bool
    ) -> Iterator[TilePrediction]:
        """Run the network over scaled frames, (frame, channel, y, x), tile by tile.

        Localizations are found faster in tiles whose maxima were sought.
        """
        upsampling = self.fine_upsampling
        height, width = scaled.shape[2:]
        whole = self._whole(height), self._whole(width)
        beyond = ((0, 0), (0, 0), (0, whole[0] - height), (0, whole[1] - width))
        # Repeating the last pixels deceives networks least: a mirror image doubles emitters there.
        padded = np.pad(scaled, beyond, mode="edge")
        divisor = self._network.divisor
        for all_rows, all_columns in tiles(whole, self._tile_px, self._halo, divisor):
            # Light that was filled up is no emitter: no peak may be sought there.
            rows, columns = all_rows.limited(height), all_columns.limited(width)
            lit = (rows.stop - rows.start, columns.stop - columns.start)
            prediction = self.engine(
                padded[..., all_rows.seen, all_columns.seen],
                maxima_within=lit if maxima else None,
            )
            seen = (slice(None), rows.seen_within(upsampling), columns.seen_within(upsampling))
            yield TilePrediction(
                expected=prediction.expected[seen],
                image=prediction.image[seen],
                rows=rows,
                columns=columns,
                upsampling=upsampling,
                first_frame=first_frame,
                maxima=None if prediction.maxima is None else prediction.maxima[seen],
            )

    def image(self, sums: MovieSums) -> FloatArray:
        """Return the gathered sum of a piece, refined where the network has a refiner."""
        if self._refinement is None:
            return sums.gathered
        return refine(self.engine.refine, self._refinement, sums.stacked())

    def coarser(self, fine: FloatArray) -> Float32Array:
        """Sum the network's pixels into those of the image."""
        factor = self.fine_upsampling // self.upsampling
        height, width = fine.shape[0] // factor, fine.shape[1] // factor
        coarse = fine.reshape(height, factor, width, factor).sum(axis=(1, 3))
        return np.asarray(coarse, np.float32)

    @property
    def _tile_px(self) -> int:
        """Side of a tile in camera pixels; of any tile some is kept, whatever the halo."""
        divisor = self._network.divisor
        affordable = math.isqrt(FEATURES_PER_TILE // self._network.features_per_px)
        return max(min(TILE_PX, affordable // divisor * divisor), 2 * self._halo + divisor)

    def _whole(self, length_px: int) -> int:
        """Round up to what the network can take."""
        return math.ceil(length_px / self._network.divisor) * self._network.divisor
