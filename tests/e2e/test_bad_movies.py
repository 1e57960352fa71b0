"""What users really give: one clear sentence, and nothing half-written stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from deepstorm.cli.app import main

RNG = np.random.default_rng(0)
FRAMES = RNG.poisson(100, (5, 20, 24)).astype(np.uint16)


def _write(path: Path, data: npt.NDArray[np.generic], **options: object) -> None:
    tifffile.imwrite(path, data, **({"photometric": "minisblack"} | options))


def _pages_of_two_shapes(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(FRAMES[0], contiguous=False)
        writer.write(FRAMES[1, :10], contiguous=False)


def _truncated(path: Path) -> None:
    _write(path, FRAMES)
    path.write_bytes(path.read_bytes()[:-2000])


def _with(value: float) -> npt.NDArray[np.float32]:
    frames = FRAMES.astype(np.float32)
    frames[3, 4, 5] = value
    return frames


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "a folder": (lambda path: path.mkdir(), "folder"),
    "not a TIFF": (lambda path: path.write_text("hello"), "TIFF"),
    "empty": (lambda path: path.touch(), "is empty"),
    "truncated": (_truncated, "truncated|end|damaged|short"),
    "RGB": (
        lambda path: _write(path, np.zeros((20, 24, 3), np.uint8), photometric="rgb"),
        "RGB|colour",
    ),
    "several channels": (
        lambda path: _write(
            path, np.zeros((3, 2, 20, 24), np.uint16), imagej=True, metadata={"axes": "TCYX"}
        ),
        "channel|axes",
    ),
    "pages of different shapes": (_pages_of_two_shapes, "shape|size"),
    "NaN": (lambda path: _write(path, _with(np.nan)), "frame 3"),
    "infinity": (lambda path: _write(path, _with(np.inf)), "frame 3"),
}


def _run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["deepstorm", *words])
    code: object = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize("kind", BAD)
def test_bad_movies_end_in_one_sentence(
    kind: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, expected = BAD[kind]
    movie = tmp_path / "movie.tif"
    make(movie)
    before = set(tmp_path.iterdir())
    code, message = _run(capsys, monkeypatch, "reconstruct", str(movie), "--pixel-size", "100")
    assert code == 1
    assert message.startswith("error: ")
    assert "Traceback" not in message
    assert len(message.splitlines()) == 1
    assert any(word in message for word in expected.split("|")), message
    assert set(tmp_path.iterdir()) == before


GOOD: dict[str, npt.NDArray[np.generic]] = {
    "one frame": FRAMES[0],
    "8 bit": FRAMES.astype(np.uint8),
    "float": FRAMES.astype(np.float32) / 7,
    "signed with negative values": FRAMES.astype(np.int16) - 200,
    "constant": np.full((4, 20, 24), 7, np.uint16),
    "all zero": np.zeros((4, 20, 24), np.uint16),
    "32 bit": FRAMES.astype(np.uint32) * 70_000,
}


@pytest.mark.parametrize("kind", GOOD)
def test_unusual_movies_are_reconstructed(
    kind: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    movie = tmp_path / "movie.tif"
    _write(movie, GOOD[kind])
    code, message = _run(capsys, monkeypatch, "reconstruct", str(movie), "--pixel-size", "100")
    assert code == 0
    assert all(line.startswith("warning: ") for line in message.splitlines())
    image = tifffile.imread(tmp_path / "movie_deepstorm.tif")
    assert image.shape == (160, 192)
    assert np.isfinite(image).all()
    if kind in ("constant", "all zero"):
        assert image.sum() < 1
        assert "Nothing that blinks" in message


BAD_WORDS: dict[str, tuple[list[str], str]] = {
    "no pixel size": ([], "--pixel-size"),
    "absurd pixel size": (["--pixel-size", "-3"], "not credible"),
    "pixels of another network": (["--pixel-size", "900"], "trained for"),
    "frames": (["--pixel-size", "100", "--frames", "7:9"], "no frame of 5"),
    "frames in words": (["--pixel-size", "100", "--frames", "all"], "START:STOP"),
    "region": (["--pixel-size", "100", "--roi", "0,0,100,100"], "does not lie"),
    "upsampling": (["--pixel-size", "100", "--upsampling", "3"], "divisor"),
    "network": (["--pixel-size", "100", "--network", "none"], "no network"),
    "output folder": (["--pixel-size", "100", "-o", "missing/x.tif"], "does not exist"),
    "table format": (["--pixel-size", "100", "--localizations", "x.doc"], "format"),
    "image format": (["--pixel-size", "100", "-o", "x.jpg"], "tif"),
}


@pytest.mark.parametrize("kind", BAD_WORDS)
def test_bad_options_end_in_one_sentence(
    kind: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words, expected = BAD_WORDS[kind]
    movie = tmp_path / "movie.tif"
    _write(movie, FRAMES)
    monkeypatch.chdir(tmp_path)
    code, message = _run(capsys, monkeypatch, "reconstruct", str(movie), *words)
    assert code == 1
    assert expected in message
    assert len(message.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [movie]


def test_an_unknown_option_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, message = _run(capsys, monkeypatch, "reconstruct", "movie.tif", "--pixelsize", "100")
    assert code == 2
    assert "--pixelsize" in message


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_an_unwritable_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = tmp_path / "movie.tif"
    _write(movie, FRAMES)
    tmp_path.chmod(0o500)
    code, message = _run(capsys, monkeypatch, "reconstruct", str(movie), "--pixel-size", "100")
    tmp_path.chmod(0o700)
    assert code == 1
    assert "not writable" in message


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_command_leaves_nothing(name: str, tmp_path: Path) -> None:
    """Ctrl-C, or the end of a job, while frames are read, in a process of its own."""
    movie = tmp_path / "movie.tif"
    _write(movie, FRAMES)
    code = (
        "import os, signal, sys, time\n"
        # A parent in the background has it ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from deepstorm.cli.app import main\n"
        "from deepstorm.reconstruction.predictor import Predictor\n"
        "def stop(*_, **__):\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    time.sleep(0.5)\n"
        "    return iter(())\n"
        "Predictor.predict = stop\n"
        f"sys.argv = ['deepstorm', 'reconstruct', {str(movie)!r}, '--pixel-size', '100']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [movie]
