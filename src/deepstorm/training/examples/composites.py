"""Training pairs from measured sparse frames (paper §2.2, §3 and Fig. 7).

Isolated emitters can be localized precisely, so that sparse frames, cropped, moved and summed, are
dense frames with known positions, of the very microscope that the network shall work for.

A sum of *n* frames is not a dense frame, though: it has *n* offsets, backgrounds and noises. Here
one region gives the background with its noise, and of the others spots alone are added, without
their background:

    composite = background₀ + v · light₀ + Σ wᵢ · lightᵢ,   v² = max(w₀², 1 − Σ wᵢ²), i > 0

with *light* the counts above the background and *w* 1 on spots, 0 away from them. Where spots of
one region lie, the noise of their own background takes the place of the first region's. Mean and
variance are then those of a dense frame wherever spots of at most one region lie; where spots of
*m* regions overlap, the variance of *m* backgrounds remains, which cannot be taken off (see
:func:`blended`). The shot noise of the spots is the measured one everywhere. What is missing is the
light of spots beyond the radius to which they are copied, such as the outer part of a halo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from deepstorm.arrays import Float32Array, Int64Array, IntArray
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.models.card import NOMINAL_PIXEL_NM
from deepstorm.models.scaling import FittedScaling, Scaling
from deepstorm.training.examples.protocol import TRAINING, Batch
from deepstorm.training.examples.sparse_frames import Material, SparseFrames, prepare_material
from deepstorm.training.examples.sparse_regions import Pool, choose_regions, divided
from deepstorm.training.examples.spots import orientation, oriented_places
from deepstorm.training.examples.truth import RegionTruth

# Spots less symmetric than this are not turned: the microscope has none that lie otherwise.
LARGEST_ASYMMETRY = 0.1
# Streams of random numbers beside those of training and validation: how regions are chosen, and
# the composites that scaling and validity are taken from.
REGIONS, SAMPLE = 2, 3
SAMPLE_SIZE = 128


class CompositeExamples(Settings):
    """Sums of regions of measured sparse frames.

    Frames are split between training and validation before anything is cut, so that no spot is in
    both. Composites are drawn on the fly without end, or from a fixed set. The paper cut 1200
    regions for training and 360 for testing out of 100 frames, and summed 8 at a time to 10,000 and
    3000 examples.

    Parameters
    ----------
    frames_path, positions_path : str, optional
        A movie of sparse frames and the table of its emitters.
    ambiguous_path : str, optional
        A table of places with light that cannot be told apart; regions with such light are left
        out.
    pixel_size_nm : float
        Camera pixel of the movie.
    region_px : int
        Side of a region in camera pixels; the paper's is 26, the native network takes multiples of
        4.
    summed : int
        Regions in an example.
    min_emitters : int
        Usable emitters in each of them; the first may have fewer where regions with so many all
        hold ambiguous light.
    turning : str
        ``always`` turns and mirrors each region at random, ``never`` does not, and ``auto`` does
        unless the mean spot is not symmetric: turned spots are then of another microscope.
    split : str
        ``frames`` holds whole frames back; ``field`` a part of the field in all frames, for samples
        whose emitters are on in several frames.
    validation_fraction : float
        Part of the frames, or of the field, that is held back.
    spot_radius_px : float, optional
        How much around an emitter is copied; measured where absent.
    training_regions, validation_regions : int
        As many different regions at most.
    training_examples, validation_examples : int
        Size of a fixed set, 0 for ever new examples.
    batch_size : int
    """

    kind: Literal["composites"] = "composites"
    frames_path: str | None = None
    positions_path: str | None = None
    ambiguous_path: str | None = None
    pixel_size_nm: float = Field(100.0, ge=1, le=10_000)
    region_px: int = Field(28, ge=4, le=1024)
    summed: int = Field(8, ge=1, le=1000)
    min_emitters: int = Field(1, ge=0)
    turning: Literal["auto", "always", "never"] = "auto"
    split: Literal["frames", "field"] = "frames"
    validation_fraction: float = Field(0.25, gt=0, lt=1)
    spot_radius_px: float | None = Field(None, gt=0, le=100)
    training_regions: int = Field(100_000, ge=1)
    validation_regions: int = Field(30_000, ge=1)
    training_examples: int = Field(0, ge=0)
    validation_examples: int = Field(0, ge=0)
    batch_size: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _frames_before_tables(self) -> CompositeExamples:
        tables = (self.positions_path, self.ambiguous_path)
        if self.frames_path is None and any(path is not None for path in tables):
            raise ValueError("give frames_path, the movie to which the tables belong")
        return self

    @property
    def side_px(self) -> int:
        """Side of a training frame in camera pixels."""
        return self.region_px

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return nothing: the frames alone tell, see :meth:`CompositeSource.validity`."""
        return {}

    def prepare(
        self, scaling: Scaling, upsampling: int, seed: int, sparse: SparseFrames | None = None
    ) -> CompositeSource:
        """Check the frames, choose regions and return the source of batches.

        Parameters
        ----------
        scaling : Scaling
        upsampling : int
            Super-resolution pixels per camera pixel.
        seed : int
        sparse : SparseFrames
            The measured frames and their emitters.

        Raises
        ------
        InputError
            If there are no frames, too few or too small ones, frames and table do not belong
            together, the frames are dense, or too few emitters or regions can be used.
        """
        if sparse is None:
            raise InputError(
                "composites are made from measured sparse frames, and none were given: name a "
                "movie with frames_path"
            )
        material = prepare_material(sparse, self.spot_radius_px)
        rng = np.random.default_rng([seed, REGIONS])
        parts = divided(
            material,
            self.region_px,
            self.validation_fraction,
            rng,
            by_field=self.split == "field",
        )
        most = self.training_regions, self.validation_regions
        training, validation = (
            choose_regions(material, part, self.region_px, self.min_emitters, number, rng)
            for part, number in zip(parts, most, strict=True)
        )
        return CompositeSource(self, material, scaling, upsampling, seed, training, validation)


@dataclass(frozen=True, slots=True)
class Composite:
    """One example.

    Parameters
    ----------
    counts : ndarray of float32, shape (y, x)
        In adu, as of one exposure.
    places : ndarray of int, shape (n, 2)
        Super-resolution pixels (row, column) of the emitters.
    noise : ndarray of float32, shape (y, x)
        Variance of the background's noise in units of that of a single frame, see :func:`blended`.
    """

    counts: Float32Array
    places: Int64Array
    noise: Float32Array


@dataclass(frozen=True)
class CompositeSource:
    """Batches of :class:`CompositeExamples`.

    Parameters
    ----------
    examples : CompositeExamples
    material : Material
        Spots and backgrounds of the frames.
    base_scaling : Scaling
        As in the settings, before it has seen examples.
    upsampling : int
        Super-resolution pixels per camera pixel.
    seed : int
        With a stream and a step, it decides a batch.
    training, validation : Pool
        Regions of either side.
    """

    examples: CompositeExamples
    material: Material
    base_scaling: Scaling
    upsampling: int
    seed: int
    training: Pool
    validation: Pool

    @cached_property
    def scaling(self) -> Scaling:
        """The scaling as it follows from training examples."""
        return self.base_scaling.trained_on(self._sampled_counts)

    @cached_property
    def is_turning(self) -> bool:
        """Whether regions are turned and mirrored."""
        if self.examples.turning == "auto":
            return self.material.asymmetry <= LARGEST_ASYMMETRY
        return self.examples.turning == "always"

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return the conditions that a network trained on these examples has seen.

        The density is that of the middle nine tenths of the examples, stated as on every card for
        camera pixels of 100 nm; light is in effective photons.
        """
        emitters = np.array([len(composite.places) for composite in self._sample])
        area_um2 = (self.examples.region_px * NOMINAL_PIXEL_NM / 1000) ** 2
        low, high = np.percentile(emitters, [5, 95]) / area_um2
        material = self.material
        values = {
            "sigma_px": material.instrument.sigma_px,
            "mean_photons": material.photons,
            "background_photons": material.background_photons,
        }
        ranges = {name: (value, value) for name, value in values.items()}
        return {"local_density_per_um2": (float(low), float(high))} | ranges

    def figures(self) -> dict[str, float]:
        """Return what a person wants to know of the examples, by name.

        How many emitters they are made of, how dense they are, and the mean variance of their
        background's noise: 1 in a dense frame, more where spots of several regions overlap.
        """
        emitters = np.mean([len(composite.places) for composite in self._sample])
        side_um = self.examples.region_px * self.material.pixel_size_nm / 1000
        noise = np.mean([composite.noise.mean() for composite in self._sample])
        return {
            "emitters": len(self.material.emitters),
            "composites_density_per_um2": float(emitters / side_um**2),
            "composites_noise_variance": float(noise),
        }

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        """Return the batch of one step of one stream."""
        made = self.composites(step, stream)
        frames = self._fitted.apply(np.stack([composite.counts for composite in made]))
        spikes = [self._truth.spikes(composite.places) for composite in made]
        return Batch(frames, np.stack(spikes)[:, None])

    def composites(self, step: int, stream: int = TRAINING) -> list[Composite]:
        """Return the examples of one step of one stream, before they are scaled."""
        examples = self.examples
        first = step * examples.batch_size
        size = examples.training_examples if stream == TRAINING else examples.validation_examples
        numbers = range(first, first + examples.batch_size)
        pool = self.training if stream == TRAINING else self.validation
        return [self._composite(pool, stream, k % size if size else k) for k in numbers]

    @cached_property
    def _sample(self) -> list[Composite]:
        return [self._composite(self.training, SAMPLE, k) for k in range(SAMPLE_SIZE)]

    @cached_property
    def _sampled_counts(self) -> Float32Array:
        return np.stack([composite.counts for composite in self._sample])

    @cached_property
    def _fitted(self) -> FittedScaling:
        """The scaling that knows what a movie of such frames looks like."""
        return self.scaling.fit(self._sampled_counts, self.material.instrument)

    @cached_property
    def _truth(self) -> RegionTruth:
        material, side_px = self.material, self.examples.region_px
        return RegionTruth(material.emitters, material.pixel_size_nm, self.upsampling, side_px)

    def _composite(self, pool: Pool, stream: int, number: int) -> Composite:
        """Draw one example."""
        rng = np.random.default_rng([self.seed, stream, number])
        summed = self.examples.summed
        first = pool.first[rng.integers(len(pool.first))]
        others = pool.others[rng.integers(len(pool.others), size=summed - 1)]
        turns = rng.integers(8, size=summed) if self.is_turning else np.zeros(summed, np.int64)
        return self.combined(np.vstack([first, others]), turns)

    def combined(self, corners: IntArray, turns: IntArray) -> Composite:
        """Sum regions into one example.

        Parameters
        ----------
        corners : ndarray of int, shape (n, 3)
            Frame, top and left of each region, the first being the one whose background stays.
        turns : ndarray of int, shape (n,)
            See :func:`~deepstorm.training.examples.spots.orientation`.
        """
        material = self.material
        light, weight = (
            np.stack([self._region(image, *pair) for pair in zip(corners, turns, strict=True)])
            for image in (material.light, material.weight)
        )
        background = self._region(material.background, corners[0], turns[0])
        blend, noise = blended(light, weight)
        places = [
            oriented_places(self._truth.pixels(corner), self._truth.side, int(turn))
            for corner, turn in zip(corners, turns, strict=True)
        ]
        return Composite(background + blend, np.concatenate(places), noise)

    def _region(self, image: Float32Array, corner: IntArray, turn: int) -> Float32Array:
        frame, top, left = corner
        side = self.examples.region_px
        return orientation(image[frame, top : top + side, left : left + side], int(turn))


def blended(light: Float32Array, weight: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Add the spots of regions to the first of them, with the noise of one background.

    Parameters
    ----------
    light : ndarray of float32, shape (region, y, x)
        Counts above the background.
    weight : ndarray of float32, shape (region, y, x)
        1 on spots, 0 away from them.

    Returns
    -------
    sum : ndarray of float32, shape (y, x)
    variance : ndarray of float32, shape (y, x)
        Of the background's noise, in units of that of one region: max(1, Σ wᵢ²) over all regions
        where the first has a whole spot or none; in the border of its spots up to w₀² less.
    """
    added = np.square(weight[1:]).sum(axis=0)
    own = np.maximum(np.square(weight[0]), 1 - added)
    total = np.sqrt(own) * light[0] + (weight[1:] * light[1:]).sum(axis=0)
    return total.astype(np.float32), (own + added).astype(np.float32)
