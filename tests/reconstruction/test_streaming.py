from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from deepstorm.reconstruction import streaming
from deepstorm.reconstruction.streaming import ahead, block_edges


def test_items_keep_their_order() -> None:
    assert list(ahead(range(20))) == list(range(20))
    assert list(ahead([])) == []
    assert list(ahead([0, None, ""])) == [0, None, ""]  # what is false is an item all the same


def test_the_next_item_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for index, event in enumerate(made):
            event.set()
            yield index

    for index in ahead(items()):
        if index < 2:
            assert made[index + 1].wait(10)


def test_items_are_made_one_step_ahead_alone() -> None:
    made = []

    def items() -> Iterator[int]:
        for index in range(10):
            made.append(index)
            yield index

    stream = ahead(items())
    next(stream)
    stream.close()
    assert made in ([0], [0, 1])


def test_an_error_comes_in_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


def test_leaving_early_ends_the_source_and_the_thread() -> None:
    ended = threading.Event()
    before = threading.active_count()

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            ended.set()

    stream = ahead(ahead(items()))
    next(stream)
    stream.close()
    assert ended.is_set()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (None, [(0, 4), (4, 4), (8, 3)]),
        (4, [(0, 4), (4, 4), (8, 3)]),
        (5, [(0, 4), (4, 1), (5, 4), (9, 1), (10, 1)]),
        (3, [(0, 3), (3, 3), (6, 3), (9, 2)]),
        (100, [(0, 4), (4, 4), (8, 3)]),
    ],
)
def test_blocks_end_where_windows_do(
    every: int | None, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 4 * 5 * 5)
    edges = block_edges((11, 5, 5), 1, every)
    found = [(start, stop - start) for start, stop in pairwise(edges)]
    assert found == expected
    assert (edges[0], edges[-1]) == (0, 11)
