from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from by_blocks import by_blocks
from torch import nn

from deepstorm.io.movies.movie import ArrayMovie
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.card import NetworkCard
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction import predictor, reconstructor
from deepstorm.reconstruction.engines.torch_engine import TorchEngine
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.structures import Calibration, Estimate, Localizations, Reconstruction

Counts = npt.NDArray[Any]

PIXEL_NM = 100.0


@pytest.fixture(autouse=True)
def torch_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network here is no module that another runtime converts."""
    monkeypatch.setattr(
        predictor,
        "choose_engine",
        lambda network, device, engine: TorchEngine(network),
    )


@pytest.fixture(autouse=True)
def a_camera_that_counts_photons(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests look at is no movie to calibrate by: a single pixel is bright."""

    def calibrate(frames: Counts, **_: object) -> Calibration:
        unknown, none = Estimate(0.0, np.inf), np.zeros(frames.shape[1:], bool)
        return Calibration(
            adu_per_photon=Estimate(1.0, 0.0),
            zero_adu=Estimate(0.0, 0.0),
            sigma_px=Estimate(1.2, 0.0),
            background_photons=unknown,
            background_unevenness=unknown,
            signal_photons=unknown,
            density_per_px=unknown,
            drift_px=unknown,
            hot_pixels=none,
            dead_pixels=none,
            frames=len(frames),
        )

    monkeypatch.setattr(reconstructor, "calibrate_frames", calibrate)


def localized(
    reconstructor: Reconstructor, movie: Counts
) -> tuple[Reconstruction, list[Localizations]]:
    return by_blocks(reconstructor, ArrayMovie(movie), PIXEL_NM)


class CentreMarker(nn.Module):
    """Marks the middle of each camera pixel that is brighter than the background."""

    divisor, halo_px, channels, refiner = 4, 24, 3, None

    def __init__(self, upsampling: int) -> None:
        super().__init__()
        self.upsampling = upsampling

    def weights_checksum(self) -> str:
        return ""

    def expected_emitters(self, frames: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = frames.shape
        output = torch.zeros(batch, 1, height * self.upsampling, width * self.upsampling)
        middle = slice(self.upsampling // 2, None, self.upsampling)
        output[:, :, middle, middle] = (frames[:, :1] > 1).float()
        return output


def marker(upsampling: int, coarser: int | None = None) -> Reconstructor:
    network: Any = CentreMarker(upsampling)
    shape = NativeNetworkSettings(upsampling=upsampling)
    card = NetworkCard(name="marker", network=shape, scaling=PhotonScaling())
    return Reconstructor(TrainedNetwork.of(network, card), upsampling=coarser)


def bright_pixel(height: int, width: int) -> Counts:
    movie = np.full((2, height, width), 100, np.uint16)
    movie[1, 3, 12] = 1000
    return movie


@pytest.mark.parametrize(("upsampling", "middle"), [(8, 4.5), (5, 2.5), (1, 0.5)])
@pytest.mark.parametrize("size", [(10, 20), (4, 13)])
def test_a_pixel_lies_between_its_corners(
    upsampling: int, middle: float, size: tuple[int, int]
) -> None:
    result, (found,) = localized(marker(upsampling), bright_pixel(*size))
    expected = np.zeros_like(result.image)
    expected[3 * upsampling + int(middle), 12 * upsampling + int(middle)] = 1
    np.testing.assert_array_equal(result.image, expected)
    assert found.frame.tolist() == [1]
    assert found.y_nm == pytest.approx(PIXEL_NM * (3 + middle / upsampling))
    assert found.x_nm == pytest.approx(PIXEL_NM * (12 + middle / upsampling))
    assert found.confidence == pytest.approx(1)


def test_frames_are_filled_up_with_their_last_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[npt.NDArray[np.float32]] = []

    def watch(self: CentreMarker, frames: torch.Tensor) -> torch.Tensor:
        seen.append(frames.numpy())
        return torch.zeros_like(frames[:, :1])

    monkeypatch.setattr(CentreMarker, "expected_emitters", watch)
    movie = np.random.default_rng(0).poisson(100, (2, 5, 7))
    localized(marker(1), movie)
    (frames,) = seen
    assert frames.shape == (2, 3, 8, 8)
    scaled = frames[..., :5, :7]
    assert scaled[:, 0].std() > 0.1
    filling = ((0, 0), (0, 0), (0, 3), (0, 1))
    np.testing.assert_array_equal(frames, np.pad(scaled, filling, mode="edge"))


@pytest.mark.parametrize("size", [(9, 10), (10, 11), (11, 9)])
def test_an_emitter_at_the_border_is_not_joined_with_filled_up_pixels(
    size: tuple[int, int],
) -> None:
    # Frames whose sides are no multiples of the divisor are filled up, here with bright pixels.
    movie = np.full((1, *size), 100, np.uint16)
    movie[0, -1, -1] = 1000
    _, (found,) = localized(marker(2), movie)
    assert found.y_nm.tolist() == [PIXEL_NM * (size[0] - 0.25)]
    assert found.x_nm.tolist() == [PIXEL_NM * (size[1] - 0.25)]
    assert found.confidence == pytest.approx(1)


def test_a_coarser_image_keeps_the_place_and_the_localizations() -> None:
    result, (found,) = localized(marker(8, coarser=2), bright_pixel(10, 20))
    assert np.argwhere(result.image).tolist() == [[7, 25]]
    assert found.x_nm == pytest.approx(1256.25)


@pytest.mark.parametrize("place", [(0, 0), (39, 40), (40, 39), (61, 5), (99, 129), (55, 80)])
def test_tiles_keep_places(place: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "TILE_PX", 64)
    movie = np.full((1, 100, 130), 100, np.uint16)
    movie[0][place] = 1000
    result, (found,) = localized(marker(8), movie)
    assert np.argwhere(result.image).tolist() == [[8 * place[0] + 4, 8 * place[1] + 4]]
    assert found.y_nm.tolist() == pytest.approx([100 * place[0] + 56.25])
    assert found.x_nm.tolist() == pytest.approx([100 * place[1] + 56.25])
