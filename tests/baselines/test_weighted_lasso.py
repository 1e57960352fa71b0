from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from deepstorm.baselines.imaging import Imaging
from deepstorm.baselines.weighted_lasso import minimise_weighted_l1

SHAPE = (7, 8)


@pytest.fixture(scope="module")
def problem() -> tuple[Imaging, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Imaging, light, weights and penalties of one small frame."""
    rng = np.random.default_rng(2)
    imaging = Imaging.gaussian(SHAPE, 1.1, 2, torch.device("cpu"))
    emitters = torch.zeros(1, 14, 16)
    emitters[0, 4, 5], emitters[0, 9, 11], emitters[0, 9, 6] = 500.0, 300.0, 800.0
    light = imaging.forward(emitters)
    noise = torch.from_numpy(rng.normal(0, 4, (1, *SHAPE)).astype(np.float32))
    weights = 1 / (light + 10)
    penalty = 0.3 * torch.from_numpy(rng.uniform(0.5, 1.5, (1, 14, 16)).astype(np.float32))
    return imaging, light + noise, weights, penalty


def test_the_minimum_is_that_of_a_general_solver(
    problem: tuple[Imaging, torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    imaging, light, weights, penalty = problem
    whole = torch.kron(imaging.rows, imaging.columns).double().numpy()
    y, w, p = (values.double().numpy().ravel() for values in (light, weights, penalty))

    def value(x: np.typing.NDArray[np.float64]) -> float:
        return float((w * (whole @ x - y) ** 2).sum() / 2 + p @ x)

    def slope(x: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
        return np.asarray(whole.T @ (w * (whole @ x - y)) + p)

    bounds = [(0, None)] * len(p)
    options = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-12}
    known = minimize(value, np.zeros(len(p)), jac=slope, bounds=bounds, options=options)
    start = torch.zeros_like(penalty)
    found = minimise_weighted_l1(light, imaging, weights, penalty, start, 1500)
    ours = found.double().numpy().ravel()
    assert value(ours) == pytest.approx(known.fun, rel=2e-3)
    assert value(ours) < 0.5 * value(np.zeros(len(p)))


def test_no_value_is_negative_and_most_are_zero(
    problem: tuple[Imaging, torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    imaging, light, weights, penalty = problem
    start = torch.zeros_like(penalty)
    found = minimise_weighted_l1(light, imaging, weights, penalty, start, 100)
    assert found.min() >= 0
    assert (found == 0).float().mean() > 0.5
