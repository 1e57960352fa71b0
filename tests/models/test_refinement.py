from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from deepstorm.models.architectures import RefinementSettings
from deepstorm.models.checkpoint import load_network
from deepstorm.models.refinement import SUMS, Refiner
from deepstorm.models.zoo import find_network

TINY = RefinementSettings(width=4, half_width=4, quarter_width=4)


def refiner(shape: RefinementSettings = TINY, head: float = 3.0) -> Refiner:
    """Return a refiner whose scores vary from pixel to pixel, unlike those of a fresh one."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = Refiner(shape)
        nn.init.normal_(built.head.weight, std=head)
    return built.eval()


def sums(height: int, width: int, level: float = 0.5, seed: int = 0) -> Tensor:
    """Return sums over a movie of uneven brightness, much of it empty."""
    rng = np.random.default_rng(seed)
    posterior = level * rng.gamma(0.3, 1 / 0.3, (height, width))
    gathered = rng.permutation(posterior.ravel()).reshape(height, width)
    drawn = np.stack([posterior, gathered, posterior**2])[None]
    assert drawn.shape[1] == SUMS
    return torch.from_numpy(drawn.astype(np.float32))


@torch.no_grad()
def refined(built: Refiner, image: Tensor) -> Tensor:
    return built(image)[0, 0]  # type: ignore[no-any-return]


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_the_total_is_kept_whatever_the_size(height: int, width: int, seed: int) -> None:
    given_sums = sums(height, width, seed=seed)
    image = refined(refiner(), given_sums)
    assert image.shape == (height, width)
    assert (image >= 0).all()
    assert float(image.sum()) == pytest.approx(float(given_sums[0, 1].sum()), rel=1e-5)


@pytest.mark.parametrize("place", [(0, 0), (0, 20), (39, 37), (38, 0)])
def test_light_at_the_border_stays_in_the_image(place: tuple[int, int]) -> None:
    image = torch.zeros(1, SUMS, 40, 38)
    image[..., place[0], place[1]] = 2.5
    assert float(refined(refiner(), image).sum()) == pytest.approx(2.5, rel=1e-5)


@pytest.mark.parametrize("reach_px", [1, 5])
def test_nothing_moves_farther_than_its_reach(reach_px: int) -> None:
    shape = TINY.model_copy(update={"reach_px": reach_px})
    image = sums(60, 60)
    image[:, 1] = 0
    image[:, 1, 27, 33] = 4.0
    rows, columns = torch.nonzero(refined(refiner(shape), image), as_tuple=True)
    assert (rows.min(), rows.max()) == (27 - reach_px, 27 + reach_px)
    assert (columns.min(), columns.max()) == (33 - reach_px, 33 + reach_px)


def test_no_emitters_give_an_empty_image() -> None:
    image = torch.zeros(1, SUMS, 24, 24, requires_grad=True)
    built = refiner()
    answer = built(image)
    assert (answer == 0).all()
    answer.sum().backward()
    assert all(bool(w.grad is None or w.grad.isfinite().all()) for w in built.parameters())


def test_a_longer_movie_is_the_same_image_times_a_factor() -> None:
    # So much light that its level is at the end of the range that is told.
    image = sums(48, 48, level=50.0) + 5
    once, often = refined(refiner(), image), refined(refiner(), 100 * image)
    torch.testing.assert_close(often, 100 * once, rtol=0.02, atol=0.05 * 100 * float(once.mean()))


def test_the_embedded_refiner_hardly_minds_the_length_of_a_movie() -> None:
    built = load_network(find_network())[0].refiner
    assert built is not None
    # A line, a little blurred; short and a hundred times as long.
    across = np.exp(-0.5 * ((np.arange(96) - 48.3) / 4) ** 2)
    line = torch.from_numpy(np.tile(across, (96, 1)).astype(np.float32))
    short = torch.stack([line, line, 0.1 * line])[None] * 0.5
    once, often = refined(built, short), refined(built, 100 * short)
    assert float(often.sum() / once.sum()) == pytest.approx(100, rel=1e-4)
    assert np.corrcoef(once.ravel(), often.ravel())[0, 1] > 0.85


@pytest.mark.parametrize("start", [(0, 0), (40, 8), (100, 92)])
def test_the_middle_of_a_tile_is_as_in_the_whole(start: tuple[int, int]) -> None:
    built, whole = refiner(), sums(260, 252)
    image, halo, side = refined(built, whole), built.halo_px, 160
    assert halo % built.divisor == 0
    y, x = start
    tile = refined(built, whole[..., y : y + side, x : x + side])
    inner = slice(halo, side - halo)
    there = image[y : y + side, x : x + side]
    torch.testing.assert_close(tile[inner, inner], there[inner, inner], rtol=1e-4, atol=1e-5)


def test_nothing_beyond_the_halo_is_seen() -> None:
    built = refiner().double()
    image = sums(200, 200).double().requires_grad_()
    # Neighbours, since pooling cells make the reach depend on the place.
    for centre in range(98, 102):
        (gradient,) = torch.autograd.grad(built(image)[0, 0, centre, centre], image)
        touched = gradient[0].abs().sum(0).nonzero()
        assert 40 < (touched - centre).abs().max() <= built.halo_px


def test_a_fresh_refiner_hardly_changes_the_image() -> None:
    image = sums(64, 64) + 0.5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = Refiner(TINY)
    gathered = image[0, 1]
    distance = (refined(fresh, image) - gathered).abs().mean() / gathered.mean()
    assert distance < 0.25


@pytest.mark.parametrize("values", [{"width": 0}, {"reach_px": 0}, {"reach_px": 33}, {"depth": 2}])
def test_impossible_settings_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        RefinementSettings.model_validate(values)
