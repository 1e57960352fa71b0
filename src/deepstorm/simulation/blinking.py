"""Which emitters are on in which frame, and how bright they are."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from deepstorm.arrays import Float64Array, IntArray
from deepstorm.config import Settings
from deepstorm.simulation.structures import Structure


class Brightness(Settings):
    """How many photons an emitter that is on for a whole frame gives.

    A gamma distribution: its mean and spread are set, it is never negative, and a spread of 1 is
    the exponential distribution of single molecules that switch off at random.

    Parameters
    ----------
    mean_photons : float
        Mean signal photons.
    relative_spread : float
        Standard deviation over mean.
    """

    mean_photons: float = Field(default=1500.0, gt=0, le=1e7)
    relative_spread: float = Field(default=0.3, ge=0, le=2)

    def sample(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw the photons of ``n`` emitters."""
        if self.relative_spread == 0:
            return np.full(n, self.mean_photons)
        shape = self.relative_spread**-2
        return rng.gamma(shape, self.mean_photons / shape, n)


class Blinking(Protocol):
    """How a structure's emitters switch."""

    def sample(
        self,
        structure: Structure,
        mean_emitters: float,
        n_frames: int,
        brightness: Brightness,
        rng: np.random.Generator,
    ) -> tuple[IntArray, Float64Array, Float64Array]:
        """Draw what is on in each frame.

        Parameters
        ----------
        structure : Structure
            Where emitters are.
        mean_emitters : float
            Mean number of emitters that are on in a frame.
        n_frames : int
            Length of the movie.
        brightness : Brightness
            Photons of an emitter that is on for a whole frame.
        rng : numpy.random.Generator

        Returns
        -------
        frame : ndarray of int, shape (n,)
            In ascending order, from 0.
        positions : ndarray, shape (n, 2)
            (x, y) in nm.
        photons : ndarray, shape (n,)
        """


class IndependentBlinking(Settings):
    """Each emitter is on in exactly one frame, and frames do not know of each other."""

    kind: Literal["independent"] = "independent"

    def sample(
        self,
        structure: Structure,
        mean_emitters: float,
        n_frames: int,
        brightness: Brightness,
        rng: np.random.Generator,
    ) -> tuple[IntArray, Float64Array, Float64Array]:
        """Draw a Poisson number of new emitters for each frame."""
        frame = np.repeat(np.arange(n_frames), rng.poisson(mean_emitters, n_frames))
        return frame, structure.sample(len(frame), rng), brightness.sample(len(frame), rng)


class SwitchingBlinking(Settings):
    """Emitters switch on at random times and stay on for a while, within a frame or over several.

    Parameters
    ----------
    mean_on_frames : float
        Mean of the exponential on-time, in frames.
    min_fraction : float
        An emitter that is on for no longer than this part of a frame is too faint to count there
        and is left out, of the image as of the truth; the mean number of emitters in a frame is
        that of the others. At most five times ``mean_on_frames``: beyond, hardly any event counts.
    """

    kind: Literal["switching"] = "switching"
    mean_on_frames: float = Field(default=2.0, gt=0, le=1e5)
    min_fraction: float = Field(default=0.05, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.min_fraction > 5 * self.mean_on_frames:
            raise ValueError(
                f"a min_fraction of {self.min_fraction:g} leaves out nearly every event where "
                f"mean_on_frames is {self.mean_on_frames:g}; lower min_fraction or set it to 0"
            )
        return self

    def sample(
        self,
        structure: Structure,
        mean_emitters: float,
        n_frames: int,
        brightness: Brightness,
        rng: np.random.Generator,
    ) -> tuple[IntArray, Float64Array, Float64Array]:
        """Draw switching events over the whole movie, and split each into its frames."""
        lead = 10 * self.mean_on_frames  # events that began before the movie
        # Mean number of frames in which an event counts: the integral over on-times t above
        # min_fraction of exp(-t / mean) / mean, times the 1 + t - 2 min_fraction start times.
        visible_frames = np.exp(-self.min_fraction / self.mean_on_frames)
        visible_frames *= self.mean_on_frames + 1 - self.min_fraction
        events = rng.poisson(mean_emitters * (n_frames + lead) / visible_frames)
        start = rng.uniform(-lead, n_frames, events)
        end = start + rng.exponential(self.mean_on_frames, events)
        event, frame = _frames_of(start, end, n_frames)
        fraction = np.minimum(end[event], frame + 1) - np.maximum(start[event], frame)
        seen = fraction > self.min_fraction
        event, frame, fraction = event[seen], frame[seen], fraction[seen]
        order = np.argsort(frame, kind="stable")
        event, frame, fraction = event[order], frame[order], fraction[order]
        positions = structure.sample(events, rng)
        photons = brightness.sample(events, rng)
        return frame, positions[event], photons[event] * fraction


def _frames_of(start: Float64Array, end: Float64Array, n_frames: int) -> tuple[IntArray, IntArray]:
    """List (event, frame) for every frame that an event touches within the movie."""
    first = np.clip(np.floor(start), 0, None).astype(np.int64)
    last = np.clip(np.floor(end), None, n_frames - 1).astype(np.int64)
    counts = np.clip(last - first + 1, 0, None)
    event = np.repeat(np.arange(len(start)), counts)
    within = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
    return event, first[event] + within


AnyBlinking = Annotated[IndependentBlinking | SwitchingBlinking, Field(discriminator="kind")]
