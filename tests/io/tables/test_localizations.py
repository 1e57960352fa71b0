from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.io.tables.localizations import (
    FORMATS,
    files_of_table,
    localization_stream,
    read_localizations,
    write_localizations,
)
from deepstorm.structures import Localizations

PIXEL_NM = 117.0
OPTIONAL = (
    "z_nm",
    "photons",
    "sigma_nm",
    "background_photons",
    "uncertainty_nm",
    "confidence",
)
KEPT = {
    "thunderstorm": set(OPTIONAL),
    "picasso": set(OPTIONAL),
    "decode": set(OPTIONAL) - {"sigma_nm"},
    "smlm-challenge": {"z_nm", "photons"},
    "smlm-challenge-truth": {"z_nm", "photons"},
    "smlm-challenge-2013": set(),
    "zerocost": {"photons", "sigma_nm", "confidence"},
}


def path_for(format_name: str, folder: Path) -> Path:
    return folder / ("table.hdf5" if format_name == "picasso" else "table.csv")


def rewritten(table: Localizations, format_name: str, folder: Path) -> Localizations:
    path = path_for(format_name, folder)
    write_localizations(path, table, format=format_name, pixel_size_nm=PIXEL_NM, overwrite=True)
    return read_localizations(path)


def assert_alike(read: Localizations, written: Localizations, columns: set[str]) -> None:
    expected = {n: v for n, v in written.columns().items() if n in columns | {"x_nm", "y_nm"}}
    assert read.columns().keys() == expected.keys() | {"frame"}
    np.testing.assert_array_equal(read.frame, written.frame)
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(read, name), values, rtol=1e-6, atol=2e-3, err_msg=name)


@st.composite
def tables(draw: st.DrawFn) -> Localizations:
    count = draw(st.integers(0, 8))

    def column(least: float, most: float) -> npt.NDArray[Any]:
        values = st.floats(least, most, allow_subnormal=False)
        return draw(hnp.arrays(np.float64, count, elements=values))

    # Zero throughout means unknown in the formats that cannot leave a column out.
    optional = {name: column(0.5, 5000.0) for name in OPTIONAL if draw(st.booleans())}
    frames = st.integers(0, 2**24)
    return Localizations(
        draw(hnp.arrays(np.int64, count, elements=frames)),
        column(-500.0, 60_000.0),
        column(-500.0, 60_000.0),
        **optional,
    )


@pytest.mark.parametrize("format_name", FORMATS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(table=tables())
def test_a_table_comes_back_as_it_was(
    format_name: str, table: Localizations, tmp_path: Path
) -> None:
    assume(len(table) or format_name != "smlm-challenge")
    read = rewritten(table, format_name, tmp_path)
    if len(table):
        assert_alike(read, table, KEPT[format_name])
    assert len(read) == len(table)


@pytest.mark.parametrize("format_name", sorted(set(FORMATS) - {"smlm-challenge"}))
def test_an_empty_table_comes_back_empty(format_name: str, tmp_path: Path) -> None:
    read = rewritten(Localizations.concatenate([]), format_name, tmp_path)
    assert len(read) == 0
    assert read.frame.dtype.kind == "i"


def test_an_empty_table_without_a_header_is_an_empty_file(tmp_path: Path) -> None:
    empty = Localizations.concatenate([])
    write_localizations(tmp_path / "t.csv", empty, format="smlm-challenge")
    assert (tmp_path / "t.csv").read_bytes() == b""


def test_a_place_is_kept_through_every_convention(tmp_path: Path) -> None:
    # The centre of the pixel in column 3 and row 7, and the very corner of the field.
    place = Localizations(
        np.array([4, 0]), np.array([3.5 * PIXEL_NM, 0.0]), np.array([7.5 * PIXEL_NM, 0.0])
    )
    table = place
    for format_name in ("thunderstorm", "picasso", "decode", "smlm-challenge", "thunderstorm"):
        table = rewritten(table, format_name, tmp_path)
    assert_alike(table, place, set())


def test_half_a_pixel_lies_between_the_conventions_on_disk(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    place = Localizations(np.array([4]), np.array([350.0]), np.array([750.0]))
    write_localizations(tmp_path / "t.csv", place)
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "1,5,350.000,750.000"
    write_localizations(tmp_path / "p.hdf5", place, pixel_size_nm=100.0)
    with h5py.File(tmp_path / "p.hdf5") as file:
        entry = file["locs"][0]
    assert (entry["frame"], entry["x"], entry["y"]) == (4, 3.0, 7.0)
    write_localizations(tmp_path / "d.csv", place, format="decode", pixel_size_nm=100.0)
    row = (tmp_path / "d.csv").read_text().splitlines()[4]
    assert row.startswith("3.000000,7.000000,0.000000,NaN,4,")


def test_a_thunderstorm_table_has_the_known_columns_and_no_others(tmp_path: Path) -> None:
    table = Localizations(
        np.array([0]),
        np.array([1.23456]),
        np.array([2.0]),
        photons=np.array([np.inf]),
        uncertainty_nm=np.array([np.nan]),
        confidence=np.array([0.5]),
    )
    write_localizations(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        '"id","frame","x [nm]","y [nm]","intensity [photon]","uncertainty_xy [nm]",'
        '"confidence [a.u.]"',
        "1,1,1.235,2.000,Infinity,NaN,0.500000",
    ]


def test_both_spellings_of_the_uncertainty_are_read(tmp_path: Path) -> None:
    for spelling in ("uncertainty_xy [nm]", "uncertainty [nm]"):
        (tmp_path / "t.csv").write_text(f'"id","frame","x [nm]","y [nm]","{spelling}"\n1,1,2,3,9\n')
        table = read_localizations(tmp_path / "t.csv")
        assert table.uncertainty_nm is not None
        assert table.uncertainty_nm.tolist() == [9.0]


def test_a_3d_thunderstorm_table(tmp_path: Path) -> None:
    header = (
        '"id","frame","x [nm]","y [nm]","z [nm]","sigma1 [nm]","sigma2 [nm]","intensity [photon]",'
        '"offset [photon]","bkgstd [photon]","uncertainty_xy [nm]","uncertainty_z [nm]",'
        '"detections"'
    )
    (tmp_path / "t.csv").write_text(header + "\n1.0,3.0,10,20,-150,100,140,2000,50,7,8,20,2\n")
    table = read_localizations(tmp_path / "t.csv")
    assert {name: values.tolist() for name, values in table.columns().items()} == {
        "frame": [2],
        "x_nm": [10.0],
        "y_nm": [20.0],
        "z_nm": [-150.0],
        "photons": [2000.0],
        "sigma_nm": [pytest.approx(np.sqrt((100**2 + 140**2) / 2))],
        "background_photons": [50.0],
        "uncertainty_nm": [8.0],
    }


def test_thunderstorm_units_are_converted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"frame","x [px]","y [um]","intensity [ADU]"\n1,3.5,0.75,900\n')
    table = read_localizations(tmp_path / "t.csv", pixel_size_nm=100.0)
    assert (table.x_nm.tolist(), table.y_nm.tolist()) == ([350.0], [750.0])
    assert table.photons is None
    with pytest.raises(InputError, match="size of a camera pixel"):
        read_localizations(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "content",
    [
        "1, 350, 750, 0, 2000\n",
        "1\t350\t750\t0\t2000\n",
        "Ground-truth, frame, xnano, ynano, znano, intensity \n5,1,350,750,0,2000\n",
        "Ground-truth,frame,xnano,ynano,znano,intensity\n5,1,350,750,0,2000\n",
        "index,frame,x [nm],y [nm],Photon #,Sigma [nm]\n0,1,350,750,2000,110\n",
        "frame,x [nm],y [nm],confidence [a.u]\n1,350,750,0.5\n",
        "frame,x [nm],y [nm]\r\n1,350,750\r\n",
        "\ufeffframe;x [nm];y [nm]\n1;350;750\n\n\n",
        '"frame","x [nm]","y [nm]"\n"1","350","750"\n',
        '# DECODE EmitterSet\n# {"version": "x"}\n# {"xy_unit": "px", "px_size": [100.0, 100.0]}\n'
        "x,y,z,phot,frame_ix,id,x_sig,y_sig\n3,7,0,2000,0,0,,\n",
        '# DECODE EmitterSet\n# {}\n# {"xy_unit": "nm", "px_size": [100.0, 100.0]}\n'
        "x,y,z,phot,frame_ix\n300,700,0,2000,0\n",
    ],
)
def test_formats_are_recognised_by_their_content(content: str, tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text(content, encoding="utf-8", newline="")
    table = read_localizations(tmp_path / "table.txt")
    assert table.frame.tolist() == [0]
    assert (table.x_nm.tolist(), table.y_nm.tolist()) == ([350.0], [750.0])
    assert table.z_nm is None


def test_decode_uncertainties_and_probabilities(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(
        '# DECODE EmitterSet\n# {}\n# {"xy_unit": "px", "px_size": [100.0, 200.0]}\n'
        "x,y,z,phot,frame_ix,prob,bg,x_sig,y_sig\n0,0,-50,900,6,0.75,40,0.1,0.1\n"
    )
    table = read_localizations(tmp_path / "d.csv")
    assert {name: values.tolist() for name, values in table.columns().items()} == {
        "frame": [6],
        "x_nm": [50.0],
        "y_nm": [100.0],
        "z_nm": [-50.0],
        "photons": [900.0],
        "background_photons": [40.0],
        "uncertainty_nm": [pytest.approx(10.0)],
        "confidence": [0.75],
    }


@pytest.mark.parametrize(
    "meta",
    ["{}", '{"xy_unit": null, "px_size": null}', '{"xy_unit": "px"', '{"xy_unit": "mile"}'],
)
def test_a_decode_table_without_a_unit(meta: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(f"# DECODE EmitterSet\n# {{}}\n# {meta}\nx,y,frame_ix\n1,2,3\n")
    with pytest.raises(InputError, match="px or nm"):
        read_localizations(tmp_path / "d.csv", pixel_size_nm=100.0)


@pytest.mark.parametrize("size", ["null", "[0, 0]", "[1e400, 1]", '["a", "b"]', "[100.0]", "{}"])
def test_a_decode_table_needs_a_pixel_size(size: str, tmp_path: Path) -> None:
    meta = f'{{"xy_unit": "nm", "px_size": {size}}}'
    (tmp_path / "d.csv").write_text(f"# DECODE EmitterSet\n# {{}}\n# {meta}\nx,y,frame_ix\n1,2,3\n")
    with pytest.raises(InputError, match="size of a camera pixel"):
        read_localizations(tmp_path / "d.csv")
    assert read_localizations(tmp_path / "d.csv", pixel_size_nm=100.0).x_nm.tolist() == [51.0]


@pytest.mark.parametrize("format_name", ["picasso", "decode"])
def test_formats_in_pixels_need_a_pixel_size(format_name: str, tmp_path: Path) -> None:
    table = Localizations.concatenate([])
    with pytest.raises(InputError, match="size of a camera pixel"):
        write_localizations(path_for(format_name, tmp_path), table, format=format_name)
    assert list(tmp_path.iterdir()) == []


def test_the_format_is_chosen_by_name_or_not_at_all(tmp_path: Path) -> None:
    table = Localizations.concatenate([])
    with pytest.raises(InputError, match="choose a format"):
        write_localizations(tmp_path / "table.txt", table)
    with pytest.raises(InputError, match="'rapidstorm' is not a table format"):
        write_localizations(tmp_path / "table.txt", table, format="rapidstorm")
    write_localizations(tmp_path / "table.txt", table, format="thunderstorm")


def test_a_table_is_not_overwritten_unasked(tmp_path: Path) -> None:
    write_localizations(tmp_path / "t.csv", Localizations.concatenate([]))
    with pytest.raises(InputError, match="exists"):
        write_localizations(tmp_path / "t.csv", Localizations.concatenate([]))


@pytest.mark.parametrize(
    "table",
    [
        Localizations(np.array([0]), np.array([np.nan]), np.array([0.0])),
        Localizations(np.array([0]), np.array([0.0]), np.array([np.inf])),
        Localizations(np.array([-1]), np.array([0.0]), np.array([0.0])),
    ],
)
def test_what_could_not_be_read_back_is_not_written(table: Localizations, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the localizations have"):
        write_localizations(tmp_path / "t.csv", table)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t.csv", "t.hdf5"])
def test_a_stream_makes_the_same_table(name: str, tmp_path: Path) -> None:
    x_nm = np.arange(5) * 10.0
    table = Localizations(np.arange(5), x_nm, x_nm, uncertainty_nm=x_nm + 5)
    write_localizations(tmp_path / name, table, pixel_size_nm=100.0)
    (tmp_path / "parts").mkdir()
    parts = [table.select(slice(*ends)) for ends in ((0, 0), (0, 3), (3, 3), (3, 5))]
    with localization_stream(tmp_path / "parts" / name, pixel_size_nm=100.0) as add:
        for part in parts:
            add(part)
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_stream_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = Localizations(np.array([0]), np.array([np.nan]), np.array([0.0]))
    for name in ("t.csv", "t.hdf5"):
        with (
            pytest.raises(InputError, match="not finite"),
            localization_stream(tmp_path / name, pixel_size_nm=100.0) as add,
        ):
            add(bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("truth.csv", 81_178, {"frame", "x_nm", "y_nm"}),
        (
            "training_positions.csv",
            4_956,
            {"frame", "x_nm", "y_nm", "photons", "sigma_nm", "background_photons"},
        ),
    ],
)
def test_published_tables(name: str, count: int, columns: set[str], reference_data: Path) -> None:
    table = read_localizations(reference_data / "fig4-microtubules" / name)
    assert len(table) == count
    assert table.columns().keys() == columns
    assert int(table.frame.min()) == 0
    assert 0 <= table.x_nm.min() < table.x_nm.max() <= 6400


def test_a_stream_that_could_not_be_written_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin() -> None:
        with localization_stream(tmp_path / "t.hdf5", pixel_size_nm=100):
            pytest.fail("the localizations would be lost")

    (tmp_path / "t.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"t\.yaml' exists"):
        begin()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="picasso"):
        begin()


def test_the_files_of_a_table() -> None:
    assert files_of_table(None) == []
    assert files_of_table("t.csv") == [Path("t.csv")]
    assert files_of_table("t.h5") == [Path("t.h5"), Path("t.yaml")]
    with pytest.raises(InputError, match="not known from its name"):
        files_of_table("t.xls")
