"""Recordings that end too early: told, with what can be saved of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from deepstorm.api.inputs import selected_movie
from deepstorm.errors import CutOffError, InputError
from deepstorm.io.movies.opening import open_movie

Laid = tuple[bytes, list[int], list[int]]
FRAMES = np.random.default_rng(0).integers(1, 4000, (20, 9, 8)).astype(np.uint16)


def written(kind: str, path: Path, micromanager_pages: Callable[..., Laid]) -> bytes:
    """Write a movie in one of the ways in which TIFF files are laid out."""
    if kind == "micromanager":
        path.write_bytes(micromanager_pages(FRAMES)[0])
    else:
        compression = "zlib" if kind == "compressed" else None
        with tifffile.TiffWriter(path, imagej=kind == "imagej") as writer:
            if kind == "imagej":
                writer.write(FRAMES, photometric="minisblack")
            for frame in FRAMES if kind != "imagej" else ():
                writer.write(frame, photometric="minisblack", compression=compression)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["pages", "compressed", "imagej", "micromanager"])
@pytest.mark.parametrize("seed", range(4))
def test_the_whole_frames_of_a_movie_that_was_cut_off_can_be_used(
    kind: str, seed: int, tmp_path: Path, micromanager_pages: Callable[..., Laid]
) -> None:
    path = tmp_path / "m.tif"
    content = written(kind, path, micromanager_pages)
    rng = np.random.default_rng(seed)
    path.write_bytes(content[: int(len(content) * rng.uniform(0.4, 0.9))])
    with pytest.raises(CutOffError, match=r"truncated|incomplete") as caught:
        open_movie(path)
    whole = caught.value.whole_frames
    assert 4 <= whole <= 20
    assert f"its first {whole} frames, which are whole: `frames=slice(0, {whole})`" in str(
        caught.value
    )
    for frames in (None, slice(0, whole + 1), slice(3, None)):
        with pytest.raises(CutOffError), selected_movie(path, frames=frames):
            pass
    with selected_movie(path, frames=slice(2, whole)) as movie:
        np.testing.assert_array_equal(movie.read(0, movie.shape[0]), FRAMES[2:whole])
        assert any("whole frames, which are read, and an end" in note for note in movie.notes) or (
            "announces 20 frames" in movie.notes[0]
        )


def test_nothing_is_promised_of_a_movie_without_a_whole_frame(
    tmp_path: Path, micromanager_pages: Callable[..., Laid]
) -> None:
    path = tmp_path / "m.tif"
    path.write_bytes(micromanager_pages(FRAMES)[0][:150])
    with pytest.raises(CutOffError, match="truncated") as caught:
        open_movie(path)
    assert caught.value.whole_frames == 0
    assert "which are whole" not in str(caught.value)


@pytest.mark.parametrize("ending", [".ome.tif", ".tif"])
@pytest.mark.parametrize("mark", ["_1", "_X2", "@0001"])
def test_files_that_may_continue_a_recording_are_named(
    ending: str, mark: str, tmp_path: Path, micromanager_pages: Callable[..., Laid]
) -> None:
    content = micromanager_pages(FRAMES[:6], texts=("ImageJ=1.5\nframes=20\n",))[0]
    path = tmp_path / f"m{ending}"
    path.write_bytes(content)
    for name in (f"m{mark}{ending}", f"other{mark}{ending}", f"m_deepstorm{ending}"):
        (tmp_path / name).write_bytes(content)
    with open_movie(path) as movie:
        announced, beside = movie.notes
    assert "announces 20 frames but holds 6" in announced
    assert (
        beside == f"'m{mark}{ending}' lies beside 'm{ending}' and may continue it, but is not read"
    )


@pytest.mark.parametrize("count", [2, 30])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_folder_of_single_images_is_told_what_to_do(
    count: int, suffix: str, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for number in range(count):
        (folder / f"img_{number}{suffix}").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=rf"{count} files \{suffix}.*Image Sequence"):
        open_movie(folder)
    with pytest.raises(InputError, match="without an index of NDTiff"):
        open_movie(tmp_path)
