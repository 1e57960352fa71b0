from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.reconstruction.tiling import Span, spans, tiles


@st.composite
def axes(draw: st.DrawFn, divisor: int = 1) -> tuple[int, int, int]:
    """Length of an axis, size of a tile and halo, all multiples of a divisor."""
    halo = divisor * draw(st.integers(0, 12))
    tile = 2 * halo + divisor * draw(st.integers(1, 40))
    length = divisor * draw(st.integers(1, 300))
    return length, tile, halo


@given(axes())
def test_cores_cover_the_axis_exactly_once(axis: tuple[int, int, int]) -> None:
    length, tile, halo = axis
    covered = np.zeros(length, int)
    for span in spans(length, tile, halo):
        assert 0 <= span.start <= span.core_start < span.core_stop <= span.stop <= length
        covered[span.core_start : span.core_stop] += 1
    assert (covered == 1).all()


@given(axes())
def test_cores_are_in_order(axis: tuple[int, int, int]) -> None:
    found = list(spans(*axis))
    assert [span.core_start for span in found[1:]] == [span.core_stop for span in found[:-1]]


@given(axes())
def test_tiles_have_one_size_and_are_as_few_as_will_do(axis: tuple[int, int, int]) -> None:
    length, tile, halo = axis
    found = list(spans(length, tile, halo))
    sizes = {span.stop - span.start for span in found}
    assert len(sizes) == 1
    assert max(sizes) <= min(tile, length)
    # So many largest ones cover the axis, and one fewer does not.
    covered = [2 * halo + count * (tile - 2 * halo) for count in (len(found) - 1, len(found))]
    assert covered[0] < max(length, 2 * halo + 1) <= max(covered[1], tile)


def test_tiles_are_no_larger_than_their_number_needs() -> None:
    """Two tiles of 340 pixels cover 400, and so do two of 228."""
    assert list(spans(400, 340, 28, 4)) == [Span(0, 228, 0, 200), Span(172, 400, 200, 400)]


@given(axes())
def test_what_is_kept_has_a_halo_or_touches_the_border(axis: tuple[int, int, int]) -> None:
    length, tile, halo = axis
    for span in spans(length, tile, halo):
        assert span.start == 0 or span.core_start - span.start >= halo
        assert span.stop == length or span.stop - span.core_stop >= halo


@given(st.sampled_from([2, 4, 8]).flatmap(lambda d: st.tuples(st.just(d), axes(d))))
def test_tiles_begin_at_multiples_of_the_divisor(case: tuple[int, tuple[int, int, int]]) -> None:
    divisor, axis = case
    for span in spans(*axis, divisor):
        assert span.start % divisor == span.core_start % divisor == 0
        assert (span.stop - span.start) % divisor == 0


def test_a_short_axis_is_one_tile() -> None:
    assert list(spans(30, 64, 24)) == [Span(0, 30, 0, 30)]
    assert list(spans(64, 64, 24)) == [Span(0, 64, 0, 64)]


def test_a_long_axis_by_hand() -> None:
    assert list(spans(100, 64, 24)) == [
        Span(0, 61, 0, 37),
        Span(13, 74, 37, 50),
        Span(26, 87, 50, 63),
        Span(39, 100, 63, 100),
    ]


@pytest.mark.parametrize("shape", [(100, 30), (30, 100), (96, 112), (5, 7)])
def test_tiles_cover_a_field_row_by_row(shape: tuple[int, int]) -> None:
    covered = np.zeros(shape, int)
    places = []
    for rows, columns in tiles(shape, 64, 24):
        covered[rows.core(1), columns.core(1)] += 1
        places.append((rows.core_start, columns.core_start))
    assert (covered == 1).all()
    assert places == sorted(places)


@given(axes(), st.integers(1, 8))
def test_cores_of_tiles_and_of_the_field_are_the_same_pixels(
    axis: tuple[int, int, int], upsampling: int
) -> None:
    length, tile, halo = axis
    field = np.arange(length * upsampling)
    for span in spans(length, tile, halo):
        seen = field[span.start * upsampling : span.stop * upsampling]
        np.testing.assert_array_equal(
            seen[span.core_within(upsampling)], field[span.core(upsampling)]
        )


def test_a_span_is_limited_to_the_field() -> None:
    span = Span(36, 100, 72, 100)
    limited = span.limited(97)
    assert limited == Span(36, 97, 72, 97)
    assert span.limited(200) == span
    assert limited.seen == slice(36, 97)
    assert limited.seen_within(8) == slice(0, 488)
    assert limited.core(8) == slice(576, 776)
    assert limited.core_within(8) == slice(288, 488)


@pytest.mark.parametrize("tile", [40, 48])
def test_a_tile_that_is_all_halo_is_refused(tile: int) -> None:
    with pytest.raises(ValueError, match="is all halo"):
        list(spans(100, tile, 24))
