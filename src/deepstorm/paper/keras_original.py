"""Script for a Python with TensorFlow: times the paper's network as its authors run it.

``python keras_original.py FRAMES.npy`` prints JSON. Built from the paper's description (Nehme et
al., Optica 2018, §2.1.1 and supplement) and run as their script ``Testing.py`` does: frames
enlarged and normalised beforehand, ``model.predict`` over all of them with a batch of one, and
their sum. The weights are random, which changes no time. Nothing of this package is imported here.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-not-found]
import numpy as np

FACTOR = 8


def build(height: int, width: int) -> Any:
    """Return the model for frames of one enlarged size."""
    layers = keras.layers

    def convolved(features: Any, channels: int) -> Any:
        convolution = layers.Conv2D(channels, 3, padding="same", use_bias=False)
        return layers.Activation("relu")(layers.BatchNormalization()(convolution(features)))

    frames = features = layers.Input((height, width, 1))
    for channels in (32, 64, 128):
        features = layers.MaxPooling2D(2)(convolved(features, channels))
    features = convolved(features, 512)
    for channels in (128, 64, 32):
        features = convolved(layers.UpSampling2D(2)(features), channels)
    return keras.Model(frames, layers.Conv2D(1, 1, use_bias=False)(features))


def main(path: Path) -> None:
    """Predict all frames once after a first one, and print how long that takes."""
    counts = np.load(path)
    large = counts.repeat(FACTOR, axis=1).repeat(FACTOR, axis=2).astype(np.float32)
    scaled = ((large - large.mean()) / large.std())[..., None]
    model = build(*scaled.shape[1:3])
    model.predict(scaled[:1], batch_size=1, verbose=0)
    began = time.perf_counter()
    predicted = model.predict(scaled, batch_size=1, verbose=0)
    np.maximum(predicted, 0).sum(axis=0)
    seconds = time.perf_counter() - began
    name = f"Keras {keras.__version__}, {keras.backend.backend()}"
    sys.stdout.write("\n" + json.dumps({"seconds": seconds, "name": name}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
