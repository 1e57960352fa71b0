"""Localize frames with Picasso; runs in an environment that has it, and knows nothing of ours.

python picasso_worker.py FRAMES.npy PARAMETERS.json RESULT.npz
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Write the columns frame, x_px, y_px and net_gradient, from the outer corner of the field."""
    from picasso import localize

    frames, parameters, result = (Path(argument) for argument in sys.argv[1:])
    asked = json.loads(parameters.read_text(encoding="utf-8"))
    table = localize.localize_frames(
        np.load(frames),
        None,
        {"Min. Net Gradient": asked["least_net_gradient"], "Box Size": asked["box_px"]},
        camera_info=asked["camera"],
        fitting_method="gaussmle-spherical",
        threaded=False,
    )
    np.savez(
        result,
        frame=table["frame"].to_numpy(),
        # Picasso counts from the middle of the first pixel.
        x_px=table["x"].to_numpy() + 0.5,
        y_px=table["y"].to_numpy() + 0.5,
        net_gradient=table["net_gradient"].to_numpy(),
    )


if __name__ == "__main__":
    main()
