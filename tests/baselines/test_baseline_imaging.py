from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstorm.baselines.imaging import Imaging, ImagingConditions
from deepstorm.errors import InputError
from deepstorm.simulation.psf import render_emitters
from deepstorm.structures import Instrument

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def imaging() -> Imaging:
    return Imaging.gaussian((9, 12), 1.2, 3, CPU)


def matrix(imaging: Imaging) -> torch.Tensor:
    """The whole map, (camera pixel, fine pixel)."""
    return torch.kron(imaging.rows, imaging.columns)


def test_a_fine_pixel_is_an_emitter_in_its_middle(imaging: Imaging) -> None:
    emitters = torch.zeros(1, 27, 36)
    emitters[0, 10, 25] = 500.0
    x_px, y_px = np.array([25.5 / 3]), np.array([10.5 / 3])
    frame, photons, sigma_px = np.array([0]), np.array([500.0]), np.array([1.2])
    expected = render_emitters(frame, x_px, y_px, photons, sigma_px, (1, 9, 12))
    np.testing.assert_allclose(imaging.forward(emitters).numpy(), expected, atol=1e-3)


def test_adjoint_is_the_transposed_map(imaging: Imaging) -> None:
    noise = torch.Generator().manual_seed(1)
    emitters, pixels = (torch.randn(2, *shape, generator=noise) for shape in ((27, 36), (9, 12)))
    there = (imaging.forward(emitters) * pixels).sum()
    back = (emitters * imaging.adjoint(pixels)).sum()
    assert there.item() == pytest.approx(back.item(), rel=1e-4)


def test_norms_are_those_of_the_whole_matrix(imaging: Imaging) -> None:
    whole = matrix(imaging)
    torch.testing.assert_close(imaging.norms().flatten(), whole.norm(dim=0))
    largest = float(torch.linalg.eigvalsh(whole @ whole.T)[-1])
    assert imaging.squared_norm() == pytest.approx(largest, rel=1e-4)


def test_the_norm_of_a_spot_is_that_of_theory() -> None:
    """The squared norm of a sampled Gaussian is 1 / (4 pi sigma²), pixels widening it by 1/12."""
    imaging = Imaging.gaussian((21, 21), 1.5, 1, CPU)
    expected = 1 / (4 * np.pi * (1.5**2 + 1 / 12))
    assert imaging.norms()[10, 10].item() ** 2 == pytest.approx(expected, rel=0.01)


def test_counts_become_photons() -> None:
    conditions = ImagingConditions(Instrument(96.0, 4.0, 1.1), 100.0, 10.0)
    photons = conditions.photons(np.array([[[96, 136]]], np.uint16), CPU)
    assert photons.tolist() == [[[0.0, 10.0]]]


@pytest.mark.parametrize(
    "frames", [np.ones((4, 4)), np.ones((0, 4, 4)), np.full((1, 4, 4), np.inf)]
)
def test_what_is_no_stack_of_frames_is_refused(frames: np.typing.NDArray[np.float64]) -> None:
    conditions = ImagingConditions(Instrument(0.0, 1.0, 1.1), 100.0, 10.0)
    with pytest.raises(InputError, match=r"only finite numbers"):
        conditions.photons(frames, CPU)
