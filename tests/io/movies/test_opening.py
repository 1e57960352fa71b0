from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from deepstorm.errors import InputError
from deepstorm.io.movies import opening
from deepstorm.io.movies.opening import FORMATS, open_movie

TEXT = "frame,x,y\n1,2,3\n"


@pytest.mark.parametrize("name", ["m.tif", "m.dat", "m"])
def test_a_file_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    frames = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    np.save(tmp_path / "m.npy", frames)
    (tmp_path / "m.npy").rename(tmp_path / name)
    with open_movie(tmp_path / name) as movie:
        np.testing.assert_array_equal(movie.read(0, 3), frames)
    tifffile.imwrite(tmp_path / name, frames[:2], photometric="minisblack")
    with open_movie(tmp_path / name) as movie:
        np.testing.assert_array_equal(movie.read(0, 2), frames[:2])


@pytest.mark.parametrize(
    ("name", "content", "came"),
    [
        ("m.csv", TEXT.encode(), "is not a movie that is read here: it begins with 'frame,x,y'"),
        ("m.tif", TEXT.encode(), "is not a TIFF file, whatever its name says: it begins with 'fr"),
        ("m.npy", b"\x89PNG\r\n\x1a\n", "is not a NumPy file, .* begins with 89 50 4e 47 0d 0a"),
        ("m.nd2", b"\xda\xce\xbe\x0a" * 9, "begins with da ce be 0a"),
        ("m", b"\0" * 99, "begins with 00 00 00"),
    ],
)
def test_what_came_and_what_is_read_are_named(
    name: str, content: bytes, came: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"'{name}' .*{came}") as raised:
        open_movie(tmp_path / name)
    for known in ("NDTiff.index", "TIFF (.tif, .tiff", "NumPy (.npy)"):
        assert known in str(raised.value)


def test_a_format_is_one_module_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting.py").write_text(
        "import numpy as np\n"
        "from deepstorm.io.movies.movie import ArrayMovie\n\n\n"
        "class CountingFormat:\n"
        "    name = 'Counting'\n"
        "    suffixes = ('.count',)\n\n"
        "    @staticmethod\n"
        "    def matches(head, path):\n"
        "        return head.startswith(b'COUNT') or (not head and path.suffix == '.count')\n\n"
        "    @staticmethod\n"
        "    def open(path, *, growing):\n"
        "        return ArrayMovie(np.ones((7, 2, 2)), name=path.name)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(opening, "FORMATS", (*FORMATS, "counting:CountingFormat"))
    (tmp_path / "file.bin").write_bytes(b"COUNT")
    (tmp_path / "folder.count").mkdir()
    for name in ("file.bin", "folder.count"):
        with open_movie(tmp_path / name) as movie:
            assert (movie.name, movie.shape) == (name, (7, 2, 2))
    (tmp_path / "other").write_bytes(b"?")
    with pytest.raises(InputError, match=r"Counting \(\.count\)"):
        open_movie(tmp_path / "other")


def imported_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after running some code."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(("kind", "tifffile_needed"), [("raw", False), ("zlib", True)])
def test_readers_are_imported_when_they_are_needed(
    kind: str, tifffile_needed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "m.tif"
    compression = None if kind == "raw" else kind
    frames = np.ones((3, 4, 5), np.uint16)
    tifffile.imwrite(path, frames, photometric="minisblack", compression=compression)
    opened = (
        f"from deepstorm.io.movies.opening import open_movie\nopen_movie({str(path)!r}).close()"
    )
    loaded = imported_by(opened)
    assert "deepstorm.io.movies.tiff.stack" in loaded
    assert ("tifffile" in loaded) is tifffile_needed
    assert not loaded & {"torch", "scipy", "h5py", "deepstorm.io.movies.npy"}


def test_opening_imports_no_reader_at_all() -> None:
    loaded = imported_by("import deepstorm.io.movies.opening")
    assert not loaded & {"tifffile", "torch", "scipy", "imagecodecs"}
    assert not {name for name in loaded if name.startswith("deepstorm.io.movies.tiff")}
