from __future__ import annotations

import numpy as np
import pytest

from localizing import Camera, cameras, picasso_camera


@pytest.mark.parametrize("camera", cameras(), ids=lambda camera: camera.name)
def test_picasso_is_told_of_the_same_camera(camera: Camera) -> None:
    told = picasso_camera(camera)
    counts = np.array([300.0, 5000.0])
    theirs = (counts - told["Baseline"]) * told["Sensitivity"] / told["Gain"]
    noise = camera.noise
    ours = (counts - np.mean(noise.zero_adu)) / np.mean(noise.adu_per_photon)
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)
