"""A network ready to turn movies into images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.models.devices import DeviceName
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines.choice import EngineName
from deepstorm.reconstruction.fitting import FittedMovie, fit_movie
from deepstorm.reconstruction.predictor import Predictor
from deepstorm.reconstruction.run import LocalizationSink, Progress, Run, WindowSink
from deepstorm.reconstruction.streaming import Frames, sample_frames
from deepstorm.reconstruction.windows import Windows
from deepstorm.structures import Calibration, Reconstruction


class Reconstructor:
    """A network ready to turn movies into images.

    Parameters
    ----------
    network : TrainedNetwork
    device, engine : str
        See :func:`~deepstorm.reconstruction.engines.choice.choose_engine`.
    upsampling : int, optional
        Super-resolution pixels per camera pixel; a divisor of the network's own, which is the
        default. Pixels of a coarser image are sums of the network's.

    Raises
    ------
    InputError
        If the network cannot give that upsampling, or the device or the engine is not there.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        device: DeviceName = "auto",
        upsampling: int | None = None,
        engine: EngineName = "auto",
    ) -> None:
        self.card = network.card
        self._predictor = Predictor(network, device, upsampling, engine)

    @property
    def upsampling(self) -> int:
        """Super-resolution pixels per camera pixel."""
        return self._predictor.upsampling

    def reconstruct(
        self,
        movie: Frames,
        pixel_size_nm: float,
        *,
        known: KnownValues | None = None,
        windows: Windows | None = None,
        on_calibration: Callable[[Calibration], None] = lambda calibration: None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_localizations: LocalizationSink | None = None,
        on_window: WindowSink = lambda image: None,
    ) -> Reconstruction:
        """Reconstruct a movie in one pass; a field too large for that, in one pass per piece.

        Parameters
        ----------
        movie : Frames
        pixel_size_nm : float
            Size of a camera pixel.
        known : KnownValues, optional
            What need not be measured of camera and optics. With ``adu_per_electron``, localizations
            have detected photons, otherwise effective ones.
        windows : Windows, optional
            Of which frames images are wanted, besides that of the whole movie.
        on_calibration : callable
            Called once, before the first block, with what was measured.
        on_progress : callable
            Called after each block of frames.
        on_localizations : callable, optional
            Called with the localizations of each block, in the order of frames; none are sought
            where it is absent.
        on_window : callable
            Called with the image of each window, float32 of shape (y, x), in the order of time.

        Returns
        -------
        Reconstruction
            Without localizations and windows: those went to ``on_localizations`` and ``on_window``.
            The record holds ``warnings`` and ``notes``, sentences on how the movie suits the
            network.

        Raises
        ------
        InputError
            If the movie is shorter than a window, or its field too large for windows.
        """
        began = time.perf_counter()
        fitted = self._fit(movie, replace(known or KnownValues(), pixel_size_nm=pixel_size_nm))
        on_calibration(fitted.calibration)
        run = Run(self._predictor, movie, fitted, pixel_size_nm, on_progress)
        run.complete(on_localizations, windows, on_window)
        return Reconstruction(
            image=run.image,
            posterior=run.posterior,
            pixel_size_nm=pixel_size_nm / self.upsampling,
            widefield=(run.light / movie.shape[0]).astype(np.float32),
            record={
                "frames": movie.shape[0],
                "expected_emitters": run.emitters,
                "hot_pixels": int(fitted.faulty.mask.sum()),
                "photons": fitted.kind_of_photons,
                "warnings": list(fitted.findings.warnings),
                "notes": list(fitted.findings.notes),
                "engine": self._predictor.engine.name,
                "reconstruction_s": time.perf_counter() - began,
            },
        )

    def _fit(self, movie: Frames, known: KnownValues) -> FittedMovie:
        """Calibrate a movie by frames spread over it, and fit the network's scaling to them."""
        sample = sample_frames(movie)
        calibration = calibrate_frames(sample, known=known)
        return fit_movie(sample, calibration, known, self.card, self.upsampling)
