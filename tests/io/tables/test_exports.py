"""Tables as spreadsheets and other programs export them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstorm.errors import InputError
from deepstorm.io.tables.localizations import is_table, read_localizations
from deepstorm.structures import Localizations

MARKS = {"comma": ",", "semicolon": ";", "tab": "\t", "blanks": "  "}
HEADINGS = ("{0} [nm]", "{0} (nm)", "{0}nm", "{0}_nm", "{0} nm", "{0}[nm]", "Position {0} [nm]")


def drawn(seed: int, first_frame: int = 1) -> tuple[Localizations, list[list[str]]]:
    """Draw a table, and its numbers as text with decimal points."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    frame, x_nm, y_nm = rng.integers(0, 6, count), *rng.uniform(1000, 9000, (2, count)).round(3)
    frame[0] = 0
    rows = [
        [str(f + first_frame), f"{x:.3f}", f"{y:.3f}"]
        for f, x, y in zip(frame, x_nm, y_nm, strict=True)
    ]
    return Localizations(frame, x_nm, y_nm), rows


def laid_out(seed: int, rows: list[list[str]]) -> str:
    """Write numbers below a heading in one of the ways in which programs do."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(sorted(MARKS)))
    mark, heading = MARKS[kind], str(rng.choice(HEADINGS))
    names = [rng.choice(["frame", "Frame"]), *(heading.format(axis) for axis in "xy")]
    if kind == "blanks" and heading.startswith(("Position", "{0} nm")):  # two names each
        names = ["frame", "x [nm]", "y [nm]"]
    if kind != "comma" and rng.random() < 0.5:
        rows = [[cell.replace(".", ",") for cell in row] for row in rows]
    quote = rng.choice(["", '"'])
    top = mark.join(f"{quote}{name}{quote}" for name in names)
    wrap = rng.choice(["", "header", "comment"] if not quote else ["", "comment"])
    wrap = "" if kind == "blanks" and wrap == "header" else wrap
    top = {"": top, "header": f'"{top}"', "comment": f"# {top}"}[wrap]
    quote = rng.choice(["", '"'])
    lines = [top, *(mark.join(f"{quote}{cell}{quote}" for cell in row) for row in rows)]
    return rng.choice(["", "\ufeff"]) + rng.choice(["\n", "\r\n"]).join([*lines, ""])


def assert_same(read: Localizations, expected: Localizations) -> None:
    np.testing.assert_array_equal(read.frame, expected.frame)
    np.testing.assert_allclose((read.x_nm, read.y_nm), (expected.x_nm, expected.y_nm), atol=1e-6)


@pytest.mark.parametrize("seed", range(60))
def test_a_table_is_read_however_it_was_exported(seed: int, tmp_path: Path) -> None:
    expected, rows = drawn(seed)
    path = tmp_path / np.random.default_rng(seed).choice(
        ["t.xls", "t.txt", "t.csv", "t.tsv", "t", "t.dat"]
    )
    path.write_text(laid_out(seed, rows), encoding="utf-8", newline="")
    assert is_table(path)
    assert_same(read_localizations(path), expected)


def test_a_whole_table_in_quotes(tmp_path: Path) -> None:
    expected, rows = drawn(1)
    lines = ["frame,x [nm],y [nm]", *map(",".join, rows)]
    (tmp_path / "t.csv").write_text("".join(f'"{line}"\n' for line in lines))
    assert_same(read_localizations(tmp_path / "t.csv"), expected)
    doubled = ['"""frame"",""x [nm]"",""y [nm]"""', *(f'"{",".join(row)}"' for row in rows)]
    (tmp_path / "t.csv").write_text("\n".join(doubled))
    assert_same(read_localizations(tmp_path / "t.csv"), expected)


@pytest.mark.parametrize("seed", range(8))
def test_frames_from_0_are_recognised_by_the_first_of_them(seed: int, tmp_path: Path) -> None:
    expected, rows = drawn(seed, first_frame=0)
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["frame,x [nm],y [nm]", *map(",".join, rows)]))
    assert_same(read_localizations(path), expected)
    path.write_text("\n".join(f"{','.join(row)},0,1" for row in rows))
    assert_same(read_localizations(path), expected)


def test_somebody_may_say_what_the_first_frame_is_called(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm]\n3,1,2\n")
    frames = {
        first: read_localizations(tmp_path / "t.csv", first_frame=first).frame.tolist()
        for first in (None, 0, 1)
    }
    assert frames == {None: [2], 0: [3], 1: [2]}
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm]\n0,1,2\n")
    with pytest.raises(InputError, match=r"the frame is 0; .* 1 for the first"):
        read_localizations(tmp_path / "t.csv", first_frame=1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('frame,x [nm],y [nm]\n"1","1.234,5","99,0"\n', r"line 2: '1\.234,5' has .*thousands"),
        ('frame,x [nm],y [nm]\n"1","1,234,567","99"\n', "line 2: '1,234,567' has .*thousands"),
        ("frame;x [nm];y [nm]\n1;1.234,5;99,0\n", r"line 2: '1\.234,5' has .*thousands"),
        ("frame;x [nm];y [nm]\n1;1,5;9,5\n1;1.5;9,5\n", r"line 3: '1,5' has a decimal comma and"),
        ("frame;x [nm];y [nm]\n1;1.5;9.5\n1;1,5;9,5\n", r"line 3: .* and '1\.5' a decimal point"),
        ('frame,x [nm],y [nm]\n"1","1,234","99"\n', "the comma in '1,234' may separate"),
        ("frame\tx [nm]\ty [nm]\n1\t2\n", "line 2: 2 values where 3"),
        ('frame,x [nm],y [nm]\n1,"2\n', "line 2: "),
    ],
)
def test_numbers_that_may_mean_two_things(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=reason):
        read_localizations(tmp_path / "t.csv")


def test_quoted_decimal_commas_between_commas(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('frame,x [nm],y [nm]\n"1","1234,5","99,125"\n')
    table = read_localizations(tmp_path / "t.csv")
    assert (table.x_nm.tolist(), table.y_nm.tolist()) == ([1234.5], [99.125])


def test_tables_of_other_programs(tmp_path: Path) -> None:
    smap = "frame,xnm,ynm,znm,locprecnm,PSFxnm,phot,bg\n3,100,200,-50,8,110,900,20\n"
    (tmp_path / "smap.csv").write_text(smap)
    assert {
        n: v.tolist() for n, v in read_localizations(tmp_path / "smap.csv").columns().items()
    } == {
        "frame": [2],
        "x_nm": [100.0],
        "y_nm": [200.0],
        "z_nm": [-50.0],
        "photons": [900.0],
        "sigma_nm": [110.0],
        "background_photons": [20.0],
        "uncertainty_nm": [8.0],
    }
    names = ("Index", "First Frame", "Position X [nm]", "Position Y [nm]", "Number Photons")
    rows = ["1\t3\t100.5\t200\t900", "2\t4\t101\t201\t800"]
    footer = ["", "VoxelSizeX : 0.1", "ROIList :"]
    (tmp_path / "elyra.txt").write_text("\n".join(["\t".join(names), *rows, *footer]))
    table = read_localizations(tmp_path / "elyra.txt")
    assert table.frame.tolist() == [2, 3]
    assert table.x_nm.tolist() == [100.5, 101.0]


@pytest.mark.parametrize("start", [b"PK\x03\x04\0\0", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_a_workbook_is_called_one(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.xls").write_bytes(start + bytes(60))
    with pytest.raises(InputError, match=r"Excel workbook.*saved as CSV"):
        read_localizations(tmp_path / "t.xls")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89HDF\r\n\x1a\n", True),
        (b"\xff\xfef\0r\0", True),
        (b"1,2,3,4,5\n", True),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", False),
        (b"II*\0\x08\0\0\0", False),
        (b"MATLAB 5.0 MAT-file, Platform", False),
        (b"\x93NUMPY\x01\0", False),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", False),
    ],
)
def test_a_table_is_told_by_its_content(content: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "t.xyz").write_bytes(content)
    assert is_table(tmp_path / "t.xyz") is expected
