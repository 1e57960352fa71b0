"""Child process: the paper's network as its authors run it, in the environment of TensorFlow.

Built from the paper's description (Nehme et al., Optica 2018, §2.1.1 and supplement) and run as
their script ``Testing.py`` does: frames enlarged and normalised beforehand, ``model.predict`` over
all of them with a batch of one, negative values cut off, and the sum. Nothing of this package is
imported here.
"""

from __future__ import annotations

import time
from typing import Any

import keras  # type: ignore[import-not-found]
import numpy as np
from protocol import Answer, serve

from deepstorm.arrays import AnyArray, Float32Array

ENCODER_CHANNELS = (32, 64, 128)
CENTRE_CHANNELS = 512
DECODER_CHANNELS = (128, 64, 32)


def build(height: int, width: int, epsilon: float) -> Any:
    """Return the model for frames of one enlarged size."""
    layers = keras.layers

    def convolved(features: Any, channels: int) -> Any:
        convolution = layers.Conv2D(channels, 3, padding="same", use_bias=False)
        normalization = layers.BatchNormalization(epsilon=epsilon)
        return layers.Activation("relu")(normalization(convolution(features)))

    frames = features = layers.Input((height, width, 1))
    for channels in ENCODER_CHANNELS:
        features = layers.MaxPooling2D(2)(convolved(features, channels))
    features = convolved(features, CENTRE_CHANNELS)
    for channels in DECODER_CHANNELS:
        features = convolved(layers.UpSampling2D(2)(features), channels)
    return keras.Model(frames, layers.Conv2D(1, 1, use_bias=False)(features))


def take_weights(model: Any, weights: dict[str, Any]) -> None:
    """Put exported weights into the layers, in their order."""
    kinds = {"convolution": keras.layers.Conv2D, "normalization": keras.layers.BatchNormalization}
    for name, kind in kinds.items():
        own = [layer for layer in model.layers if isinstance(layer, kind)]
        if kind is keras.layers.Conv2D:
            own.pop().set_weights([weights["head"]])
        for index, layer in enumerate(own):
            values = weights[f"{name}{index}"]
            layer.set_weights([values] if kind is keras.layers.Conv2D else list(values))


def normalised(counts: AnyArray, weights: dict[str, Any]) -> Float32Array:
    """Enlarge frames and scale each by itself, then by the training set's mean and deviation."""
    factor = int(weights["upsampling"])
    large = np.repeat(np.repeat(counts, factor, axis=1), factor, axis=2).astype(np.float32)
    low = large.min(axis=(1, 2), keepdims=True)
    stretched = (large - low) / (large.max(axis=(1, 2), keepdims=True) - low)
    scaled = (stretched - weights["mean"]) / weights["standard_deviation"]
    return np.asarray(scaled, np.float32)[..., None]


class Original:
    """The model with frames to measure it on; its methods are what the parent asks for."""

    def open(self, frames: str, weights: str) -> Answer:
        """Build the model for the frames of a file."""
        with np.load(weights) as file:
            stored = dict(file)
        self._stock = normalised(np.load(frames), stored)
        _, height, width, _ = self._stock.shape
        self._model = build(height, width, float(stored["epsilon"]))
        take_weights(self._model, stored)
        return {"batch": 1, "name": f"keras-{keras.__version__}-{keras.backend.backend()}"}

    def predict(self, count: int) -> Answer:
        """Predict so many frames and add them up; tell the seconds that takes."""
        # As in the original, all frames lie in memory before the clock starts.
        frames = np.take(self._stock, range(count), axis=0, mode="wrap")
        began = time.perf_counter()
        predicted = self._model.predict(frames, batch_size=1, verbose=0)
        predicted[predicted < 0] = 0
        predicted.sum(axis=0)
        return {"seconds": time.perf_counter() - began}

    def save(self, count: int, to: str) -> Answer:
        """Write the first frames' predictions, (frame, y, x)."""
        predicted = self._model.predict(self._stock[:count], batch_size=1, verbose=0)
        np.save(to, np.maximum(predicted[..., 0], 0))
        return {}


if __name__ == "__main__":
    original = Original()
    serve({"open": original.open, "predict": original.predict, "save": original.save})
