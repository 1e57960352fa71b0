"""Files of Micro-Manager, and headers that announce what is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie

Laid = tuple[bytes, list[int], list[int]]
FRAMES = np.random.default_rng(0).integers(1, 4000, (6, 8, 8)).astype(np.uint16)
PLANES = [("m.ome.tif", page) for page in range(6)]
IMAGEJ = "ImageJ=1.52p\nframes=6\nhyperstack=true\nunit=um\nmin=0.0\nmax=65535.0\n"


@pytest.mark.parametrize(
    ("size", "page", "per_cm", "expected"),
    [
        ({"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}, {}, 10_000, 100),
        ({"PhysicalSizeX": 0.1}, {"PixelSizeUm": 0.16}, 10_000, 100),
        ({"PhysicalSizeX": 1.0}, {"PixelSizeUm": 0.16}, 10_000, 160),
        ({}, {"PixelSizeUm": 0.16}, 10_000, 160),
        ({}, {"PixelSize_um": 0.16}, 10_000, 160),
        ({}, {"PixelSizeUm": 0.0}, 10_000, None),
        ({}, {"PixelSizeUm": 1.0}, 10_000, None),
        ({}, {"PixelSizeUm": "wide"}, 10_000, None),
        ({}, {"PixelSizeUm": [1]}, 10_000, None),
        (None, {}, 10_000, None),
        (None, {}, 100_000, 100),
        (None, {"PixelSizeUm": 0.16}, 10_000, 160),
    ],
)
def test_the_pixel_size_that_it_states(
    size: dict[str, Any] | None,
    page: dict[str, Any],
    per_cm: int,
    expected: float | None,
    tmp_path: Path,
    micromanager_pages: Callable[..., Laid],
    ome: Callable[..., str],
) -> None:
    texts = () if size is None else (ome(PLANES, **size), IMAGEJ)
    content, *_ = micromanager_pages(FRAMES, texts=texts, per_cm=per_cm, page=page)
    (tmp_path / "m.ome.tif").write_bytes(content)
    with open_movie(tmp_path / "m.ome.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 6), FRAMES)
        assert movie.pixel_size_nm == pytest.approx(expected)
        assert movie.notes == ()


def test_two_positions_are_no_movie(
    tmp_path: Path, micromanager_pages: Callable[..., Laid], ome: Callable[..., str]
) -> None:
    one = ome(PLANES[:3])
    image = one[one.index("<Image") : one.index("</OME>")]
    content, *_ = micromanager_pages(
        FRAMES, texts=(one.replace("</OME>", image + "</OME>"), IMAGEJ)
    )
    (tmp_path / "m.ome.tif").write_bytes(content)
    with pytest.raises(InputError, match="2 OME images"):
        open_movie(tmp_path / "m.ome.tif")


@pytest.mark.parametrize("page", [6, 5])
def test_a_run_that_was_broken_off_says_so(
    page: int, tmp_path: Path, micromanager_pages: Callable[..., Laid]
) -> None:
    content, ends, _ = micromanager_pages(FRAMES, finished=False)
    # Room was set aside in front; of the last frame either all or only its page table was written.
    written = ends[5] if page == 6 else ends[4] + 2 + 12 * 13 + 4
    (tmp_path / "m.tif").write_bytes(content[:written] + bytes(100_000))
    with open_movie(tmp_path / "m.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, movie.shape[0]), FRAMES[:page])
        assert movie.shape[0] == page
        assert movie.notes == (
            f"'m.tif' holds {page} whole frames, which are read, and an end that is not whole: the "
            "program that wrote it did not finish; saved again, for instance with Fiji, it is an "
            "ordinary file",
        )


@pytest.mark.parametrize("announced", [6, 60, 3])
@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped", "micromanager"])
def test_announced_frames_that_are_not_there_are_noted(
    kind: str,
    announced: int,
    tmp_path: Path,
    micromanager_pages: Callable[..., Laid],
    ome: Callable[..., str],
) -> None:
    path = tmp_path / "m.tif"
    described = {
        "imagej": f"ImageJ=1.54f\nimages={announced}\nframes={announced}\nunit=micron\n",
        "ome": f'<OME><Image><Pixels SizeT="{announced}" SizeX="8" SizeY="8"/></Image></OME>',
        "shaped": f'{{"shape": [{announced}, 8, 8]}}',
    }
    if kind == "micromanager":
        texts = (ome(PLANES, announced=announced), IMAGEJ)
        path.write_bytes(micromanager_pages(FRAMES, texts=texts)[0])
    else:
        options = {"description": described[kind], "metadata": None}
        tifffile.imwrite(path, FRAMES, photometric="minisblack", **options)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, 6), FRAMES)
        notes = movie.notes
    assert len(notes) == (announced != 6)
    for note in notes:
        assert f"'m.tif' announces {announced} frames but holds 6" in note
        assert ("may have been stopped" in note) == (announced > 6)
