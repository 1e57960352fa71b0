from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie

FRAMES = np.zeros((3, 8, 8), np.uint16)


def pixel_size_nm(path: Path) -> float | None:
    with open_movie(path) as movie:
        return movie.pixel_size_nm


def imagej(
    path: Path, unit: str | None, per_unit: tuple[float, float], **options: Any
) -> float | None:
    metadata = {} if unit is None else {"unit": unit}
    tifffile.imwrite(path, FRAMES, imagej=True, resolution=per_unit, metadata=metadata | options)
    return pixel_size_nm(path)


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("micron", 10.0, 100.0),
        ("um", 1000 / 117, 117.0),
        ("\\u00B5m", 9.0, 1000 / 9),
        ("nm", 0.01, 100.0),
        ("mm", 10_000.0, 100.0),
        ("cm", 62_500.0, 160.0),
        ("micron", 1.0, None),
        ("nm", 1.0, None),
        ("micron", 0.5, None),
        ("nm", 0.5, None),
        ("micron", 200.0, None),
        ("inch", 254_000.0, None),
        ("pixel", 0.01, None),
        ("furlong", 10.0, None),
        (None, 10.0, None),
    ],
)
def test_imagej_pixel_sizes(
    unit: str | None, per_unit: float, expected: float | None, tmp_path: Path
) -> None:
    assert imagej(tmp_path / "m.tif", unit, (per_unit, per_unit)) == pytest.approx(expected)


@pytest.mark.parametrize("micro", ["µm".encode("latin-1"), "µm".encode(), "μm".encode()])
def test_imagej_writes_micro_in_several_codings(micro: bytes, tmp_path: Path) -> None:
    imagej(tmp_path / "m.tif", "XXX", (8.0, 8.0))
    content = (tmp_path / "m.tif").read_bytes()
    unit = (b"unit=" + micro).ljust(8, b"\n")
    (tmp_path / "m.tif").write_bytes(content.replace(b"unit=XXX", unit))
    assert pixel_size_nm(tmp_path / "m.tif") == pytest.approx(125.0)


def test_pixels_that_are_not_square_have_no_size(tmp_path: Path) -> None:
    assert imagej(tmp_path / "m.tif", "micron", (10.0, 10.05)) == pytest.approx(100.0)
    assert imagej(tmp_path / "n.tif", "micron", (10.0, 10.2)) is None


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("CENTIMETER", 100_000.0, 100.0),
        ("INCH", 25.4e6 / 160, 160.0),
        ("NONE", 100_000.0, None),
        ("INCH", 72.0, None),
        ("INCH", 96.0, None),
        ("INCH", 300.0, None),
        ("CENTIMETER", 1.0, None),
        ("CENTIMETER", 118.0, None),
    ],
)
def test_plain_tiff_pixel_sizes(
    unit: str, per_unit: float, expected: float | None, tmp_path: Path
) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif",
        FRAMES,
        photometric="minisblack",
        resolution=(per_unit, per_unit),
        resolutionunit=unit,
    )
    assert pixel_size_nm(tmp_path / "m.tif") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}, 100.0),
        ({"PhysicalSizeX": 0.16}, 160.0),
        ({"PhysicalSizeX": 117, "PhysicalSizeXUnit": "nm"}, 117.0),
        ({"PhysicalSizeX": 1e-4, "PhysicalSizeXUnit": "mm"}, 100.0),
        ({"PhysicalSizeX": 1300, "PhysicalSizeXUnit": "Å"}, 130.0),
        ({"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "pixel"}, None),
        ({"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2}, None),
        ({"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}, None),
        ({"PhysicalSizeX": 0.0}, None),
        ({"PhysicalSizeX": -0.1}, None),
        ({"PhysicalSizeX": 6.5}, None),
        ({}, None),
    ],
)
def test_ome_pixel_sizes(metadata: dict[str, Any], expected: float | None, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif",
        FRAMES,
        photometric="minisblack",
        ome=True,
        metadata={"axes": "TYX"} | metadata,
    )
    assert pixel_size_nm(tmp_path / "m.tif") == pytest.approx(expected)


@pytest.mark.parametrize("size", ["", "nan", "inf", "1e400", "wide", "0x10"])
def test_an_ome_pixel_size_that_is_no_number(size: str, tmp_path: Path) -> None:
    xml = f'<OME><Image><Pixels SizeT="3" PhysicalSizeX="{size}"/></Image></OME>'
    tifffile.imwrite(
        tmp_path / "m.tif", FRAMES, photometric="minisblack", description=xml, metadata=None
    )
    assert pixel_size_nm(tmp_path / "m.tif") is None


def test_a_calibration_that_its_own_header_denies(tmp_path: Path) -> None:
    info = {"Info": "dCalibration = 0.064\nbCalibrated = false\n"}
    assert imagej(tmp_path / "m.tif", "micron", (15.625, 15.625), **info) is None
    info = {"Info": "dCalibration = 0.064\nbCalibrated = true\n"}
    assert imagej(tmp_path / "n.tif", "micron", (15.625, 15.625), **info) == pytest.approx(64)


def test_a_movie_in_several_ome_files_is_refused_by_name(tmp_path: Path) -> None:
    parts = "".join(
        f'<TiffData IFD="0"><UUID FileName="m_{part}.ome.tif">urn:uuid:{part}</UUID></TiffData>'
        for part in range(3)
    )
    xml = f'<OME><Image><Pixels SizeT="3">{parts}</Pixels></Image></OME>'
    tifffile.imwrite(
        tmp_path / "m.tif", FRAMES, photometric="minisblack", description=xml, metadata=None
    )
    with pytest.raises(InputError, match=r"one of 3 files .*m_0\.ome\.tif"):
        open_movie(tmp_path / "m.tif")


def test_several_ome_images_in_one_file_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "m.tif", ome=True) as writer:
        for _ in range(2):
            writer.write(FRAMES, photometric="minisblack", metadata={"axes": "TYX"})
    with pytest.raises(InputError, match="2 OME images"):
        open_movie(tmp_path / "m.tif")


@pytest.mark.parametrize(
    "description",
    [
        '{"shape": [3, 8',
        '{"shape": ' + "[" * 5000,
        '{"shape": "none"}',
        '{"shape": [1e999, 8, 8]}',
        '{"shape": null}',
        "ImageJ=\nimages=x\nframes=-3\nunit",
        "<OME><Pixels SizeT='3'></OME>",
        "<!DOCTYPE o [<!ENTITY a 'aaaa'>]><OME>&a;</OME>",
    ],
)
def test_a_description_without_sense_is_passed_over(description: str, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif", FRAMES, photometric="minisblack", description=description, metadata=None
    )
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.shape == FRAMES.shape
        assert movie.pixel_size_nm is None


def test_a_later_file_of_an_ome_movie_names_the_first(tmp_path: Path) -> None:
    xml = '<OME UUID="urn:uuid:1"><BinaryOnly UUID="u" MetadataFile="first.ome.tif"/></OME>'
    tifffile.imwrite(
        tmp_path / "m.tif", FRAMES, photometric="minisblack", description=xml, metadata=None
    )
    with pytest.raises(InputError, match=r"one of several files .*'first\.ome\.tif' describes"):
        open_movie(tmp_path / "m.tif")


@pytest.mark.parametrize("shape", [(5, 6, 7, 1), (1, 6, 7, 1)])
def test_a_last_axis_of_one_sample_is_none(shape: tuple[int, ...], tmp_path: Path) -> None:
    frames = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "m.tif", frames, truncate=True, photometric="minisblack")
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.shape == shape[:3]
        np.testing.assert_array_equal(movie.read(0, shape[0]), frames.reshape(shape[:3]))
