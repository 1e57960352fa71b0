"""A simulated sample of quantum dots, seen by a microscope that no simple simulation knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepstorm.api.example_sources import sparse_frames
from deepstorm.arrays import AnyArray
from deepstorm.models.scaling import PhotonScaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.optics import AnyPsf
from deepstorm.simulation.pupil import PupilPsf
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Localizations
from deepstorm.training.examples.composites import Composite, CompositeExamples, CompositeSource
from deepstorm.training.examples.sparse_frames import SparseFrames

# The paper's §3: 8 sparse frames make 2 emitters per µm² of 2500 photons each, with Gaussian noise
# of 20 photons per pixel; 13.75 nm is an eighth of the camera pixel.
PIXEL_NM, UPSAMPLING = 110.0, 8
PIXEL_SR_NM = PIXEL_NM / UPSAMPLING
SUMMED, DENSITY_PER_UM2 = 8, 2.0
PHOTONS, READ_NOISE, BACKGROUND = 2500.0, 20.0, 5.0
# As many emitters per frame as the paper had, 1560 in 100 frames, take 64 pixels a side.
SPARSE_FRAMES, SIDE_PX = 100, 64
REGION_PX, BATCH = 32, 16
CAMERA = ScmosCamera(
    gain_adu_per_e=1.0,
    gain_spread=0.0,
    read_noise_e=READ_NOISE,
    read_noise_spread=0.0,
    offset_adu=200.0,
    offset_spread_adu=0.0,
)


def sample_psf() -> PupilPsf:
    """Return the microscope's PSF: astigmatism along a diagonal, coma and scattered light.

    Its aberrations are those of an objective whose correction collar is not quite right: a Strehl
    ratio of about three quarters.
    """
    return PupilPsf(
        numerical_aperture=1.2,
        wavelength_nm=605.0,
        oblique_astigmatism_waves=0.06,
        coma_x_waves=0.06,
        halo_share=0.15,
        halo_nm=280.0,
    )


@dataclass(frozen=True)
class MovieWithTruth:
    """Frames and their true emitters.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
    truth : Localizations
    pixel_size_nm : float
    """

    frames: AnyArray
    truth: Localizations
    pixel_size_nm: float = PIXEL_NM


def conditions(psf: AnyPsf, **changes: Any) -> SimulationSettings:
    """Return a movie of the paper's conditions through a PSF."""
    usual = {"frames": SPARSE_FRAMES, "height_px": SIDE_PX, "width_px": SIDE_PX}
    return SimulationSettings(
        **usual | {"density_per_um2": DENSITY_PER_UM2} | changes,
        pixel_size_nm=PIXEL_NM,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=PHOTONS, relative_spread=0.3),
        psf=psf,
        background=Background(mean_photons=BACKGROUND),
        camera=CAMERA,
    )


def exposed(settings: SimulationSettings, seed: list[int]) -> MovieWithTruth:
    """Simulate a movie."""
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return MovieWithTruth(np.concatenate(list(movie.frames())), movie.truth)


def sparse_movie(seed: list[int], frames: int = SPARSE_FRAMES) -> SparseFrames:
    """Return sparse frames as ``fine-tune`` sees them: calibrated and localized, no truth."""
    settings = conditions(sample_psf(), frames=frames, density_per_um2=DENSITY_PER_UM2 / SUMMED)
    return sparse_frames(exposed(settings, seed).frames, PIXEL_NM)


def dense_movie(seed: int, frames: int) -> MovieWithTruth:
    """Return dense frames of the same microscope, exposed at once."""
    return exposed(conditions(sample_psf(), frames=frames), [seed, 1])


def composite_movie(seed: int, frames: int) -> MovieWithTruth:
    """Return composites of other sparse frames, with localized positions, as the paper's test."""
    examples = CompositeExamples(
        region_px=REGION_PX, pixel_size_nm=PIXEL_NM, summed=SUMMED, batch_size=BATCH
    )
    source = examples.prepare(PhotonScaling(), UPSAMPLING, seed, sparse_movie([seed, 5]))
    return as_movie(source, frames, stream=0)


def as_movie(
    source: CompositeSource, frames: int, stream: int, first_batch: int = 0
) -> MovieWithTruth:
    """Return composites as frames with emitters in the middle of their image pixels."""
    steps = range(first_batch, first_batch + math.ceil(frames / source.examples.batch_size))
    made = [each for step in steps for each in source.composites(step, stream)][:frames]
    pixel_nm = source.material.pixel_size_nm
    tables = [_table(each, k, pixel_nm / source.upsampling) for k, each in enumerate(made)]
    counts = np.stack([each.counts for each in made])
    return MovieWithTruth(counts, Localizations.concatenate(tables), pixel_nm)


def _table(composite: Composite, frame: int, pixel_nm: float) -> Localizations:
    row, column = (composite.places.T + 0.5) * pixel_nm
    return Localizations(np.full(len(row), frame), column, row)
