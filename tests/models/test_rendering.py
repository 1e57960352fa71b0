from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from deepstorm.models.rendering import ConcentratedRendering, PlainRendering


def gaussian_blob(shape: tuple[int, int], y: float, x: float, sigma: float) -> Tensor:
    rows = torch.arange(shape[0], dtype=torch.float32) + 0.5 - y
    columns = torch.arange(shape[1], dtype=torch.float32) + 0.5 - x
    profiles = [torch.exp(-0.5 * (offset / sigma) ** 2) for offset in (rows, columns)]
    blob = torch.outer(*profiles)
    return (blob / blob.sum())[None, None]


def spread(image: Tensor) -> float:
    """Standard deviation along x, in pixels."""
    profile = image.sum(dim=(0, 1, 2)) / image.sum()
    x = torch.arange(len(profile)) + 0.5
    mean = (profile * x).sum()
    return float((profile * (x - mean) ** 2).sum().sqrt())


@given(
    st.integers(0, 2**31),
    st.floats(1, 8),
    st.integers(1, 6),
    st.sampled_from([0.5, 1.0, 2.0]),
)
@settings(max_examples=40, deadline=None)
def test_every_emitter_is_kept(seed: int, power: float, reach: int, smoothing: float) -> None:
    """Also at the borders, where the squares reach beyond the image."""
    generator = torch.Generator().manual_seed(seed)
    expected = torch.rand((2, 1, 17, 23), generator=generator) ** 6
    rendering = ConcentratedRendering(power=power, reach_px=reach, smoothing_px=smoothing)
    image = rendering(expected)
    assert image.shape == expected.shape
    assert bool((image >= 0).all())
    torch.testing.assert_close(image.sum(dim=(1, 2, 3)), expected.sum(dim=(1, 2, 3)))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1.0, 3.0, 4.0, 5.0, 2.5]),
    st.integers(1, 12),
    st.sampled_from([0.5, 1.0, 2.5]),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_it_is_what_its_description_says(
    height: int, width: int, power: float, reach: int, smoothing: float, seed: int
) -> None:
    """In double precision, by filters that mirror the image at its borders."""
    drawn = np.random.default_rng(seed).random((height, width)) ** 4
    side = 2 * reach + 1

    def box(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return ndimage.uniform_filter(image, side, mode="reflect")

    smooth = ndimage.gaussian_filter(drawn, smoothing, radius=round(3 * smoothing), mode="reflect")
    weight = smooth**power + 1e-20
    expected = weight * box(drawn / box(weight))
    rendering = ConcentratedRendering(power=power, reach_px=reach, smoothing_px=smoothing)
    found = rendering(torch.from_numpy(drawn.astype(np.float32))[None, None])[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_a_posterior_becomes_narrower_around_its_centre() -> None:
    blob = gaussian_blob((41, 41), 20.5, 20.5, 2.0)
    image = ConcentratedRendering()(blob)
    assert spread(image) < 0.6 * spread(blob)
    rows = torch.arange(41) + 0.5
    assert float((image.sum(dim=(0, 1, 3)) * rows).sum()) == pytest.approx(20.5, abs=1e-3)
    assert float((image.sum(dim=(0, 1, 2)) * rows).sum()) == pytest.approx(20.5, abs=1e-3)


def test_nothing_moves_farther_than_the_reach() -> None:
    expected = torch.zeros(1, 1, 31, 31)
    expected[0, 0, 10, 10] = 1.0
    expected[0, 0, 10, 22] = 0.2
    image = ConcentratedRendering(reach_px=4)(expected)
    assert float(image[0, 0, 6:15, 6:15].sum()) == pytest.approx(1.0, rel=1e-4)
    assert float(image[0, 0, 6:15, 18:27].sum()) == pytest.approx(0.2, rel=1e-4)


def test_two_distant_emitters_stay_two_and_keep_their_shares() -> None:
    expected = gaussian_blob((40, 60), 20, 20, 1.5) + 0.5 * gaussian_blob((40, 60), 20, 40, 1.5)
    image = ConcentratedRendering()(expected)
    assert float(image[..., :30].sum()) == pytest.approx(1.0, rel=0.01)
    assert float(image[..., 30:].sum()) == pytest.approx(0.5, rel=0.01)


def test_a_uniform_expectation_stays_uniform() -> None:
    """No clumps are invented where there are none, nor rims at the border."""
    expected = torch.full((1, 1, 60, 60), 0.01)
    torch.testing.assert_close(ConcentratedRendering()(expected), expected)


def test_an_unresolved_pair_of_lines_does_not_become_two() -> None:
    """Two lines closer than the posterior is wide: one ridge in, one ridge out."""
    x = torch.arange(40) + 0.5
    profile = sum(torch.exp(-0.5 * ((x - 20 - d) / 3) ** 2) for d in (-2.0, 2.0))
    assert isinstance(profile, Tensor)
    expected = 0.01 * profile.expand(1, 1, 40, 40)
    ridge = ConcentratedRendering()(expected)[0, 0, 20]
    is_peak = (ridge[1:-1] > ridge[:-2]) & (ridge[1:-1] >= ridge[2:]) & (ridge[1:-1] > 1e-4)
    assert int(is_peak.sum()) == 1


def test_an_empty_frame_stays_empty() -> None:
    image = ConcentratedRendering()(torch.zeros(1, 1, 16, 16))
    assert bool((image == 0).all())


def test_the_margin_is_all_that_matters() -> None:
    generator = torch.Generator().manual_seed(0)
    expected = torch.rand((1, 1, 60, 60), generator=generator) ** 8
    for rendering in (PlainRendering(), ConcentratedRendering(), ConcentratedRendering(reach_px=2)):
        margin = rendering.margin_px
        cut = expected[..., 20 - margin : 40 + margin, 20 - margin : 40 + margin]
        inner = rendering(cut)[..., margin : margin + 20, margin : margin + 20]
        torch.testing.assert_close(inner, rendering(expected)[..., 20:40, 20:40])
