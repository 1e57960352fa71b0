from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from deepstorm.io.movies.movie import ArrayMovie
from deepstorm.models.architectures import NativeNetworkSettings, RefinementSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.native import NativeNetwork
from deepstorm.models.refinement import Refiner
from deepstorm.models.rendering import ConcentratedRendering
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction import refining as module
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.reconstruction.refining import refine
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Reconstruction

REFINEMENT = RefinementSettings(width=4, half_width=4, quarter_width=4)
NETWORK = NativeNetworkSettings(width=4, deep_width=8, upsampling=8)
PIXEL_NM = 100.0


Sums = npt.NDArray[np.float32]


def lively_refiner() -> Refiner:
    """Return a refiner whose scores vary from pixel to pixel."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = Refiner(REFINEMENT)
        nn.init.normal_(built.head.weight, std=3.0)
    return built.eval()


def refine_with(refiner: Refiner, sums: Sums) -> Sums:
    """Refine in PyTorch, as an engine would."""

    def run(part: Sums) -> Sums:
        with torch.inference_mode():
            refined = refiner(torch.from_numpy(np.ascontiguousarray(part[None])))
        return refined[0, 0].numpy()  # type: ignore[no-any-return]

    return refine(run, REFINEMENT, sums)


def draw_sums(height: int, width: int) -> Sums:
    rng = np.random.default_rng(height * width)
    return rng.gamma(0.3, 3.0, (3, height, width)).astype(np.float32)


@pytest.mark.parametrize("shape", [(320, 200), (301, 203), (160, 162), (7, 330), (1, 1)])
def test_tiles_leave_no_trace(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    refiner, sums = lively_refiner(), draw_sums(*shape)
    whole = refine_with(refiner, sums)
    assert (whole.shape, whole.dtype) == (shape, np.float32)
    monkeypatch.setattr(module, "TILE_PX", 2 * refiner.halo_px + 40)
    np.testing.assert_allclose(refine_with(refiner, sums), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(161, 203), (6, 13), (3, 1), (8, 8)])
def test_sizes_that_are_no_multiples_work(shape: tuple[int, int]) -> None:
    image = refine_with(lively_refiner(), draw_sums(*shape))
    assert image.shape == shape
    assert np.isfinite(image).all()
    assert image.min() >= 0


def test_as_much_leaves_the_field_as_enters_it() -> None:
    sums = draw_sums(161, 203)
    total = float(refine_with(lively_refiner(), sums).sum(dtype=float))
    assert total == pytest.approx(float(sums[1].sum(dtype=float)), rel=0.02)


def test_the_sums_are_not_changed() -> None:
    sums = draw_sums(9, 12)
    kept = sums.copy()
    refine_with(lively_refiner(), sums)
    np.testing.assert_array_equal(sums, kept)


@pytest.fixture
def network() -> NativeNetwork:
    """A network whose output varies, as that of a trained one does."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        built = build(NETWORK)
        nn.init.normal_(built.head.weight, std=0.5)
    return built.eval()


def reconstructed(network: NativeNetwork, upsampling: int | None = None) -> Reconstruction:
    card = NetworkCard(
        name="tiny",
        network=NETWORK,
        scaling=PhotonScaling(),
        rendering=ConcentratedRendering(),
        refinement=None if network.refiner is None else REFINEMENT,
    )
    settings = SimulationSettings(frames=6, height_px=21, width_px=18, density_per_um2=3)
    frames = np.concatenate(list(simulate_movie(settings, np.random.default_rng(4)).frames()))
    runner = Reconstructor(TrainedNetwork.of(network, card), upsampling=upsampling, engine="torch")
    return runner.reconstruct(ArrayMovie(frames), PIXEL_NM)


def test_the_image_is_refined_and_the_posterior_kept_beside_it(network: NativeNetwork) -> None:
    plain = reconstructed(network)
    network.refiner = lively_refiner()
    sharp = reconstructed(network)
    assert sharp.posterior is not None
    assert plain.posterior is not None
    np.testing.assert_array_equal(sharp.posterior, plain.posterior)
    assert sharp.image.shape == plain.image.shape == sharp.posterior.shape
    assert np.abs(sharp.image - plain.image).max() > 0.1 * plain.image.max()
    total = sharp.record["expected_emitters"]
    assert float(sharp.image.sum(dtype=float)) == pytest.approx(total, rel=1e-5)
    assert total == pytest.approx(plain.record["expected_emitters"])


def test_a_coarser_image_is_the_sum_of_the_refined_pixels(network: NativeNetwork) -> None:
    network.refiner = lively_refiner()
    fine, coarse = reconstructed(network), reconstructed(network, upsampling=4)
    assert coarse.pixel_size_nm == 2 * fine.pixel_size_nm
    blocks = fine.image.reshape(84, 2, 72, 2)
    np.testing.assert_allclose(coarse.image, blocks.sum(axis=(1, 3)), rtol=1e-4, atol=1e-5)
