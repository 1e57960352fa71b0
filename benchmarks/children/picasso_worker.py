"""Localize frames with Picasso; runs in an environment that has it, and knows nothing of ours.

python picasso_worker.py FRAMES.npy PARAMETERS.json RESULT.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
from picasso import localize  # type: ignore[import-not-found]

if __name__ == "__main__":
    frames, parameters, result = map(Path, sys.argv[1:])
    asked = json.loads(parameters.read_text(encoding="utf-8"))
    table = localize.localize_frames(
        np.load(frames),
        None,
        {"Min. Net Gradient": asked["least_net_gradient"], "Box Size": asked["box_px"]},
        camera_info=asked["camera"],
        fitting_method="gaussmle-spherical",
        threaded=False,
    )
    columns = {name: table[name].to_numpy() for name in ("frame", "net_gradient")}
    # Picasso counts from the middle of the first pixel, we from the outer corner of the field.
    columns |= {f"{axis}_px": table[axis].to_numpy() + 0.5 for axis in "xy"}
    np.savez(result, **columns)
