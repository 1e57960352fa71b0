"""What is said of pixel sizes that are not believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from deepstorm.api.inputs import opened_movie
from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie

Laid = tuple[bytes, list[int], list[int]]
FRAMES = np.zeros((3, 8, 8), np.uint16)


def described(path: Path, **sizes: Any) -> Path:
    attributes = " ".join(f'{key}="{value}"' for key, value in sizes.items())
    xml = f'<OME><Image><Pixels SizeT="3" {attributes}/></Image></OME>'
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(path, FRAMES, description=xml.encode(), **options)
    return path


def doubt_of(path: Path) -> str:
    with open_movie(path) as movie:
        assert movie.pixel_size_nm is None
        return movie.pixel_size_doubt


@pytest.mark.parametrize("seed", range(12))
def test_sizes_that_differ_are_both_told(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    x = round(float(rng.uniform(0.06, 0.3)), 3)
    y = round(x * float(rng.choice([0.5, 0.9, 1.1, 2])), 4)
    doubt = doubt_of(described(tmp_path / "m.tif", PhysicalSizeX=x, PhysicalSizeY=y))
    for part in (f"PhysicalSizeX = {x} µm", f"PhysicalSizeY = {y} µm", "pixels are square"):
        assert part in doubt


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"PhysicalSizeX": "0"}, "PhysicalSizeX = 0 µm, which is no length"),
        ({"PhysicalSizeX": "-0.1"}, "no length"),
        ({"PhysicalSizeX": "nan"}, "no length"),
        ({"PhysicalSizeX": "wide"}, "= wide µm, which is no length"),
        ({"PhysicalSizeX": "1e9"}, "1e+12 nm, but 10 to 1000 nm are expected"),
        ({"PhysicalSizeX": "6.5"}, "6500 nm, but 10 to 1000 nm"),
        ({"PhysicalSizeX": "1.0"}, "which programs write where no size was set"),
        ({"PhysicalSizeX": "0.1", "PhysicalSizeXUnit": "pixel"}, "'pixel' is no length"),
        ({}, ""),
    ],
)
def test_what_is_said_and_why_it_is_not_believed(
    sizes: dict[str, str], told: str, tmp_path: Path
) -> None:
    doubt = doubt_of(described(tmp_path / "m.tif", **sizes))
    assert told in doubt
    assert bool(told) == bool(doubt)


@pytest.mark.parametrize(
    ("per_unit", "unit", "told"),
    [
        (10_000, "CENTIMETER", "its resolution is 10000 per cm, which programs write"),
        (1, "INCH", "its resolution is 1 per inch, which programs write"),
        (72, "INCH", "its resolution is 72 per inch: 3.528e+05 nm, but"),
        (100_000, "NONE", ""),
    ],
)
def test_resolutions_of_no_microscope(per_unit: int, unit: str, told: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"resolution": (per_unit, per_unit), "resolutionunit": unit}
    tifffile.imwrite(tmp_path / "m.tif", FRAMES, photometric="minisblack", **options)
    assert told in doubt_of(tmp_path / "m.tif")
    assert bool(told) == bool(doubt_of(tmp_path / "m.tif"))


def test_a_calibration_that_was_never_made_is_told(tmp_path: Path) -> None:
    metadata = {"unit": "micron", "Info": "bCalibrated = false\n"}
    tifffile.imwrite(
        tmp_path / "m.tif", FRAMES, imagej=True, resolution=(15.6, 15.6), metadata=metadata
    )
    assert "no calibration was made" in doubt_of(tmp_path / "m.tif")


@pytest.mark.parametrize("seed", range(6))
def test_micromanager_counts_per_cm_whatever_imagej_is_told(
    seed: int, tmp_path: Path, micromanager_pages: Callable[..., Laid]
) -> None:
    size_nm = int(np.random.default_rng(seed).integers(60, 300))
    texts = ("", "ImageJ=1.52p\nframes=3\nunit=um\n")
    content = micromanager_pages(FRAMES, texts=texts, per_cm=round(1e7 / size_nm))[0]
    (tmp_path / "m.tif").write_bytes(content)
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.pixel_size_nm == pytest.approx(size_nm, rel=1e-4)


def test_micromanager_without_a_pixel_size(
    tmp_path: Path, micromanager_pages: Callable[..., Laid]
) -> None:
    content = micromanager_pages(FRAMES, per_cm=0, page={"PixelSizeUm": 0.0})[0]
    (tmp_path / "m.tif").write_bytes(content)
    assert "Micro-Manager's PixelSizeUm is 0.0" in doubt_of(tmp_path / "m.tif")
    assert json.dumps(doubt_of(tmp_path / "m.tif"))


def test_whoever_is_asked_for_a_size_is_told_what_the_file_says(tmp_path: Path) -> None:
    path = described(tmp_path / "m.tif", PhysicalSizeX=0.108, PhysicalSizeY=0.12)
    words = r"not believed: PhysicalSizeX = 0\.108 .*; give the size .*`pixel_size_nm=100`"
    with pytest.raises(InputError, match=words), opened_movie(path):
        pass
    with opened_movie(path, frames=slice(0, 2), pixel_size_nm=110) as (movie, pixel_nm):
        assert (movie.shape[0], pixel_nm) == (2, 110)
