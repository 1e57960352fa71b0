from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from deepstorm.baselines.falcon import Falcon, FalconSettings, _merged
from deepstorm.baselines.imaging import ImagingConditions
from deepstorm.baselines.spots import Emitters
from deepstorm.evaluation.matching import match_emitters
from deepstorm.localization.bounds import cramer_rao_nm
from deepstorm.simulation.psf import render_emitters
from deepstorm.structures import Localizations

SIGMA_PX = 1.1
CAREFUL = FalconSettings(min_significance=6.0)


def exposed(
    truth: Localizations, shape: tuple[int, int, int], rng: np.random.Generator | None
) -> npt.NDArray[np.float64]:
    """Image emitters over ten photons of background, without noise if there is no generator."""
    assert truth.photons is not None
    widths = np.full(len(truth), SIGMA_PX)
    x_px, y_px = truth.x_nm / 100, truth.y_nm / 100
    light = 10 + render_emitters(truth.frame, x_px, y_px, truth.photons, widths, shape)
    return light if rng is None else rng.poisson(light).astype(np.float64)


def lattice(photons: float, rng: np.random.Generator) -> Localizations:
    """An emitter in each of 48 cells of 8 × 8 pixels, off the grid by a random part of a pixel."""
    row, column = np.divmod(np.arange(48), 8)
    return Localizations(
        frame=np.zeros(48, np.int64),
        x_nm=100 * (8 * column + 3.5 + rng.uniform(0, 1, 48)),
        y_nm=100 * (8 * row + 3.5 + rng.uniform(0, 1, 48)),
        photons=np.full(48, photons),
    )


def test_isolated_emitters_reach_the_cramer_rao_bound(conditions: ImagingConditions) -> None:
    rng = np.random.default_rng(7)
    truth = lattice(800.0, rng)
    found = Falcon(conditions, CAREFUL).localize(exposed(truth, (1, 48, 64), rng))
    pairs = match_emitters(found, truth, radius_nm=60.0)
    assert len(pairs) == 48
    assert len(found) <= 52
    bound_nm = cramer_rao_nm(np.array([800.0]), np.array([10.0]), 110.0, 100.0)[0]
    per_axis_nm = np.sqrt(np.mean(pairs.distance_nm**2) / 2)
    # The mean of 96 squares is within a quarter of its expectation, its root within an eighth.
    assert 0.8 * bound_nm < per_axis_nm < 1.25 * bound_nm
    offset_nm = found.x_nm[pairs.predicted_index] - truth.x_nm[pairs.truth_index]
    assert abs(np.mean(offset_nm)) < 4 * bound_nm / np.sqrt(48)


def test_without_noise_places_and_photons_are_exact(conditions: ImagingConditions) -> None:
    """The ℓ1 norm draws photons down, and the grid draws places to it; the last fits undo both."""
    truth = lattice(800.0, np.random.default_rng(8))
    found = Falcon(conditions, CAREFUL).localize(exposed(truth, (1, 48, 64), None))
    pairs = match_emitters(found, truth, radius_nm=60.0)
    assert len(pairs) == len(found) == 48
    assert pairs.distance_nm.max() < 0.5
    assert found.photons is not None
    np.testing.assert_allclose(found.photons, 800, rtol=0.01)


def test_overlapping_pairs_are_told_apart(conditions: ImagingConditions) -> None:
    """At 2.5 sigma the sum of two spots has hardly a dip between them."""
    rng = np.random.default_rng(9)
    y_nm, middle_nm = 100 * (6 + 12 * rng.uniform(0, 1, 20)), 100 * (8 + 8 * rng.uniform(0, 1, 20))
    truth = Localizations(
        frame=np.repeat(np.arange(20), 2),
        x_nm=(middle_nm[:, None] + np.array([-137.5, 137.5])).ravel(),
        y_nm=np.repeat(y_nm, 2),
        photons=np.full(40, 1000.0),
    )
    found = Falcon(conditions, CAREFUL).localize(exposed(truth, (20, 24, 24), rng))
    pairs = match_emitters(found, truth, radius_nm=60.0)
    assert len(pairs) >= 36
    assert np.sqrt(np.mean(pairs.distance_nm**2)) < 25


def test_dim_emitters_are_dropped(conditions: ImagingConditions) -> None:
    truth = Localizations(
        frame=np.array([0, 0]),
        x_nm=np.array([500.0, 1500.0]),
        y_nm=np.array([520.0, 480.0]),
        photons=np.array([800.0, 60.0]),
    )
    frames = exposed(truth, (1, 10, 20), None)
    assert len(Falcon(conditions, FalconSettings(min_significance=8.0)).localize(frames)) == 1


def test_noise_alone_gives_few_emitters(conditions: ImagingConditions) -> None:
    frames = np.random.default_rng(10).poisson(10.0, (4, 32, 32)).astype(np.float64)
    assert len(Falcon(conditions, CAREFUL).localize(frames)) <= 2


def test_emitters_that_meet_are_joined_at_their_centre_of_light() -> None:
    emitters = Emitters(
        torch.tensor([[100.0, 300.0, 50.0, 0.0]]),
        torch.tensor([[5.0, 5.2, 9.0, 0.0]]),
        torch.tensor([[5.0, 5.0, 9.0, 0.0]]),
    )
    joined = _merged(emitters, 0.3)
    torch.testing.assert_close(joined.photons.sort().values, torch.tensor([[50.0, 400.0]]))
    assert joined.y_px.min().item() == pytest.approx(5.15)
    assert _merged(emitters, 0.1).there.sum() == 3


def test_equal_emitters_at_one_place_become_one() -> None:
    same = torch.full((1, 2), 5.0)
    joined = _merged(Emitters(torch.full((1, 2), 70.0), same, same), 0.1)
    assert joined.photons.tolist() == [[140.0]]
