"""Child process: the networks of this package in one of its runtimes.

PyTorch is imported where it is needed, so that the memory of other runtimes is their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from our_engines import Measured, accelerator, available
from protocol import Answer, serve

from deepstorm.models.zoo import open_network


class Ours:
    """What the parent asks for, by name."""

    def runtimes(self) -> Answer:
        """Tell which runtimes work here, and the accelerator's name."""
        return {"runtimes": available(), "accelerator": accelerator()}

    def export(self, network: str, to: str) -> Answer:
        """Write the weights of a network of the paper's kind as Keras has them."""
        from our_networks import export_weights

        trained = open_network(network)
        export_weights(trained, Path(to))
        return {}

    def arithmetic(self, network: str, side_px: int) -> Answer:
        """Count a network's arithmetic per frame."""
        from our_networks import arithmetic

        return dict(arithmetic(open_network(network).load(), side_px))

    def roof(self, device: str, seconds: float) -> Answer:
        """Measure the fastest matrix products."""
        from peak import highest_rates

        return dict(highest_rates(device, seconds))

    def open(self, **settings: Any) -> Answer:
        """Make a network ready; see :class:`our_engines.Measured`."""
        self._measured = Measured(**settings)
        return {"batch": self._measured.batch}

    def predict(self, count: int) -> Answer:
        """Predict so many frames and add them up; tell the seconds that takes."""
        return {"seconds": self._measured.predict(count)}

    def save(self, count: int, to: str) -> Answer:
        """Write the first frames' predictions, (frame, y, x)."""
        np.save(to, self._measured.spikes(count))
        return {}

    def nmse(self, movie: str, truth: str, pixel_nm: float) -> Answer:
        """Score the image of a movie."""
        return self._measured.nmse(Path(movie), Path(truth), pixel_nm)


if __name__ == "__main__":
    ours = Ours()
    serve(
        {
            "runtimes": ours.runtimes,
            "export": ours.export,
            "arithmetic": ours.arithmetic,
            "roof": ours.roof,
            "open": ours.open,
            "predict": ours.predict,
            "save": ours.save,
            "nmse": ours.nmse,
        }
    )
