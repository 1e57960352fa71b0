from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstorm.baselines.spots import Emitters, TaylorSpots, solve_damped
from deepstorm.simulation.psf import render_emitters

SHAPE = (12, 15)
SIGMA_PX = 1.2


def emitters(dy: float = 0.0, dx: float = 0.0) -> Emitters:
    """Two emitters in the first frame, one and a padding in the second."""
    return Emitters(
        torch.tensor([[300.0, 500.0], [400.0, 0.0]], dtype=torch.float64),
        torch.tensor([[4.3, 7.9], [6.2, 0.0]], dtype=torch.float64) + dy,
        torch.tensor([[5.1, 9.4], [3.3, 0.0]], dtype=torch.float64) + dx,
    )


def image(of: Emitters) -> torch.Tensor:
    still = torch.zeros_like(of.photons)
    return TaylorSpots.around(of, SIGMA_PX, SHAPE).image(torch.stack([of.photons, still, still]))


def test_images_are_those_of_the_simulation() -> None:
    of = emitters()
    expected = render_emitters(
        np.array([0, 0, 1]),
        of.x_px.flatten()[:3].numpy(),
        of.y_px.flatten()[:3].numpy(),
        of.photons.flatten()[:3].numpy(),
        np.full(3, SIGMA_PX),
        (2, *SHAPE),
    )
    # The simulation leaves out what is beyond five standard deviations.
    np.testing.assert_allclose(image(of).numpy(), expected, atol=1e-3)


@pytest.mark.parametrize(("dy", "dx"), [(0.05, 0.0), (0.0, 0.05), (-0.04, 0.03)])
def test_small_moves_are_linear(dy: float, dx: float) -> None:
    of = emitters()
    coefficients = torch.stack([of.photons, of.photons * dy, of.photons * dx])
    moved = TaylorSpots.around(of, SIGMA_PX, SHAPE).image(coefficients)
    still, truth = image(of), image(emitters(dy, dx))
    # What is left is of second order, (δ / sigma)² / 2 or so.
    assert (moved - truth).norm() < 0.05 * (truth - still).norm()


def test_projection_is_the_transposed_image() -> None:
    rng = np.random.default_rng(4)
    spots = TaylorSpots.around(emitters(), SIGMA_PX, SHAPE)
    coefficients = torch.from_numpy(rng.normal(size=(3, 2, 2)))
    pixels = torch.from_numpy(rng.normal(size=(2, *SHAPE)))
    there = (spots.image(coefficients) * pixels).sum()
    back = (coefficients * spots.project(pixels)).sum()
    assert there.item() == pytest.approx(back.item())


def test_the_solution_is_that_of_dense_algebra() -> None:
    rng = np.random.default_rng(5)
    spots = TaylorSpots.around(emitters(), SIGMA_PX, SHAPE)
    weights = torch.from_numpy(rng.uniform(0.5, 2, (2, *SHAPE)))
    residual = torch.from_numpy(rng.normal(size=(2, *SHAPE)))
    found = solve_damped(spots, weights, residual, damping=0.1, iterations=30)
    units = torch.eye(6, dtype=torch.float64).reshape(6, 3, 1, 2).expand(6, 3, 2, 2)
    design = torch.stack([spots.image(unit)[0].flatten() for unit in units], dim=1)
    normal = design.T @ (weights[0].flatten()[:, None] * design)
    damped = normal + 0.1 * torch.diag(normal.diag())
    expected = torch.linalg.solve(damped, design.T @ (weights[0] * residual[0]).flatten())
    torch.testing.assert_close(found[:, 0].flatten(), expected, rtol=1e-6, atol=1e-9)


def test_paddings_stay_as_they_are() -> None:
    spots = TaylorSpots.around(emitters(), SIGMA_PX, SHAPE)
    ones = torch.ones(2, *SHAPE, dtype=torch.float64)
    found = solve_damped(spots, ones, ones, damping=0.1, iterations=10)
    assert (found[:, 1, 1] == 0).all()
    assert torch.isfinite(found).all()
