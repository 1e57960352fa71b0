"""Child process: the paper's network as its authors' ``Testing.py`` runs it, by TensorFlow.

Nothing of this package is imported here but the model, built from the paper's description.
"""

import sys
import time
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-not-found]
import numpy as np
from workers import serve

sys.path.append(str(Path(__file__).resolve().parents[2] / "src" / "deepstorm" / "paper"))

from keras_original import build


def take_weights(model: Any, weights: dict[str, Any]) -> None:
    """Put exported weights into the layers, in their order."""
    convolutions, normalizations = (
        [layer for layer in model.layers if isinstance(layer, kind)]
        for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization)
    )
    convolutions.pop().set_weights([weights["head"]])
    for index, layer in enumerate(convolutions):
        layer.set_weights([weights[f"convolution{index}"]])
    for index, layer in enumerate(normalizations):
        layer.set_weights(list(weights[f"normalization{index}"]))


class Original:
    """The model with frames to measure it on; its methods are what the parent asks for."""

    def open(self, frames: str, weights: str) -> dict[str, Any]:
        """Scale the frames of a file each by itself, then as training did; build the model."""
        with np.load(weights) as file:
            stored = dict(file)
        factor = int(stored["upsampling"])
        large = np.load(frames).repeat(factor, axis=1).repeat(factor, axis=2).astype(np.float32)
        low, high = (edge(large, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
        scaled = ((large - low) / (high - low) - stored["mean"]) / stored["standard_deviation"]
        self._stock = np.asarray(scaled, np.float32)[..., None]
        self._model = build(*large.shape[1:])
        take_weights(self._model, stored)
        return {"batch": 1}

    def predict(self, count: int) -> dict[str, Any]:
        """Predict and add up frames that lie in memory, as in the original; tell the seconds."""
        frames = np.take(self._stock, range(count), axis=0, mode="wrap")
        began = time.perf_counter()
        predicted = self._model.predict(frames, batch_size=1, verbose=0)
        predicted[predicted < 0] = 0
        predicted.sum(axis=0)
        return {"seconds": time.perf_counter() - began}

    def save(self, count: int, to: str) -> None:
        """Write the first frames' predictions, (frame, y, x)."""
        predicted = self._model.predict(self._stock[:count], batch_size=1, verbose=0)
        np.save(to, np.maximum(predicted[..., 0], 0))


if __name__ == "__main__":
    original = Original()
    serve({"open": original.open, "predict": original.predict, "save": original.save})
