"""Child process: Picasso, in an environment that has it; nothing of this package is imported."""

import numpy as np
from picasso import localize  # type: ignore[import-not-found]
from workers import serve


def localized(
    frames: str, to: str, least_net_gradient: float, box_px: int, camera: dict[str, float]
) -> None:
    """Localize the frames of a file, and write what is found to another."""
    table = localize.localize_frames(
        np.load(frames),
        None,
        {"Min. Net Gradient": least_net_gradient, "Box Size": box_px},
        camera_info=camera,
        fitting_method="gaussmle-spherical",
        threaded=False,
    )
    columns = {name: table[name].to_numpy() for name in ("frame", "net_gradient")}
    # Picasso counts from the middle of the first pixel, we from the outer corner of the field.
    columns |= {f"{axis}_px": table[axis].to_numpy() + 0.5 for axis in "xy"}
    np.savez(to, **columns)


if __name__ == "__main__":
    serve({"localize": localized})
