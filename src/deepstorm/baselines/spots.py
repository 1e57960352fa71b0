"""Spots at any place, as images of emitters and as their linear model for small displacements."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Emitters:
    """The emitters of several frames, padded to as many per frame.

    Parameters
    ----------
    photons, y_px, x_px : Tensor, shape (frame, emitter)
        A padding has 0 photons.
    """

    photons: Tensor
    y_px: Tensor
    x_px: Tensor

    @property
    def there(self) -> Tensor:
        """Which entries are emitters rather than padding."""
        return self.photons > 0


@dataclass(frozen=True, slots=True)
class TaylorSpots:
    """First-order model of spots around their present places.

    A spot of p photons moved by (δy, δx) is about p·h − pδy·∂h/∂y − pδx·∂h/∂x, in which the three
    coefficients are linear. Here the derivatives are with respect to the emitter's place, so that
    all signs are positive.

    Parameters
    ----------
    y, x : Tensor, shape (frame, emitter, pixel)
        Profiles of unit light along each axis, integrated over camera pixels.
    dy, dx : Tensor, shape (frame, emitter, pixel)
        Their derivatives by the emitter's place, in light per camera pixel.
    """

    y: Tensor
    x: Tensor
    dy: Tensor
    dx: Tensor

    @classmethod
    def around(cls, emitters: Emitters, sigma_px: float, shape: tuple[int, int]) -> TaylorSpots:
        """Expand around the emitters' places, for a camera of ``shape`` (y, x)."""
        there = emitters.there[..., None]
        y, dy = _profile(emitters.y_px, sigma_px, shape[0])
        x, dx = _profile(emitters.x_px, sigma_px, shape[1])
        return cls(y * there, x * there, dy * there, dx * there)

    def image(self, coefficients: Tensor) -> Tensor:
        """Image the coefficients (p, pδy, pδx), (3, frame, emitter), as (frame, y, x)."""
        light, down, right = coefficients.unsqueeze(-1)
        along_x = light * self.x + right * self.dx
        image: Tensor = self.y.mT @ along_x + self.dy.mT @ (down * self.x)
        return image

    def project(self, pixels: Tensor) -> Tensor:
        """Apply the transposed map, (frame, y, x) to (3, frame, emitter)."""
        by_x, by_dx = self.x @ pixels.mT, self.dx @ pixels.mT
        return torch.stack(
            [(self.y * by_x).sum(-1), (self.dy * by_x).sum(-1), (self.y * by_dx).sum(-1)]
        )

    def curvature(self, weights: Tensor) -> Tensor:
        """Return the diagonal of the weighted normal matrix, (3, frame, emitter)."""
        by_x, by_dx = self.x.square() @ weights.mT, self.dx.square() @ weights.mT
        y, dy = self.y.square(), self.dy.square()
        return torch.stack([(y * by_x).sum(-1), (dy * by_x).sum(-1), (y * by_dx).sum(-1)])


def _profile(place_px: Tensor, sigma_px: float, length: int) -> tuple[Tensor, Tensor]:
    """Return profiles and their derivatives by the place, (frame, emitter, pixel)."""
    edges = torch.arange(length + 1, dtype=place_px.dtype, device=place_px.device)
    distance = (edges - place_px[..., None]) / sigma_px
    cumulative = torch.special.ndtr(distance)
    density = torch.exp(-0.5 * distance.square()) / (math.sqrt(2 * math.pi) * sigma_px)
    return cumulative.diff(dim=-1), -density.diff(dim=-1)


def solve_damped(
    spots: TaylorSpots, weights: Tensor, residual: Tensor, damping: float, iterations: int
) -> Tensor:
    """Solve the damped weighted normal equations by preconditioned conjugate gradients.

    Parameters
    ----------
    spots : TaylorSpots
    weights : Tensor, shape (frame, y, x)
        One over the variance of each pixel.
    residual : Tensor, shape (frame, y, x)
        Light that the spots at their present places do not explain.
    damping : float
        What is added to the diagonal, as a fraction of it (Marquardt).
    iterations : int

    Returns
    -------
    Tensor, shape (3, frame, emitter)
        Changes (p, pδy, pδx); 0 for paddings.
    """
    diagonal = spots.curvature(weights)
    inverse = torch.where(diagonal > 0, 1 / ((1 + damping) * diagonal), 0.0)
    solution = torch.zeros_like(diagonal)
    left = spots.project(weights * residual)
    search = direction = inverse * left
    power = _per_frame(left, search)
    for _ in range(iterations):
        image = spots.project(weights * spots.image(direction)) + damping * diagonal * direction
        length = power / _per_frame(direction, image).clamp(min=1e-30)
        solution = solution + length * direction
        left = left - length * image
        search = inverse * left
        before, power = power, _per_frame(left, search)
        direction = search + power / before.clamp(min=1e-30) * direction
    return solution


def _per_frame(first: Tensor, second: Tensor) -> Tensor:
    """Return the inner product within each frame, (frame, 1)."""
    return (first * second).sum(dim=(0, 2))[:, None]
