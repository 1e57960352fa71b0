from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.io.tables.numbers import write_rows

HEADER = '"id","frame","x [nm]","y [nm]"\n'
GOOD = "1,1,10,20\n2,2,30,40\n"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("3,3,abc,60\n", r"line 4: 'abc' is not a number"),
        ("3,3,1_0,60\n", r"line 4: '1_0' is not a number"),
        ("3,3,0x10,60\n", r"line 4: '0x10' is not a number"),
        ("3,3,50\n", r"line 4: 3 values where 4 are expected"),
        ("3,3,50,60,70\n", r"line 4: 5 values where 4 are expected"),
        ("3,3,5", r"line 4: 3 values where 4 are expected"),
        ("3,3,nan,60\n", r"line 4: x is nan nm"),
        ("3,3,50,inf\n", r"line 4: y is inf nm"),
        ("3,3,50,-Infinity\n", r"line 4: y is -inf nm"),
        ("3,3,1e300,60\n", r"line 4: x is 1e\+300 nm"),
        ("3,3,,60\n", r"line 4: x is nan nm"),
        ("3,nan,50,60\n", r"line 4: the frame is nan"),
        ("3,inf,50,60\n", r"line 4: the frame is inf"),
        ("3,-7,50,60\n", r"line 4: the frame is -7"),
        ("3,1.5,50,60\n", r"line 4: the frame is 1\.5"),
        ("3,1e18,50,60\n", r"line 4: the frame is 1e\+18"),
        ("\n\n3,-1,50,60\n", r"line 6: the frame is -1; expected a whole number, 1 for the first"),
        ("3,3,5\0,60\n", r"line 4: '5.*' is not a number"),
    ],
)
def test_a_fault_is_named_with_its_line(rows: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEADER + GOOD + rows)
    with pytest.raises(InputError, match=r"^'t\.csv', " + reason):
        read_localizations(tmp_path / "t.csv")


def test_the_line_of_a_fault_below_comments(tmp_path: Path) -> None:
    meta = '# {"xy_unit": "px", "px_size": [100.0, 100.0]}'
    (tmp_path / "d.csv").write_text(
        f"# DECODE EmitterSet\n# {{}}\n{meta}\nx,y,frame_ix\n1,1,0\n\n1,1,-1\n"
    )
    with pytest.raises(InputError, match=r"line 7: the frame is -1; .* 0 for the first frame"):
        read_localizations(tmp_path / "d.csv")


def test_empty_cells_of_columns_that_are_not_needed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"frame","x [nm]","y [nm]","chi2"\n1,2,3,\n2,4,5,\n')
    assert read_localizations(tmp_path / "t.csv").x_nm.tolist() == [2.0, 4.0]


def test_an_optional_value_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"frame","x [nm]","y [nm]","sigma [nm]"\n1,2,3,\n2,4,5,9\n')
    sigma_nm = read_localizations(tmp_path / "t.csv").sigma_nm
    np.testing.assert_array_equal(sigma_nm, [np.nan, 9.0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("\n\n", "holds no table"),
        ("# only\n# comments\n", "holds no table"),
        ("x" * 200_000, "holds no table"),
        ("1,2,3,4\n", "4 columns and no header"),
        ("1,2,3,4,5,6\n", "6 columns and no header"),
        ("a,b,c\n1,2,3\n", "not a known table.*'a, b, c'"),
        ("frame,x,y\n1,2,3\n", "unit of the column 'x' is not understood"),
        ("<html><body>Not found</body></html>\n", "not a known table"),
        ('"frame","x [nm]"\n1,2\n', "no column for y"),
        ('"id","sigma [nm]"\n1,2\n', "no column for frame and x and y"),
        ('"frame","x [mile]","y [nm]"\n1,2,3\n', r"unit of the column 'x \[mile\]'"),
        ('"frame","x [nm]","y"\n1,2,3\n', "unit of the column 'y' is not understood"),
        ('"frame","x [nm]","x [px]","y [nm]"\n1,2,3,4\n', "two columns for x"),
        ("Ground-truth,xnano,ynano\n1,2,3\n", "no column for frame"),
    ],
)
def test_what_is_no_table(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=reason):
        read_localizations(tmp_path / "t.csv", pixel_size_nm=100.0)


@pytest.mark.parametrize("content", [b"\x00" * 50, "frame,x [nm]\n".encode("utf-16"), b"\x89PNG\r"])
def test_binary_files_are_no_tables(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError):
        read_localizations(tmp_path / "t.csv")


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_text_in_utf_16_is_named(coding: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(("\ufeff" + HEADER + GOOD).encode(coding))
    with pytest.raises(InputError, match="UTF-16; save it again in UTF-8"):
        read_localizations(tmp_path / "t.csv")


def test_a_position_in_a_known_unit_is_enough(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,x [mile],x [nm],y [nm]\n1,2,3,4\n")
    assert read_localizations(tmp_path / "t.csv").x_nm.tolist() == [3.0]


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_localizations(tmp_path / "t.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_localizations(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=80), headed=st.booleans())
def test_any_bytes_end_in_a_table_or_in_one_clear_error(
    content: bytes, headed: bool, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes((HEADER + GOOD).encode() * headed + content)
    try:
        table = read_localizations(tmp_path / "t.csv")
    except InputError:
        return
    assert np.isfinite(table.x_nm).all()
    assert (table.frame >= 0).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.lists(
        st.lists(
            st.sampled_from(["1", "2.5", "-3e2", "", "nan", "x", '"4"', " 5 "]),
            min_size=3,
            max_size=5,
        ),
        max_size=4,
    )
)
def test_the_fast_and_the_careful_way_agree(content: list[list[str]], tmp_path: Path) -> None:
    rows = [",".join(cells) for cells in content]
    (tmp_path / "t.csv").write_text("frame,x [nm],y [nm],chi2\n" + "\n".join(rows))
    expected = [len(cells) == 4 and "x" not in cells for cells in content]
    try:
        table = read_localizations(tmp_path / "t.csv")
    except InputError as error:
        named = f"line {expected.index(False) + 2}:" if not all(expected) else "line "
        valid = named in str(error)
    else:
        valid = len(table) == len(rows) and all(expected)
    assert valid


def test_a_million_rows_are_read_in_seconds(tmp_path: Path) -> None:
    count = 100_000
    columns = [np.arange(1, count + 1), np.arange(count) // 200 + 1]
    columns += [np.linspace(0, 6400, count)] * 7
    header = (
        '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]",'
        '"bkgstd [photon]","uncertainty [nm]"\n'
    )
    write_rows(tmp_path / "t.csv", header, columns, ["%d", "%d"] + ["%.3f"] * 7)
    start = time.process_time()
    assert len(read_localizations(tmp_path / "t.csv")) == count
    # A tenth of a million rows in a tenth of the time, with room for a slow machine.
    assert time.process_time() - start < 3.0
