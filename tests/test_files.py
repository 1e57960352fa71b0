from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.files import check_writable, written_whole


def test_an_output_appears_when_it_is_complete(tmp_path: Path) -> None:
    with written_whole(tmp_path / "out.csv") as partial:
        partial.write_text("half")
        assert not (tmp_path / "out.csv").exists()
        assert partial.parent == tmp_path
        partial.write_text("whole")
    assert (tmp_path / "out.csv").read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_the_temporary_name_keeps_the_suffix_and_is_hidden(tmp_path: Path) -> None:
    with written_whole(tmp_path / "out.ome.tif") as partial:
        partial.touch()
        assert partial.suffix == ".tif"
        assert partial.name.startswith(".")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_output(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")

    def interrupted() -> None:
        with written_whole(tmp_path / "out.csv", overwrite=True) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert (tmp_path / "out.csv").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_an_existing_output_is_kept_unless_asked_otherwise(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    with (
        pytest.raises(InputError, match="exists; choose another name"),
        written_whole(tmp_path / "out.csv"),
    ):
        pytest.fail("nothing is done where the output may not be written")
    with written_whole(tmp_path / "out.csv", overwrite=True) as partial:
        partial.write_text("new")
    assert (tmp_path / "out.csv").read_text() == "new"


def test_two_writers_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    with written_whole(tmp_path / "out") as first, written_whole(tmp_path / "out") as second:
        assert first != second
        first.touch()
        second.touch()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; create it"):
        check_writable(tmp_path / "missing" / "out.csv", overwrite=True)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        check_writable(tmp_path, overwrite=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="not writable"):
            check_writable(tmp_path / "out.csv", overwrite=True)
    finally:
        tmp_path.chmod(0o700)


def test_a_missing_extra_says_how_to_get_it() -> None:
    error = MissingExtraError("Picasso HDF5 files", "picasso")
    assert isinstance(error, InputError)
    assert "pip install 'deepstorm[picasso]'" in str(error)
