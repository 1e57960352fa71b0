"""What an engine does, whichever runtime it has."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from deepstorm.arrays import AnyArray, BoolArray, Float32Array


class Prediction(NamedTuple):
    """What an engine says of some frames, each (frame, y · upsampling, x · upsampling).

    Parameters
    ----------
    expected : ndarray of float32
        Expected emitters per super-resolution pixel: a posterior.
    image : ndarray of float32
        What each frame adds to the image, with the same sum.
    maxima : ndarray of bool, optional
        Local maxima of the smoothed expectation, where peaks have to be sought; absent unless it
        was asked for.
    """

    expected: Float32Array
    image: Float32Array
    maxima: BoolArray | None = None


class Engine(Protocol):
    """Runs all parts of a network on arrays.

    It is made of the network, with ``device`` and ``peaks`` by name, as :class:`TorchEngine
    <deepstorm.reconstruction.engines.torch_engine.TorchEngine>` is.

    Engines agree with the network in PyTorch and float32: those in float32 up to 1e-4 of the
    largest value, those in 16 bits up to 0.01 of it as a root mean square, those in 8 bits up to
    0.03, which is what tiny networks need. The same holds for refiners. What follows from either
    network, images, maxima and shares, is computed in float32 by all and agrees up to 1e-4, so that
    sums are kept.

    Attributes
    ----------
    name : str
        Runtime and precision, such as ``openvino-bf16``.
    """

    name: str

    def __call__(
        self, frames: AnyArray, *, maxima_within: tuple[int, int] | None = None
    ) -> Prediction:
        """Return expected emitters and their rendering.

        Parameters
        ----------
        frames : ndarray of float32, shape (frame, channel, y, x)
            Scaled, sides a multiple of the network's divisor.
        maxima_within : (int, int), optional
            Seek maxima as well, within so many camera pixels (y, x): what lies beyond only fills
            the frames up.
        """

    def refine(self, sums: Float32Array) -> Float32Array:
        """Return what the network's refiner makes of sums over a movie.

        Parameters
        ----------
        sums : ndarray of float32, shape (3, y, x)
            In the order that refiners take; small enough to be done at once.

        Returns
        -------
        ndarray of float32, shape (y, x)

        Raises
        ------
        KeyError
            If the network has no refiner.
        """
