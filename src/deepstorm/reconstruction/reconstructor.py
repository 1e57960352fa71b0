"""A network ready to turn movies into images."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.sampling import Frames, sample_frames
from deepstorm.models.devices import DeviceName
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines.choice import EngineName
from deepstorm.reconstruction.finishing import finish
from deepstorm.reconstruction.fitting import fit_movie
from deepstorm.reconstruction.job import Job
from deepstorm.reconstruction.partial import Partial
from deepstorm.reconstruction.predictor import Predictor
from deepstorm.reconstruction.windows import Windows
from deepstorm.reconstruction.work import Part, Standing, Update, Worker, edges
from deepstorm.structures import Reconstruction

_READY: dict[tuple[str, str, int, str], Reconstructor] = {}


class Reconstructor:
    """A network ready to turn movies into images.

    A reconstruction is planned (:meth:`plan`), worked on in parts that can be anywhere
    (:meth:`work`), whose results add up, and finished (:meth:`finish`). :meth:`updates` does the
    work step by step, :meth:`reconstruct` all of it.

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
        self._network = network
        self._device = device
        self._engine = engine
        self._predictor = Predictor(network, device, upsampling, engine)

    @classmethod
    def of(cls, job: Job) -> Reconstructor:
        """Return one for a job; a process keeps the network of its latest job."""
        key = (job.network.checksum, job.device, job.upsampling, job.engine)
        if key not in _READY:
            _READY.clear()
            _READY[key] = cls(job.network, job.device, job.upsampling, job.engine)
        return _READY[key]

    @property
    def upsampling(self) -> int:
        """Super-resolution pixels per camera pixel."""
        return self._predictor.upsampling

    @property
    def engine_name(self) -> str:
        """What runs the network, and in which precision."""
        return self._predictor.engine.name

    def plan(
        self,
        movie: Frames,
        pixel_size_nm: float,
        *,
        known: KnownValues | None = None,
        windows: Windows | None = None,
        localize: bool = False,
        among: int | None = None,
    ) -> Job:
        """Calibrate a movie by frames spread over it, and decide all that decides the numbers.

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
        localize : bool
            Whether localizations are sought.
        among : int, optional
            Calibrate by the first so many frames alone, as where a movie is still being recorded.

        Raises
        ------
        InputError
            If the movie is shorter than a window.
        """
        if windows is not None:
            windows.starts(movie.shape[0])
        given = replace(known or KnownValues(), pixel_size_nm=pixel_size_nm)
        sample = sample_frames(movie, among)
        calibration = calibrate_frames(sample.frames, known=given)
        return Job(
            network=self._network,
            fitted=fit_movie(sample, calibration, given, self._network.card, self.upsampling),
            field=movie.shape[1:],
            pixel_size_nm=pixel_size_nm,
            upsampling=self.upsampling,
            localize=localize,
            windows=windows,
            device=self._device,
            engine=self._engine,
        )

    def beginning(self, job: Job, folder: Path | None = None) -> Standing:
        """Return where a reconstruction stands before its first frame.

        Parameters
        ----------
        job : Job
        folder : Path, optional
            Where sums that are too large for memory are kept; a temporary folder by default.

        Raises
        ------
        InputError
            If the field is too large for windows.
        """
        return Worker(job, self._predictor).beginning(folder)

    def updates(
        self, job: Job, movie: Frames, standing: Standing | None = None
    ) -> Generator[Update]:
        """Work on all frames of a movie that are not done yet, step by step.

        Parameters
        ----------
        job : Job
        movie : Frames
        standing : Standing, optional
            Where to go on from; it grows. The beginning by default.

        Yields
        ------
        Update
            After each block of frames, or piece of it. Whoever stops iterating has cancelled the
            work: neither threads nor files are left.

        Raises
        ------
        InputError
            If the field is too large for windows.
        """
        worker = Worker(job, self._predictor)
        standing = worker.beginning() if standing is None else standing
        for start, stop in standing.partial.missing(movie.shape[0]):
            yield from worker.updates(movie, Part(start, stop), standing)

    def work(self, job: Job, movie: Frames, part: Part) -> Partial:
        """Return what a part of a movie comes to.

        Raises
        ------
        InputError
            If the part does not begin and end with blocks (:meth:`edges`).
        """
        worker = Worker(job, self._predictor)
        standing = worker.beginning()
        for _ in worker.updates(movie, part, standing):
            pass
        return standing.partial

    def edges(self, job: Job, frames: int) -> list[int]:
        """Return where parts of a movie of so many frames may begin and end."""
        return edges(job, self._predictor, frames)

    def finish(self, job: Job, partial: Partial) -> Reconstruction:
        """Make the image of what some or all frames come to; see :func:`finish`."""
        return finish(job, partial, self._predictor)

    def reconstruct(
        self,
        movie: Frames,
        pixel_size_nm: float,
        *,
        known: KnownValues | None = None,
        windows: Windows | None = None,
        localize: bool = False,
    ) -> Reconstruction:
        """Do the whole of it, in memory; the arguments are those of :meth:`plan`."""
        began = time.perf_counter()
        job = self.plan(movie, pixel_size_nm, known=known, windows=windows, localize=localize)
        standing, images = self.beginning(job), []
        for update in self.updates(job, movie, standing):
            if update.window is not None:
                images.append(update.window)
        result = self.finish(job, standing.partial)
        record = result.record | {"reconstruction_s": time.perf_counter() - began}
        return replace(result, time_lapse=np.stack(images) if images else None, record=record)
