from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.files import (
    check_named,
    check_outputs,
    check_writable,
    leftover_workspace,
    output_set,
    stem_of,
    written_whole,
)
from faults import contents


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


def test_of_two_runs_into_one_name_one_wins(tmp_path: Path) -> None:
    with written_whole(tmp_path / "out") as partial:
        for overwrite in (False, True):
            with (
                pytest.raises(InputError, match=r"another run is writing '.*out'; wait until"),
                written_whole(tmp_path / "out", overwrite=overwrite),
            ):
                pytest.fail("the name is taken")
        with pytest.raises(InputError, match="another run is writing"):
            check_writable(tmp_path / "out", overwrite=True)
        partial.write_text("mine")
    assert contents(tmp_path) == {"out": b"mine"}


def test_sets_that_share_one_file_exclude_each_other(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    (tmp_path / "b").mkdir()
    with output_set([tmp_path / "a.tif", table, None]) as outputs:
        with (
            pytest.raises(InputError, match=r"another run is writing '.*table\.csv'"),
            output_set([tmp_path / "b.tif", tmp_path / "b" / ".." / "table.csv"]),
        ):
            pytest.fail("the table is taken")
        for path in (tmp_path / "a.tif", table):
            outputs.staged(path).touch()
    assert contents(tmp_path) == {"a.tif": b"", "table.csv": b""}


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


def _write(paths: list[Path], text: str, **how: bool) -> None:
    with output_set(paths, **how) as outputs:
        for path in paths:
            outputs.staged(path).write_text(text)
            assert not path.exists() or path.read_text() != text


def test_a_set_appears_together(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.tif", "a.csv", "a.json")]
    for text in ("old", "new"):
        _write(paths, text, overwrite=True)
        assert contents(tmp_path) == {path.name: text.encode() for path in paths}
    with pytest.raises(InputError, match="exists"):
        _write(paths, "newer")


def test_every_file_of_a_set_has_to_be_written(tmp_path: Path) -> None:
    def work() -> None:
        with output_set([tmp_path / "a.tif", tmp_path / "a.json"]) as outputs:
            outputs.staged(tmp_path / "a.tif").write_text("new")

    with pytest.raises(FileNotFoundError):
        work()
    assert contents(tmp_path) == {}
    with (
        pytest.raises(ValueError, match=r"b\.tif' is not a file of this set"),
        output_set([tmp_path / "a.tif"]) as outputs,
    ):
        outputs.staged(tmp_path / "b.tif")
    assert contents(tmp_path) == {}


def test_a_set_within_a_set_is_part_of_it(tmp_path: Path) -> None:
    movie, truth = tmp_path / "movie.tif", tmp_path / "truth.csv"
    with output_set([movie, truth]) as outer:
        inner = [outer.staged(movie), outer.staged(truth)]
        check_outputs(inner, overwrite=False)
        with output_set(inner) as outputs:
            for path in inner:
                assert outputs.staged(path) == path
                with written_whole(path) as partial:
                    partial.write_text("whole")
            (outputs.workspace / "sums").touch()
        assert not movie.exists()
        assert not outputs.workspace.exists() or not list(outputs.workspace.iterdir())
    assert contents(tmp_path) == {"movie.tif": b"whole", "truth.csv": b"whole"}


def _interrupted(image: Path, *, keeps: bool, asks: bool = True) -> None:
    with output_set([image, image.with_suffix(".json")]) as outputs:
        if asks:
            (outputs.workspace / "sums").write_text("half")
        if keeps:
            outputs.keep_workspace()
        raise KeyError


def test_a_workspace_goes_with_its_run_unless_it_is_kept(tmp_path: Path) -> None:
    image = tmp_path / "image.tif"
    with pytest.raises(KeyError):
        _interrupted(image, keeps=False)
    assert leftover_workspace(image) is None
    with pytest.raises(KeyError):
        _interrupted(image, keeps=True)
    with pytest.raises(KeyError):
        _interrupted(image, keeps=False, asks=False)  # a run that does not use it leaves it alone
    assert leftover_workspace(image) == tmp_path / ".image.tif.partial"
    assert contents(tmp_path) == {".image.tif.partial/sums": b"half"}
    with output_set([image, tmp_path / "image.json"]) as outputs:
        assert (outputs.workspace / "sums").read_text() == "half"
        outputs.keep_workspace()
        outputs.staged(image).write_text("new")
        outputs.staged(tmp_path / "image.json").write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.json", "image.tif"]


@settings(max_examples=20, deadline=None)
@given(stem=st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1))
def test_names_of_every_length(tmp_path_factory: pytest.TempPathFactory, stem: str) -> None:
    folder = tmp_path_factory.mktemp("names")
    for length in (1, 120, 251):
        name = (stem * length).encode()[:length].decode(errors="ignore")
        paths = [folder / f"{name}.tif", folder / f"{name}.csv"]
        _write(paths, "new", overwrite=True)
    assert not any(path.name.endswith((".lock", ".partial")) for path in folder.iterdir())
    with pytest.raises(InputError, match="File name too long"):
        check_writable(folder / ("x" * 256), overwrite=True)


def test_long_names_share_no_hidden_name(tmp_path: Path) -> None:
    names = [f"{'x' * 240}{number}.{'tif' * 2}" for number in range(2)]
    names += [f"a.{'x' * 250}", f"b.{'x' * 250}"]
    with output_set([tmp_path / name for name in names]) as outputs:
        for name in names:
            outputs.staged(tmp_path / name).write_text(name)
    assert contents(tmp_path) == {name: name.encode() for name in names}


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("old")
    for number in (1, 2):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("data")
        with pytest.raises(InputError, match="exists"):
            check_writable(tmp_path / "link", overwrite=False)
        _write([tmp_path / name for name in ("link", "other")[:number]], "new", overwrite=True)
        assert not (tmp_path / "link").is_symlink()
        assert (tmp_path / "link").read_text() == "new"
        assert (tmp_path / "data").read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are Unix's")
def test_neither_links_to_nothing_nor_pipes_nor_devices_are_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    refused = {
        tmp_path / "link": "is a link to 'nowhere', which does not exist",
        tmp_path / "pipe": "is a device or a pipe",
        Path("/dev/null"): "is a device or a pipe",
    }
    for path, message in refused.items():
        with pytest.raises(InputError, match=message):
            check_writable(path, overwrite=True)
    assert (tmp_path / "link").is_symlink()


def test_private_files_of_a_library_become_ordinary_ones(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    with written_whole(tmp_path / "out") as partial:
        partial.touch(mode=0o600)
        partial.chmod(0o600)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("x.tif", "x"),
        ("a/x.ome.tif", "x"),
        ("x.OME.TIFF", "x"),
        ("x.y.tif", "x.y"),
        ("x", "x"),
        (".ome.tif", ".ome"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    assert stem_of(name) == stem


def test_the_stem_of_a_folder_is_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.1").mkdir()
    assert stem_of(tmp_path / "run.1") == "run.1"
    monkeypatch.chdir(tmp_path / "run.1")
    assert stem_of(".") == "run.1"
