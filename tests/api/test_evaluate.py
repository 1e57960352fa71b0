from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.evaluate import evaluate, parse_line
from deepstorm.errors import InputError
from deepstorm.io.images import write_image
from deepstorm.io.tables.localizations import write_localizations
from deepstorm.structures import Localizations, Reconstruction, histogram_image


@pytest.fixture
def truth() -> Localizations:
    rng = np.random.default_rng(0)
    return Localizations(
        np.sort(rng.integers(0, 5, 400)), rng.uniform(0, 800, 400), rng.uniform(0, 800, 400)
    )


def test_a_perfect_image_scores_zero_error(truth: Localizations, tmp_path: Path) -> None:
    image = histogram_image(truth, (64, 64), 12.5)
    write_image(tmp_path / "image.tif", 3 * image, 12.5)
    write_localizations(tmp_path / "truth.csv", truth)
    figures = evaluate(tmp_path / "image.tif", tmp_path / "truth.csv").figures()
    assert figures["nmse_percent"] == pytest.approx(0, abs=0.5)
    assert figures["ssim"] == pytest.approx(1, abs=0.01)
    assert figures["registered_nmse_percent"] <= figures["nmse_percent"]


def test_arrays_and_records_are_taken(truth: Localizations) -> None:
    image = histogram_image(truth, (64, 64), 12.5)
    as_array = evaluate(image, truth, pixel_size_nm=12.5)
    as_record = evaluate(Reconstruction(image, 12.5, image), truth)
    assert as_array == as_record


def test_tables_are_scored(truth: Localizations, tmp_path: Path) -> None:
    write_localizations(tmp_path / "found.csv", truth.shifted(10, 0))
    figures = evaluate(tmp_path / "found.csv", truth, radius_nm=15).figures()
    assert figures["radius_nm"] == 15
    assert figures["jaccard"] > 0.95
    assert figures["rmse_nm"] < 11


def test_line_width_and_halves() -> None:
    _, x = np.mgrid[:80, :80] + 0.5
    rng = np.random.default_rng(1)
    line = np.exp(-0.5 * ((x - 40) / 3) ** 2) * 50
    halves = [rng.poisson(line).astype(np.float32) for _ in range(2)]
    evaluation = evaluate(
        halves[0], pixel_size_nm=10, line=parse_line("200,400,600,400"), other_half=halves[1]
    )
    assert evaluation.fwhm_nm == pytest.approx(2.3548 * 30, rel=0.1)
    figures = evaluation.figures()
    assert set(figures) == {"fwhm_nm", "frc_resolution_nm", "frc_outcome"}
    assert figures["frc_outcome"] == "resolved"


def test_what_is_missing_is_asked_for(truth: Localizations) -> None:
    image = histogram_image(truth, (64, 64), 12.5)
    with pytest.raises(InputError, match="nothing to score"):
        evaluate(image, pixel_size_nm=12.5)
    with pytest.raises(InputError, match=r"`pixel_size_nm=12\.5`"):
        evaluate(image, truth)
    with pytest.raises(InputError, match="truth"):
        evaluate(truth)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "1,2,3,4,5"])
def test_a_line_that_is_no_line(text: str) -> None:
    with pytest.raises(InputError, match="X0,Y0,X1,Y1"):
        parse_line(text)


@pytest.mark.parametrize("pixel_size_nm", [0, -12.5, float("nan")])
def test_a_pixel_size_that_is_none(truth: Localizations, pixel_size_nm: float) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        evaluate(np.ones((64, 64)), truth, pixel_size_nm=pixel_size_nm)


def test_a_stack_is_no_image(truth: Localizations) -> None:
    with pytest.raises(InputError, match="two axes"):
        evaluate(np.ones((2, 64, 64)), truth, pixel_size_nm=12.5)


def test_halves_have_the_same_scale(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, pixel_nm in (("a.tif", 12.5), ("b.tif", 12.5), ("c.tif", 25.0)):
        write_image(tmp_path / name, rng.random((32, 32)), pixel_nm)
    evaluate(tmp_path / "a.tif", other_half=tmp_path / "b.tif")
    with pytest.raises(InputError, match=r"other half are 25 nm, those of the image 12\.5 nm"):
        evaluate(tmp_path / "a.tif", other_half=tmp_path / "c.tif")
    evaluate(tmp_path / "a.tif", other_half=tmp_path / "c.tif", pixel_size_nm=12.5)


def test_tables_with_tabs_are_tables(truth: Localizations, tmp_path: Path) -> None:
    write_localizations(tmp_path / "t.csv", truth)
    text = (tmp_path / "t.csv").read_text().replace(",", "\t")
    (tmp_path / "t.tsv").write_text(text)
    assert evaluate(tmp_path / "t.tsv", truth).figures()["jaccard"] == 1
