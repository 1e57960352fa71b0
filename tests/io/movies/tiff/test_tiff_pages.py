from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.tiff.directory import DirectoryReader


def _page(**tags: tuple[int, int, int]) -> bytes:
    """Return a little-endian TIFF of one directory: kind, count and value of each tag by code."""
    entries = {int(code[1:]): tag for code, tag in tags.items()}
    body = b"".join(struct.pack("<HHII", code, *entries[code]) for code in sorted(entries))
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + struct.pack("<I", 0)


HONEST = {
    "t256": (4, 1, 8),
    "t257": (4, 1, 8),
    "t258": (3, 1, 16),
    "t273": (4, 1, 8),
    "t279": (4, 1, 128),
}


@pytest.mark.parametrize(
    "claim",
    [
        {"t256": (4, 1, 0)},
        {"t257": (4, 1, 2**32 - 1), "t256": (4, 1, 2**32 - 1)},
        {"t257": (4, 1, 2**15), "t256": (4, 1, 2**12)},
        {"t273": (4, 2**32 - 1, 8)},
        {"t273": (4, 1, 2**32 - 1)},
        {"t279": (4, 2**31, 8), "t259": (3, 1, 8)},
        {"t273": (12, 1, 8)},
        {"t273": (99, 1, 8)},
        {"t270": (2, 2**32 - 1, 8)},
        {"t258": (3, 1, 77)},
        {"t339": (3, 1, 200)},
        {"t277": (3, 1, 60000)},
        {"t32997": (4, 1, 2**31)},
        {"t324": (4, 2**30, 8), "t322": (4, 1, 16), "t323": (4, 1, 16), "t325": (4, 2**30, 8)},
    ],
)
def test_claims_beyond_the_file_are_not_believed(
    claim: dict[str, tuple[int, int, int]], tmp_path: Path
) -> None:
    (tmp_path / "m.tif").write_bytes(_page(**(HONEST | claim)) + bytes(128))
    with pytest.raises(InputError):
        open_movie(tmp_path / "m.tif")


def test_the_honest_page_of_the_test_above_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(_page(**HONEST) + bytes(128))
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.read(0, 1).shape == (1, 8, 8)


def test_page_tables_in_a_loop(tmp_path: Path) -> None:
    content = bytearray(_page(**HONEST) + bytes(128))
    content[-132:-128] = struct.pack("<I", 8)  # the pointer to the next table
    (tmp_path / "m.tif").write_bytes(content)
    with pytest.raises(InputError, match="loop"):
        open_movie(tmp_path / "m.tif")


def test_page_tables_that_overlap() -> None:
    # Each table claims 4000 tags and lies six bytes after the one before; the pointer at its end
    # falls between the counts of later ones.
    content = bytearray(600_000)
    content[:8] = struct.pack("<2sHI", b"II", 42, 8)
    for offset in range(8, 500_000, 6):
        content[offset : offset + 2] = struct.pack("<H", 4000)
        content[offset + 48_002 : offset + 48_006] = struct.pack("<I", offset + 6)
    reader = DirectoryReader(io.BytesIO(content), "m.tif")
    with pytest.raises(InputError, match="overlap"):
        list(reader.directories())


@pytest.mark.parametrize("announced", [10**6, 10**17])
@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped"])
def test_announced_frames_that_are_not_there(kind: str, announced: int, tmp_path: Path) -> None:
    descriptions = {
        "imagej": f"ImageJ=1.53t\nimages={announced}\nframes={announced}\n",
        "ome": f'<OME><Image><Pixels SizeT="{announced}" SizeX="8" SizeY="8"/></Image></OME>',
        "shaped": f'{{"shape": [{announced}, 8, 8]}}',
    }
    description = descriptions[kind].encode() + b"\0"
    claim = HONEST | {"t270": (2, len(description), len(_page(**HONEST, t270=(2, 0, 0))))}
    (tmp_path / "m.tif").write_bytes(_page(**claim) + description + bytes(200))
    with pytest.raises(InputError, match="announces"):
        open_movie(tmp_path / "m.tif")


@pytest.mark.parametrize("compression", [1, 8])
def test_a_page_that_was_never_written(compression: int, tmp_path: Path) -> None:
    blank = {"t259": (3, 1, compression), "t273": (4, 1, 0), "t279": (4, 1, 0)}
    (tmp_path / "m.tif").write_bytes(_page(**(HONEST | blank)) + bytes(128))
    with pytest.raises(InputError, match=r"frame 0 .* never written"):
        open_movie(tmp_path / "m.tif")


def test_a_tiff_file_without_pages(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 0))
    with pytest.raises(InputError, match="holds no images"):
        open_movie(tmp_path / "m.tif")


def test_a_metamorph_stack_is_not_taken_for_one_frame(tmp_path: Path) -> None:
    (tmp_path / "m.stk").write_bytes(_page(**HONEST, t33629=(5, 7, 8)) + bytes(7 * 128))
    with open_movie(tmp_path / "m.stk") as movie:
        assert movie.shape == (7, 8, 8)
