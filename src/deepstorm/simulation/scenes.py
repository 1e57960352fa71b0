"""Where emitters are: scenes are settings, realised once as a structure, which is then sampled.

What any scene has to do is :class:`Scene`; here are those without parts and pictures.
:mod:`deepstorm.simulation.scene_kinds` lists all of them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from deepstorm.arrays import Float64Array
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.simulation.structures import (
    CurveStructure,
    FieldOfView,
    PointStructure,
    Structure,
    UniformStructure,
)

# Draws of a whole set of filaments before it is certain that they cannot meet the field.
MAX_DRAWS = 100


class Scene(Protocol):
    """Settings that say where emitters are."""

    @property
    def kind(self) -> str:
        """What settings files call the scene."""

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> Structure:
        """Draw what is random about the scene, and return the structure that emitters sample."""


class UniformScene(Settings):
    """Emitters anywhere in the field."""

    kind: Literal["uniform"] = "uniform"

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> UniformStructure:
        """Return the structure; nothing about it is random."""
        return UniformStructure(field)


class FilamentScene(Settings):
    """Curved filaments such as microtubules, some of them in parallel bundles.

    Parameters
    ----------
    filaments : int
        Number of filaments in the field.
    radius_nm : float
        Radius of the labelled tube.
    bend_per_um : float
        Strength of a smooth random bending: the change of direction along one µm has a standard
        deviation of about 2.8 times this, in radians.
    waviness_nm : float
        Amplitude of a sideways wave, as the twisted tubes of the 2013 SMLM challenge have.
    wavelength_nm : float
        Wavelength of that wave.
    length_um : float
        Length of each filament, whose middle is in the field; 0 for filaments without ends.
    spacing_nm : float
        Where positive, filaments run side by side at about this distance; otherwise anywhere.

    Notes
    -----
    Filaments run through the middle of the area that they are drawn in more often than through its
    margin: the mean density within the camera's field is about a tenth above that of field and
    margin together.
    """

    kind: Literal["filaments"] = "filaments"
    filaments: int = Field(default=8, ge=1, le=10_000)
    radius_nm: float = Field(default=12.5, ge=0, le=1000)
    bend_per_um: float = Field(default=0.25, ge=0, le=10)
    waviness_nm: float = Field(default=0.0, ge=0, le=1000)
    wavelength_nm: float = Field(default=600.0, gt=10)
    length_um: float = Field(default=0.0, ge=0, le=1e5)
    spacing_nm: float = Field(default=0.0, ge=0)

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> CurveStructure:
        """Draw the filaments' courses.

        Raises
        ------
        InputError
            If no filament meets the field, because it is too small or they are too far apart.
        """
        for _ in range(MAX_DRAWS):
            starts, ends = self._segments(field, rng)
            inside = field.contains(starts) & field.contains(ends)
            if inside.any():
                return CurveStructure(starts[inside], ends[inside], self.radius_nm, field)
        width_nm, height_nm = field.span_nm
        raise InputError(
            f"no filament meets the field of {width_nm:g} × {height_nm:g} nm (margin included); "
            f"choose a spacing_nm below {self.spacing_nm:g}, or a larger field"
            if self.spacing_nm > 0
            else f"a field of {width_nm:g} × {height_nm:g} nm (margin included) is too small for "
            "filaments; choose a larger one"
        )

    def _segments(
        self, field: FieldOfView, rng: np.random.Generator
    ) -> tuple[Float64Array, Float64Array]:
        """Draw all filaments; return the starts and ends of their segments."""
        heading = rng.uniform(0, 2 * np.pi)
        centre = field.low_nm + field.span_nm * rng.uniform(0.2, 0.8, 2)
        curves = [
            self._curve(*self._anchor(index, heading, centre, field, rng), field, rng)
            for index in range(self.filaments)
        ]
        starts = np.concatenate([curve[:-1] for curve in curves])
        ends = np.concatenate([curve[1:] for curve in curves])
        return starts, ends

    def _anchor(
        self,
        index: int,
        heading: float,
        centre: Float64Array,
        field: FieldOfView,
        rng: np.random.Generator,
    ) -> tuple[Float64Array, float]:
        """Return a point that filament ``index`` passes through, and its direction there."""
        if self.spacing_nm == 0:
            return field.uniform(1, rng)[0], rng.uniform(0, 2 * np.pi)
        offset = (index - (self.filaments - 1) / 2) * self.spacing_nm * rng.uniform(0.8, 1.2)
        normal = np.array([-np.sin(heading), np.cos(heading)])
        return centre + offset * normal, heading + rng.normal(0, 0.08)

    def _curve(
        self, anchor: Float64Array, heading: float, field: FieldOfView, rng: np.random.Generator
    ) -> Float64Array:
        """Return a polyline through ``anchor``, its middle, shape (points, 2).

        The direction does a smoothed random walk away from the anchor on both sides. Filaments
        without ends are long enough to leave the field.
        """
        step_nm = 40.0
        half_nm = 500 * self.length_um or float(np.hypot(*field.span_nm))
        half = max(int(np.ceil(half_nm / step_nm)), 5)  # longer than the smoothing
        if self.length_um > 0:
            step_nm = half_nm / (half - 0.5)
        turns = rng.normal(0, self.bend_per_um * np.sqrt(step_nm / 1000), 2 * half)
        turns = np.convolve(turns, np.full(9, 1 / 9) * 3, mode="same")
        angle = np.cumsum(turns)
        angle += heading - angle[half]
        steps = step_nm * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points = np.cumsum(steps, axis=0)
        points += anchor - points[half]
        phase = rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi * np.arange(2 * half) * step_nm / self.wavelength_nm + phase)
        normal = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
        curve: Float64Array = points + self.waviness_nm * wave[:, None] * normal
        return curve


class ClusterScene(Settings):
    """Clusters or rings of emitters, such as receptors or nuclear pores.

    Parameters
    ----------
    clusters : int
        Number of clusters in the field.
    radius_nm : float
        Standard deviation of a cluster, or radius of a ring.
    ring : bool
        Whether emitters lie on a ring of eight corners rather than in a Gaussian blob.
    """

    kind: Literal["clusters"] = "clusters"
    clusters: int = Field(default=20, ge=1, le=100_000)
    radius_nm: float = Field(default=60.0, ge=0, le=10_000)
    ring: bool = False

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> PointStructure:
        """Draw the clusters' places."""
        centres = field.uniform(self.clusters, rng)
        if not self.ring:
            return PointStructure(centres, self.radius_nm, field)
        angle = rng.uniform(0, 2 * np.pi, (self.clusters, 1)) + np.arange(8) * np.pi / 4
        corners = self.radius_nm * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        sites = (centres[:, None, :] + corners).reshape(-1, 2)
        return PointStructure(sites, min(5.0, self.radius_nm / 8), field)


class StripeScene(Settings):
    """Pairs of horizontal lines at decreasing distance, as in the paper's Fig. 3.

    The lines end at the borders of the camera's field, and none lies in the margin.

    Parameters
    ----------
    separations_nm : tuple of float
        Distance between the two lines of each pair, from top to bottom.
    """

    kind: Literal["stripes"] = "stripes"
    separations_nm: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(100.0, 75.0, 50.0, 35.0, 25.0, 19.0), min_length=1
    )

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> CurveStructure:
        """Place the pairs evenly over the height; nothing about them is random."""
        n = len(self.separations_nm)
        centres = (np.arange(n) + 0.5) / n * field.height_nm
        half = np.asarray(self.separations_nm) / 2
        y = np.concatenate([centres - half, centres + half])
        starts = np.stack([np.zeros(2 * n), y], axis=1)
        ends = np.stack([np.full(2 * n, field.width_nm), y], axis=1)
        return CurveStructure(starts, ends, 0.0, field.without_margin())


class TableScene(Settings):
    """Emitters at given places, each as likely as the others.

    Parameters
    ----------
    positions_nm : tuple of (float, float)
        Places (x, y) in nm. Those outside the camera's field take their share of the emitters, so
        that the density within falls short of the requested one by as much.
    scatter_nm : float
        Standard deviation of a scatter around each place, for instance from the label's size.
    """

    kind: Literal["table"] = "table"
    positions_nm: tuple[tuple[float, float], ...] = Field(min_length=1)
    scatter_nm: float = Field(default=0.0, ge=0)

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> PointStructure:
        """Return the given places as a structure; nothing about them is random."""
        sites = np.asarray(self.positions_nm, np.float64)
        return PointStructure(sites, self.scatter_nm, field.without_margin())
