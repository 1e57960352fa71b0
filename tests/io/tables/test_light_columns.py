"""Light and widths stand in tables as their programs expect them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstorm.io.tables.localizations import read_localizations, write_localizations
from deepstorm.structures import Localizations

TABLE = Localizations(
    np.array([0]),
    np.array([100.0]),
    np.array([200.0]),
    photons=np.array([900.0]),
    sigma_nm=np.array([110.0]),
    background_photons=np.array([20.0]),
    uncertainty_nm=np.array([8.0]),
)


def test_thunderstorm_has_the_background_as_offset(tmp_path: Path) -> None:
    write_localizations(tmp_path / "t.csv", TABLE)
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]",'
        '"uncertainty_xy [nm]"',
        "1,1,100.000,200.000,110.000,900.000,20.000,8.000",
    ]


def test_picasso_has_lengths_in_pixels_and_light_in_photons(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    write_localizations(tmp_path / "p.hdf5", TABLE, pixel_size_nm=100.0)
    with h5py.File(tmp_path / "p.hdf5") as file:
        entry = file["locs"][0]
    assert (entry["photons"], entry["bg"]) == (900, 20)
    assert entry["sx"] == entry["sy"] == pytest.approx(1.1)
    assert entry["lpx"] == entry["lpy"] == pytest.approx(0.08)


@pytest.mark.parametrize("name", ["t.csv", "t.hdf5"])
def test_light_comes_back(name: str, tmp_path: Path) -> None:
    write_localizations(tmp_path / name, TABLE, pixel_size_nm=100.0)
    read = read_localizations(tmp_path / name)
    assert read.columns().keys() == TABLE.columns().keys()
    for column, values in TABLE.columns().items():
        np.testing.assert_allclose(read.columns()[column], values, rtol=1e-6, err_msg=column)
