from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstorm.errors import InputError
from deepstorm.io.movies.writing import write_movie
from deepstorm.io.psf_images import read_psf, write_psf

PLANES = np.random.default_rng(0).random((3, 12, 16))


def test_a_stack_comes_back(tmp_path: Path) -> None:
    write_psf(tmp_path / "psf.tif", PLANES, 29.25, 50.0)
    planes, pixel_nm, step_nm = read_psf(tmp_path / "psf.tif")
    np.testing.assert_array_equal(planes, PLANES.astype(np.float32))
    assert pixel_nm == pytest.approx(29.25, rel=1e-6)
    assert step_nm == pytest.approx(50.0)


def test_a_single_plane_has_no_distance(tmp_path: Path) -> None:
    write_psf(tmp_path / "psf.tif", PLANES[:1], 25.0)
    planes, pixel_nm, step_nm = read_psf(tmp_path / "psf.tif")
    assert planes.shape == (1, 12, 16)
    assert pixel_nm == pytest.approx(25.0)
    assert step_nm is None


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end its name in \.tif"):
        write_psf(tmp_path / "psf.png", PLANES, 25.0)
    with pytest.raises(InputError, match="expected a stack"):
        write_psf(tmp_path / "psf.tif", PLANES[0], 25.0)
    with pytest.raises(InputError, match="NaN"):
        write_psf(tmp_path / "psf.tif", np.full((1, 4, 4), np.nan), 25.0)
    write_movie(tmp_path / "plain.tif", PLANES.astype(np.float32), None)
    with pytest.raises(InputError, match="does not give its pixel size"):
        read_psf(tmp_path / "plain.tif")
    with pytest.raises(InputError, match="does not exist"):
        read_psf(tmp_path / "none.tif")
