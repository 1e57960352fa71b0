from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.files import check_named, check_outputs, check_writable, written_whole


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


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    movie, link = tmp_path / "movie.tif", tmp_path / "link.tif"
    movie.write_text("raw")
    link.symlink_to(movie)
    check_outputs([tmp_path / "new.tif", None], overwrite=True, inputs=[movie, None, 3])
    for output in (movie, tmp_path / "." / "movie.tif", link):
        with pytest.raises(InputError, match=r"would replace the input .*movie\.tif"):
            check_outputs([None, output], overwrite=True, inputs=[None, str(movie)])


def test_outputs_have_names_of_their_own(tmp_path: Path) -> None:
    same = tmp_path / ".." / tmp_path.name / "out.csv"
    with pytest.raises(InputError, match="same name"):
        check_outputs([tmp_path / "out.csv", same], overwrite=False)
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(InputError, match="exists"):
        check_outputs([tmp_path / "out.csv"], overwrite=False)


def test_a_folder_is_no_name_of_a_file(tmp_path: Path) -> None:
    assert check_named(str(tmp_path / "new.tif")) == tmp_path / "new.tif"
    for folder in (".", "", tmp_path):
        with pytest.raises(InputError, match="is a folder; give the name of a file"):
            check_named(folder)
