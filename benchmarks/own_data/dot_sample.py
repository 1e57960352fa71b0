"""A simulated sample of quantum dots, seen by a microscope that no simple simulation knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.psf import GaussianPsf, render_emitters
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import FloatArray, Instrument, IntArray, Localizations
from deepstorm.training.sparse_frames import SparseFrames

# The paper's §3: 8 sparse frames make 2 emitters per µm² of 2500 photons each, with Gaussian noise
# of 20 photons per pixel; 13.75 nm is an eighth of the camera pixel.
PIXEL_NM, UPSAMPLING = 110.0, 8
SUMMED, DENSITY_PER_UM2 = 8, 2.0
PHOTONS, READ_NOISE, BACKGROUND = 2500.0, 20.0, 5.0
# As many emitters per frame as the paper had, 1560 in 100 frames, take 64 pixels a side.
SPARSE_FRAMES, SIDE_PX = 100, 64
CAMERA = ScmosCamera(
    gain_adu_per_e=1.0,
    gain_spread=0.0,
    read_noise_e=READ_NOISE,
    read_noise_spread=0.0,
    offset_adu=200.0,
    offset_spread_adu=0.0,
)


class LopsidedPsf(GaussianPsf):
    """Astigmatism along a diagonal, coma and a halo, as a sum of displaced Gaussians.

    The middle of the light is the emitter's position, as a fit of a single Gaussian would have it.
    """

    def render(
        self,
        frame: IntArray,
        x_px: FloatArray,
        y_px: FloatArray,
        photons: FloatArray,
        sigma_px: FloatArray,
        shape: tuple[int, int, int],
    ) -> npt.NDArray[np.float64]:
        """Image emitters; see :func:`~deepstorm.simulation.psf.render_emitters`."""
        light = np.zeros(shape)
        for share, dx, dy, width in self.components():
            x, y = x_px + dx * sigma_px, y_px + dy * sigma_px
            light += render_emitters(frame, x, y, share * photons, width * sigma_px, shape)
        return light

    def components(self) -> npt.NDArray[np.float64]:
        """Return (share, dx, dy, width) of Gaussians in units of the width, shape (n, 4)."""
        parts = np.array(
            [
                (0.30, 0.6, 0.6, 0.85),  # the two halves of an elongated core
                (0.30, -0.6, -0.6, 0.85),
                (0.12, 1.2, -0.7, 1.0),  # the comet's tail
                (0.08, 2.0, -1.2, 1.3),
                (0.20, 0.0, 0.0, 2.5),  # the halo
            ]
        )
        parts[:, 1:3] -= parts[:, 0] @ parts[:, 1:3]
        return parts


def sample_psf() -> GaussianPsf:
    """Return the microscope's PSF: the one place to put another one."""
    return LopsidedPsf(sigma_nm=PIXEL_NM, relative_spread=0.03)


@dataclass(frozen=True)
class Movie:
    """Frames and their true emitters.

    Parameters
    ----------
    frames : ndarray of uint16, shape (frame, y, x)
    truth : Localizations
    """

    frames: npt.NDArray[np.uint16]
    truth: Localizations


def conditions(psf: GaussianPsf, **changes: Any) -> SimulationSettings:
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


def exposed(settings: SimulationSettings, seed: list[int]) -> Movie:
    """Simulate a movie."""
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return Movie(np.concatenate(list(movie.frames())), movie.truth)


def sparse_movie(seed: int, frames: int = SPARSE_FRAMES) -> SparseFrames:
    """Return sparse frames with true positions, and what a calibration finds of the optics."""
    settings = conditions(sample_psf(), frames=frames, density_per_um2=DENSITY_PER_UM2 / SUMMED)
    movie = exposed(settings, [seed, 0])
    zero_adu, adu_per_photon = CAMERA.noise_line()
    sigma_px = calibrate_frames(movie.frames).sigma_px.value
    instrument = Instrument(zero_adu, adu_per_photon, sigma_px)
    return SparseFrames(movie.frames, movie.truth, PIXEL_NM, instrument)


def dense_movie(seed: int, frames: int) -> Movie:
    """Return dense frames of the same microscope, exposed at once."""
    return exposed(conditions(sample_psf(), frames=frames), [seed, 1])
