from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial import cKDTree

from deepstorm.baselines.cel0 import Cel0, Cel0Settings, minimise_cel0
from deepstorm.baselines.imaging import Imaging, ImagingConditions
from deepstorm.structures import Instrument

CPU = torch.device("cpu")
LONG = Cel0Settings(
    upsampling=2, penalty=0.01, outer_iterations=60, inner_iterations=100, tolerance=1e-5
)


def functional(
    photons: torch.Tensor, light: torch.Tensor, imaging: Imaging, penalty: float
) -> float:
    """½‖A x − y‖² + Σ φ(x), as Soubies et al. define it."""
    norms = imaging.norms()
    edge = math.sqrt(2 * penalty) / norms
    phi = penalty - norms**2 / 2 * (photons - edge).clamp(max=0) ** 2
    return float((imaging.forward(photons) - light).square().sum() / 2 + phi.sum())


@pytest.fixture(scope="module")
def imaging() -> Imaging:
    return Imaging.gaussian((14, 14), 1.1, 2, CPU)


@pytest.fixture(scope="module")
def crowded(imaging: Imaging) -> torch.Tensor:
    """Eight emitters and noise, the highest pixel 1."""
    rng = np.random.default_rng(3)
    emitters = torch.zeros(1, 28, 28)
    emitters[0, rng.integers(4, 24, 8), rng.integers(4, 24, 8)] = 1.0
    light = imaging.forward(emitters)
    light += 0.01 * torch.from_numpy(rng.normal(size=(1, 14, 14)).astype(np.float32))
    return light / light.max()


def test_light_from_the_grid_is_found_without_bias(imaging: Imaging) -> None:
    """The relaxation is flat above its edge: unlike ℓ1, it takes nothing off bright emitters."""
    emitters = torch.zeros(1, 28, 28)
    emitters[0, 8, 9], emitters[0, 20, 18] = 7.0, 5.0
    found = minimise_cel0(imaging.forward(emitters), imaging, LONG)
    torch.testing.assert_close(found, emitters, atol=0.02, rtol=0)


def test_values_are_zero_or_above_the_edge(imaging: Imaging, crowded: torch.Tensor) -> None:
    """Soubies et al.: no minimiser has a value between 0 and sqrt(2 λ) / ‖a‖."""
    found = minimise_cel0(crowded, imaging, LONG)
    edge = math.sqrt(2 * LONG.penalty) / imaging.norms().expand_as(found)
    kept = found > 0
    assert 4 <= int(kept.sum()) <= 40
    assert (found[kept] >= 0.98 * edge[kept]).all()


@pytest.mark.parametrize(("factor", "emitters"), [(0.9, 0), (1.1, 1)])
def test_an_emitter_is_kept_above_the_edge(imaging: Imaging, factor: float, emitters: int) -> None:
    edge = math.sqrt(2 * LONG.penalty) / float(imaging.norms()[13, 13])
    light = torch.zeros(1, 28, 28)
    light[0, 13, 13] = factor * edge
    found = minimise_cel0(imaging.forward(light), imaging, LONG)
    assert int((found > 0.5 * edge).sum()) == emitters


def test_each_reweighting_lowers_the_functional(imaging: Imaging, crowded: torch.Tensor) -> None:
    values = []
    for outer in (1, 2, 4, 8, 16):
        settings = LONG.model_copy(update={"outer_iterations": outer})
        found = minimise_cel0(crowded, imaging, settings)
        values.append(functional(found, crowded, imaging, LONG.penalty))
    assert all(later <= earlier + 1e-5 for earlier, later in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def test_touching_pixels_are_one_emitter_at_their_centre(conditions: ImagingConditions) -> None:
    method = Cel0(conditions, Cel0Settings(upsampling=4))
    photons = np.zeros((2, 8, 8), np.float32)
    photons[1, 2, 3], photons[1, 3, 4], photons[1, 6, 6] = 300.0, 100.0, 50.0
    found = method._emitters(photons, first_frame=7)
    assert found.photons is not None
    order = np.argsort(found.photons)
    np.testing.assert_array_equal(found.frame, [8, 8])
    np.testing.assert_allclose(found.photons[order], [50, 400])
    np.testing.assert_allclose(found.x_nm[order], [162.5, 93.75])
    np.testing.assert_allclose(found.y_nm[order], [162.5, 68.75])


def test_each_pixel_is_an_emitter_where_asked_for(conditions: ImagingConditions) -> None:
    method = Cel0(conditions, Cel0Settings(upsampling=4, join_touching=False))
    photons = np.zeros((1, 8, 8), np.float32)
    photons[0, 2, 3:5] = 1.0
    assert len(method._emitters(photons, 0)) == 2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValidationError, match="penalty"):
        Cel0Settings(penalty=0.0)


def read_fits(path: Path) -> npt.NDArray[np.float32]:
    """Read a two-dimensional FITS image of 64-bit numbers."""
    raw = path.read_bytes()
    cards = [raw[start : start + 80].decode("ascii") for start in range(0, 2880, 80)]
    values = dict(card[:30].split("=") for card in cards if card[8] == "=")
    header = {key.strip(): value.strip() for key, value in values.items()}
    shape = int(header["NAXIS2"]), int(header["NAXIS1"])
    pixels = np.frombuffer(raw, ">f8", shape[0] * shape[1], 2880)
    return pixels.reshape(shape).astype(np.float32)


def test_the_authors_example_is_solved(reference_data: Path) -> None:
    """82 emitters on 64 × 64 pixels, the authors' parameters; the PSF's sigma is 1.5 pixels."""
    folder = reference_data / "cel0-toy"
    frame, truth = (read_fits(folder / f"{n}.fits") for n in ("NoisyAcquisition", "GroundTruth"))
    settings = Cel0Settings(
        upsampling=4, penalty=0.035, outer_iterations=200, inner_iterations=1000
    )
    method = Cel0(ImagingConditions(Instrument(0.0, 1.0, 1.5), 100.0, 0.0), settings)
    found = np.argwhere(method.deconvolve(frame[None])[0] > 0)
    emitters = np.argwhere(truth > 0)
    precision = np.mean(cKDTree(emitters).query(found, p=np.inf)[0] <= 1)
    recall = np.mean(cKDTree(found).query(emitters, p=np.inf)[0] <= 1)
    assert precision > 0.93
    assert recall > 0.9
