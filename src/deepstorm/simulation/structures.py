"""Structures: scenes realised once, in a field of view, ready to be sampled.

Positions are in nm from the outer corner of the top-left camera pixel, arrays of shape (n, 2) as
(x, y). A structure may reach beyond the field: light from outside enters an image, too. Its own
``field`` says over which area a density of emitters is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deepstorm.arrays import BoolArray, Float64Array

# Width over which one filament or cluster hides another at the resolution of a microscope.
FOOTPRINT_WIDTH_NM = 500.0


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """The rectangle that a scene fills.

    Parameters
    ----------
    width_nm, height_nm : float
        Size of the camera's field along x and y.
    margin_nm : float
        How far emitters are placed beyond each border.
    """

    width_nm: float
    height_nm: float
    margin_nm: float = 0.0

    @property
    def area_um2(self) -> float:
        """Area including the margin, in µm²."""
        return (self.width_nm + 2 * self.margin_nm) * (self.height_nm + 2 * self.margin_nm) / 1e6

    @property
    def low_nm(self) -> Float64Array:
        """Smallest (x, y) at which emitters are placed."""
        return np.full(2, -self.margin_nm)

    @property
    def span_nm(self) -> Float64Array:
        """Extent (x, y) of the area in which emitters are placed."""
        return np.array([self.width_nm, self.height_nm]) + 2 * self.margin_nm

    def contains(self, positions: Float64Array) -> BoolArray:
        """Tell which positions lie within the field and its margin."""
        high_nm = self.low_nm + self.span_nm
        inside: BoolArray = np.all((positions >= self.low_nm) & (positions < high_nm), axis=1)
        return inside

    def uniform(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw ``n`` positions uniformly from the field and its margin."""
        return self.low_nm + rng.random((n, 2)) * self.span_nm

    def without_margin(self) -> FieldOfView:
        """Return the camera's field alone."""
        return FieldOfView(self.width_nm, self.height_nm)


class Structure(Protocol):
    """One realisation of a scene."""

    @property
    def field(self) -> FieldOfView:
        """Rectangle over which a density of emitters is counted."""

    @property
    def footprint_um2(self) -> float:
        """Area in µm² that the structure covers as a microscope sees it."""

    def sample(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw ``n`` emitter positions, shape (n, 2) as (x, y) in nm."""


@dataclass(frozen=True, slots=True)
class UniformStructure:
    """Emitters anywhere in the field."""

    field: FieldOfView

    @property
    def footprint_um2(self) -> float:
        """The whole field with its margin."""
        return self.field.area_um2

    def sample(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw positions uniformly."""
        return self.field.uniform(n, rng)


@dataclass(frozen=True, slots=True)
class CurveStructure:
    """Emitters along polylines, scattered across them within a tube.

    Parameters
    ----------
    starts, ends : ndarray, shape (segments, 2)
        Segments (x, y) in nm; those outside the field have been left out.
    radius_nm : float
        Emitters lie at up to this distance from the centre line, as seen from above on the surface
        of a tube.
    field : FieldOfView
    """

    starts: Float64Array
    ends: Float64Array
    radius_nm: float
    field: FieldOfView

    @property
    def footprint_um2(self) -> float:
        """Length times the width of a diffraction-limited line, at most the field."""
        length_nm = float(np.linalg.norm(self.ends - self.starts, axis=1).sum())
        return min(length_nm * FOOTPRINT_WIDTH_NM / 1e6, self.field.area_um2)

    def sample(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw positions uniformly along the length."""
        step = self.ends - self.starts
        length = np.linalg.norm(step, axis=1)
        chosen = rng.choice(len(length), size=n, p=length / length.sum())
        along = rng.random((n, 1))
        normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / length[:, None]
        across = self.radius_nm * np.cos(rng.uniform(0, np.pi, (n, 1)))
        positions: Float64Array = (
            self.starts[chosen] + along * step[chosen] + across * normal[chosen]
        )
        return positions


@dataclass(frozen=True, slots=True)
class PointStructure:
    """Emitters around given sites, with a Gaussian scatter.

    Parameters
    ----------
    sites : ndarray, shape (sites, 2)
        Positions (x, y) in nm; at least one.
    scatter_nm : float
        Standard deviation of the scatter around a site; 0 for the sites themselves.
    field : FieldOfView
    """

    sites: Float64Array
    scatter_nm: float
    field: FieldOfView

    @property
    def footprint_um2(self) -> float:
        """Area of the distinct diffraction-limited spots, at most the field."""
        cells = np.unique(np.floor(self.sites / FOOTPRINT_WIDTH_NM), axis=0)
        return float(min(len(cells) * (FOOTPRINT_WIDTH_NM / 1e3) ** 2, self.field.area_um2))

    def sample(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw positions at random sites."""
        chosen = self.sites[rng.integers(len(self.sites), size=n)]
        return chosen + rng.normal(0.0, self.scatter_nm, (n, 2))


@dataclass(frozen=True, slots=True)
class PixelStructure:
    """Emitters in the pixels of an image, more where it is brighter.

    Parameters
    ----------
    centres : ndarray, shape (pixels, 2)
        Middles (x, y) of the pixels in nm.
    weights : ndarray, shape (pixels,)
        Expected emitters of each, in any unit; at least one is above 0.
    pixel_size_nm : float
        Emitters lie anywhere within a pixel.
    field : FieldOfView
    """

    centres: Float64Array
    weights: Float64Array
    pixel_size_nm: float
    field: FieldOfView

    @property
    def footprint_um2(self) -> float:
        """Area on which as many, spread evenly, would be as dense as around a typical one."""
        cells = np.floor((self.centres - self.field.low_nm) / FOOTPRINT_WIDTH_NM).astype(np.int64)
        _, cell = np.unique(cells, axis=0, return_inverse=True)
        light = np.bincount(cell, self.weights)
        area_um2 = (FOOTPRINT_WIDTH_NM / 1e3) ** 2 * light.sum() ** 2 / np.square(light).sum()
        return float(min(area_um2, self.field.area_um2))

    def sample(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw positions in pixels by their weights."""
        chosen = rng.choice(len(self.weights), size=n, p=self.weights / self.weights.sum())
        within = rng.uniform(-0.5, 0.5, (n, 2)) * self.pixel_size_nm
        positions: Float64Array = self.centres[chosen] + within
        return positions


@dataclass(frozen=True, slots=True)
class MixtureStructure:
    """Several structures in one field.

    Parameters
    ----------
    parts : tuple of Structure
        At least one.
    shares : tuple of float
        Part of the emitters that belong to each, sum 1.
    field : FieldOfView
    """

    parts: tuple[Structure, ...]
    shares: tuple[float, ...]
    field: FieldOfView

    @property
    def footprint_um2(self) -> float:
        """Mean area of the structures, each weighing as many emitters as it has."""
        areas = [part.footprint_um2 for part in self.parts]
        return float(np.dot(areas, self.shares))

    def sample(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw positions from all structures, in random order."""
        counts = rng.multinomial(n, self.shares)
        drawn = [part.sample(int(k), rng) for part, k in zip(self.parts, counts, strict=True)]
        return rng.permutation(np.concatenate(drawn))
