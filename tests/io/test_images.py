from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepstorm.errors import InputError
from deepstorm.io import matlab
from deepstorm.io.images import read_image, write_image
from deepstorm.io.movies.tiff.stack import TiffMovie

IMAGE = np.random.default_rng(0).gamma(0.3, 2.0, (48, 64)).astype(np.float32)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    image=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    pixel_size_nm=st.floats(0.2, 2000),
    suffix=st.sampled_from([".tif", ".ome.tif", ".tiff", ".TIF"]),
)
def test_an_image_comes_back_as_it_was(
    image: npt.NDArray[np.float32], pixel_size_nm: float, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"image{suffix}"
    write_image(path, image, pixel_size_nm, overwrite=True)
    read, size = read_image(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, image)
    assert size == pytest.approx(pixel_size_nm if pixel_size_nm != 1 else None)


@pytest.mark.parametrize("name", ["image.tif", "image.ome.tif"])
def test_other_readers_find_the_physical_size(name: str, tmp_path: Path) -> None:
    write_image(tmp_path / name, IMAGE, 12.5, description="expected emitters < 3 per µm² & more")
    with tifffile.TiffFile(tmp_path / name) as file:
        assert file.is_ome
        assert file.series[0].axes == "YX"
        tags = file.pages.first.tags
        xml = file.ome_metadata or ""
        # What ImageJ makes of the plain tags: 1 / XResolution, in the unit of ResolutionUnit.
        for axis in "XY":
            numerator, denominator = tags[f"{axis}Resolution"].value
            assert denominator / numerator * 1e7 == pytest.approx(12.5)
        assert int(tags["ResolutionUnit"].value) == 3
        np.testing.assert_array_equal(file.asarray(), IMAGE)
    assert 'PhysicalSizeX="12.5" PhysicalSizeXUnit="nm"' in xml
    assert 'PhysicalSizeY="12.5" PhysicalSizeYUnit="nm"' in xml
    assert "<Description>expected emitters &lt; 3 per µm² &amp; more</Description>" in xml


def test_a_description_may_hold_what_xml_may_not(tmp_path: Path) -> None:
    write_image(tmp_path / "i.tif", IMAGE, 12.5, description="a\0b\x07c]]>\ud800d\nе")
    assert read_image(tmp_path / "i.tif")[1] == 12.5
    with tifffile.TiffFile(tmp_path / "i.tif") as file:
        assert re.search("<Description>abc]]&gt;d\nе</Description>", file.ome_metadata or "")


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros(4), "2D"),
        (np.zeros((2, 3, 4)), "2D"),
        (np.zeros((0, 4)), "2D"),
        (np.array([[1.0, np.nan]]), "NaN"),
        (np.array([[1.0, np.inf]]), "NaN or infinite"),
        (np.zeros((2, 2), complex), "complex"),
    ],
)
def test_what_is_no_image_is_not_written(
    image: npt.NDArray[Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        write_image(tmp_path / "i.tif", image, 12.5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pixel_size_nm", [0.0, -12.5, np.nan, np.inf])
def test_a_pixel_size_must_be_positive(pixel_size_nm: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pixel size"):
        write_image(tmp_path / "i.tif", IMAGE, pixel_size_nm)


def test_names_must_fit_the_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.tif"):
        write_image(tmp_path / "i.png", IMAGE, 12.5)


def test_outputs_are_not_overwritten_unasked(tmp_path: Path) -> None:
    write_image(tmp_path / "i.tif", IMAGE, 12.5)
    with pytest.raises(InputError, match="exists"):
        write_image(tmp_path / "i.tif", IMAGE, 12.5)
    write_image(tmp_path / "i.tif", IMAGE, 12.5, overwrite=True)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("u1", "f4"),
        ("u2", "f4"),
        ("i2", "f4"),
        ("f2", "f4"),
        ("f4", "f4"),
        ("u4", "f8"),
        ("f8", "f8"),
    ],
)
def test_images_are_floating_point_without_loss(dtype: str, expected: str, tmp_path: Path) -> None:
    image = np.arange(12).reshape(3, 4).astype(dtype)
    tifffile.imwrite(tmp_path / "i.tif", image, photometric="minisblack")
    np.save(tmp_path / "i.npy", image)
    for name in ("i.tif", "i.npy"):
        read, size = read_image(tmp_path / name)
        assert read.dtype == np.dtype(expected)
        np.testing.assert_array_equal(read, image)
        assert size is None


def test_an_array_may_have_another_suffix(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", IMAGE)
    (tmp_path / "i.npy").rename(tmp_path / "i.dat")
    np.testing.assert_array_equal(read_image(tmp_path / "i.dat")[0], IMAGE)


def test_a_stack_is_no_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((3, 8, 8), np.float32), photometric="minisblack")
    np.save(tmp_path / "i.npy", np.zeros((3, 8, 8)))
    with pytest.raises(InputError, match="3 frames"):
        read_image(tmp_path / "i.tif")
    with pytest.raises(InputError, match="2D"):
        read_image(tmp_path / "i.npy")


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", np.array([[{}, {}]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read as a NumPy array"):
        read_image(tmp_path / "i.npy")


@pytest.mark.parametrize("shape", ["(4611686018427387904, 8)", "(100000, 100000)", "(-1, 8)", "(8"])
def test_an_array_that_claims_more_than_its_file(shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(117) + b"\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (tmp_path / "i.npy").write_bytes(start + header + bytes(64))
    with pytest.raises(InputError, match="cannot be read as a NumPy array"):
        read_image(tmp_path / "i.npy")


def test_the_only_matrix_of_a_matlab_file(tmp_path: Path) -> None:
    scipy.io.savemat(
        tmp_path / "i.mat",
        {"pixel": 12.5, "name": "tubes", "axis": np.arange(9.0), "Recovery": IMAGE},
    )
    image, size = read_image(tmp_path / "i.mat")
    np.testing.assert_array_equal(image, IMAGE)
    assert size is None


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({"a": IMAGE, "b": IMAGE}, r"2 matrices .*a \(48, 64\), b \(48, 64\)"),
        ({"pixel": 12.5, "name": "tubes"}, r"0 matrices .*pixel \(1, 1\), name"),
        ({"stack": np.zeros((2, 3, 4))}, r"0 matrices .*stack \(2, 3, 4\)"),
        ({"a": IMAGE.astype(complex)}, "complex"),
        ({}, "it holds nothing"),
    ],
)
def test_matlab_files_without_a_single_matrix(
    contents: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    scipy.io.savemat(tmp_path / "i.mat", contents)
    with pytest.raises(InputError, match=reason):
        read_image(tmp_path / "i.mat")


def test_no_module_in_the_working_folder_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy.io.savemat(tmp_path / "i.mat", {"image": IMAGE})
    (tmp_path / "numpy.py").write_text("open('was-run', 'w')\n")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_image("i.mat")[0], IMAGE)
    assert not (tmp_path / "was-run").exists()


def test_a_matlab_7_3_file_asks_for_another_version(tmp_path: Path) -> None:
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "i.mat").write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(99))
    with pytest.raises(InputError, match="-v7"):
        read_image(tmp_path / "i.mat")


@pytest.mark.parametrize("left", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".tif", ".npy", ".mat"])
def test_truncated_images(suffix: str, left: float, tmp_path: Path) -> None:
    path = tmp_path / f"i{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, IMAGE, metadata=None)
    elif suffix == ".npy":
        np.save(path, IMAGE)
    else:
        scipy.io.savemat(path, {"a": IMAGE})
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(InputError):
        read_image(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, 400), value=st.sampled_from([0, 1, 127, 128, 255]))
def test_damage_ends_in_an_image_or_in_one_clear_error(
    position: int, value: int, tmp_path: Path
) -> None:
    path = tmp_path / "i.npy"
    np.save(path, IMAGE)
    content = bytearray(path.read_bytes())
    content[position] = value
    path.write_bytes(content)
    try:
        image, _ = read_image(path)
    except InputError:
        return
    assert image.ndim == 2


@pytest.mark.parametrize(("position", "value"), [(176, 0), (176, 127), (177, 255)])
def test_damage_that_crashes_the_reader_of_matlab_files(
    position: int, value: int, tmp_path: Path
) -> None:
    """At these places a single byte ends the process that SciPy reads in."""
    path = tmp_path / "i.mat"
    scipy.io.savemat(path, {"a": IMAGE, "b": 3.0})
    content = bytearray(path.read_bytes())
    content[position] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a MATLAB file"):
        read_image(path)


def test_a_matlab_file_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy.io.savemat(tmp_path / "i.mat", {"a": IMAGE})
    monkeypatch.setattr(matlab, "_TIMEOUT_S", 0.001)
    with pytest.raises(InputError, match="reasonable time"):
        read_image(tmp_path / "i.mat")


def test_an_image_that_is_not_finite(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", np.array([[0.0, np.nan]]))
    with pytest.raises(InputError, match="NaN"):
        read_image(tmp_path / "i.npy")


def test_the_published_reconstruction(reference_data: Path) -> None:
    image, size = read_image(reference_data / "fig4-microtubules" / "paper_reconstruction.mat")
    assert image.shape == (512, 512)
    assert image.dtype == np.float32
    assert size is None


@pytest.mark.parametrize(("dpi", "expected"), [(300, None), (1200, None), (25.4e6 / 9000, 9000.0)])
def test_the_resolution_of_print_is_no_pixel_size(
    dpi: float, expected: float | None, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "i.tif", IMAGE, resolution=(dpi, dpi), resolutionunit="INCH")
    assert read_image(tmp_path / "i.tif")[1] == pytest.approx(expected)


def test_an_image_may_be_larger_than_any_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pixels are a hole in the file, and are not read: only what the header claims matters.
    tifffile.memmap(tmp_path / "i.tif", shape=(17_000, 17_000), dtype=np.uint8)
    with pytest.raises(InputError, match="claims frames of 17000 × 17000 pixels"):
        TiffMovie(tmp_path / "i.tif")
    monkeypatch.setattr(TiffMovie, "read", lambda movie, start, stop: IMAGE[np.newaxis])
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif")[0], IMAGE)


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("PNG", b"\x89PNG\r\n\x1a\n"),
        ("JPEG", b"\xff\xd8\xff\xe0"),
        ("BMP", b"BM6"),
        ("GIF", b"GIF89a"),
    ],
)
def test_a_picture_is_no_image(kind: str, start: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.tif").write_bytes(start + bytes(100))
    with pytest.raises(
        InputError, match=rf"'p\.tif' is a picture \({kind}\).*give the image itself"
    ):
        read_image(tmp_path / "p.tif")
