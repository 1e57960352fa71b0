"""Microscopes are not what textbooks draw: the default network has to cope with that."""

from __future__ import annotations

import deepstorm
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import UniformScene


def test_a_bright_molecule_with_a_halo_is_one_emitter() -> None:
    settings = deepstorm.SimulationSettings(
        frames=40,
        density_per_um2=0.1,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=4000.0, relative_spread=0.3),
        psf=GaussianPsf(sigma_nm=110.0, halo_share=0.4, halo_width=3.0),
    )
    movie = deepstorm.simulate(settings, seed=3)
    assert movie.frames is not None
    result = deepstorm.reconstruct(movie.frames, pixel_size_nm=100, localizations=True)
    scores = deepstorm.evaluate(result.localizations, movie.truth, radius_nm=50).emitters
    assert scores is not None
    assert scores.recall > 0.95
    assert scores.precision > 0.92
