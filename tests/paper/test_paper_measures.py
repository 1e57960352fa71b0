"""What the parts measure, on images whose answer is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from deepstorm.errors import InputError
from deepstorm.paper import lines, stripes
from deepstorm.paper.context import Context
from deepstorm.paper.drawing import cropped, crosses, merged, outlined, pictured
from deepstorm.paper.methods import spread_frames
from deepstorm.paper.movies import data_folder, like_the_papers_movie, simulated
from deepstorm.paper.robustness import Score, false_share
from deepstorm.paper.routing import RoutingSettings, best_of, changing_movie
from deepstorm.paper.table1 import EXPERIMENTAL, SIMULATED, Timing, _figures, keras_seconds
from deepstorm.reports.panels import Curve, CurvePanel, ImagePanel
from deepstorm.simulation.scenes import UniformScene
from deepstorm.structures import Localizations, histogram_image


def test_the_truth_of_a_line_is_as_wide_as_a_pixel() -> None:
    places = np.array(lines.line_positions(17.0))
    table = Localizations(np.zeros(len(places), int), places[:, 0], places[:, 1])
    image = histogram_image(table, (512, 512), 12.5)
    width = lines.width_nm(image, 12.5, 17.0)
    assert width is not None
    assert 10 < width < 20


def test_a_field_without_a_line_has_no_width() -> None:
    assert lines.width_nm(np.zeros((512, 512), np.float32), 12.5, 4.0) is None


def test_true_stripes_are_resolved_to_their_distance() -> None:
    """Localizations without error show a dip of all of the peak, from which nothing is missing."""
    separations = (31.0, 70.0)
    settings = stripes.stripe_settings(separations, 9.0, 20)
    _, truth = simulated(settings, seed=1)
    dips = stripes.stripe_dips(
        stripes.drawn_finely(truth, separations), stripes.FINE_NM, separations
    )
    for (dip, shape), separation in zip(dips, separations, strict=True):
        assert dip.depth > 0.95
        assert dip.peak_distance_nm == pytest.approx(separation, abs=4)
        assert shape["separation_nm"] == separation


def test_light_far_from_all_emitters_is_false() -> None:
    truth = np.zeros((40, 40), np.float32)
    truth[20, 10] = 1
    image = np.zeros_like(truth)
    image[20, 12], image[20, 30] = 3, 1
    assert false_share(image, truth, far_px=8) == pytest.approx(0.25)
    assert false_share(np.zeros_like(truth), truth, far_px=8) == 0


def test_a_condition_holds_where_the_count_is_right_and_little_is_false() -> None:
    assert Score(50, 1.1, 0.01).is_good
    assert not Score(50, 1.4, 0.01).is_good
    assert not Score(50, 1.0, 0.2).is_good


def test_the_oracle_takes_the_better_image_of_each_part() -> None:
    truth = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    noise = truth[::-1].copy()
    first, second = truth.copy(), truth.copy()
    first[1], second[0] = noise[1], noise[0]
    assert (best_of([first, second], truth) == truth).all()


def test_a_changing_movie_keeps_its_filaments() -> None:
    settings = RoutingSettings(parts=((4.0, 1000.0), (8.0, 2000.0)), frames=6)
    frames, (sparse, dense) = changing_movie(settings, seed=1)
    assert frames.shape == (12, 64, 64)
    assert len(dense) > 1.5 * len(sparse)
    near = np.hypot(
        sparse.x_nm[:, None] - dense.x_nm[None], sparse.y_nm[:, None] - dense.y_nm[None]
    ).min(axis=1)
    assert np.median(near) < 60  # of two draws of filaments it is some hundreds


def test_frames_are_spread_over_the_movie() -> None:
    assert spread_frames(100, 3).tolist() == [0, 50, 99]
    assert spread_frames(4, None).tolist() == [0, 1, 2, 3]
    assert spread_frames(4, 9).tolist() == [0, 1, 2, 3]


def test_times_of_parts_of_movies_are_not_those_of_whole_ones() -> None:
    timings = [
        Timing(SIMULATED, "native", "cpu", 361, 361, 5.0, 225),
        Timing(EXPERIMENTAL, "native", "cpu", 40, 500, 2.0, 1000),
        Timing(SIMULATED, "FALCON", "cpu", 10, 361, 2.0, 225),
        Timing(SIMULATED, "CEL0", "cpu", 0, 361, None, 225),
    ]
    figures = _figures(timings, "native")
    assert figures["simulated"].value == 5.0
    assert figures["experimental"].value is None
    short = [Timing(EXPERIMENTAL, "native", "cpu", 40, 40, 2.0, 1000)]
    assert _figures(short, "native")["experimental"].value is None
    assert figures["times FALCON"].value == pytest.approx(361 / 5 / (10 / 2))
    assert figures["times CEL0"].value is None
    assert figures["emitters per second"].value == pytest.approx(20_000)
    assert figures["million parameters"].value == pytest.approx(1.37, abs=0.005)


def test_the_original_is_timed_in_another_python(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport sys, pathlib\n"
        "assert pathlib.Path(sys.argv[-1]).is_file() and sys.argv[2].endswith('original.py')\n"
        'print("noise\\n" + \'{"seconds": 2.5, "name": "Keras"}\')\n'
    )
    python.chmod(0o755)
    frames = np.zeros((2, 8, 8), np.uint16)
    assert keras_seconds(python, frames) == (2.5, "Keras")


def test_pictures_are_png() -> None:
    image = np.random.default_rng(0).random((16, 24))
    marks = (outlined((100, 100, 900, 900), 100.0), crosses(np.array([[500, 500]]), 100.0))
    panels = [
        ImagePanel("image", image, 100.0, curves=marks),
        ImagePanel("merged", merged(image, image), 100.0, curves=(Curve([0, 9], [0, 9]),)),
        CurvePanel("curve", "x", "y", (Curve([1, 2], [1.0, None], "a"),), "x", (1, 2)),
    ]
    assert pictured("name", "caption", panels, 2).png.startswith(b"\x89PNG")


def test_places_in_nm_lie_on_their_pixels() -> None:
    outline = outlined((100, 200, 500, 400), 50.0)
    assert (min(outline.x), max(outline.x)) == (2, 10)
    assert (min(outline.y), max(outline.y)) == (4, 8)
    cross = crosses(np.array([[75.0, 125.0]]), 50.0)
    assert (list(cross.x), list(cross.y)) == ([1.5], [2.5])


def test_a_region_is_cut_out_in_nm() -> None:
    image = np.arange(100).reshape(10, 10)
    assert cropped(image, 100.0, (200, 300, 500, 400)).tolist() == [[32, 33, 34]]


def test_agreement_is_yellow() -> None:
    image = np.zeros((8, 8))
    image[4, 4] = 1
    red, green, blue = merged(image, image)[4, 4]
    assert (red, green, blue) == (255, 255, 0)


def test_a_data_folder_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPSTORM_DATA", raising=False)
    assert data_folder(None) is None
    with pytest.raises(InputError, match="does not exist"):
        data_folder(tmp_path / "missing")
    assert Context(data=tmp_path).file("fig4-microtubules", "movie.tif") is None


def test_the_papers_movie_has_its_light() -> None:
    settings = like_the_papers_movie(UniformScene(), 5.0, 20)
    _, truth = simulated(settings, seed=1)
    assert truth.photons is not None
    assert truth.photons.mean() == pytest.approx(1450, rel=0.1)
    dark, _ = simulated(settings.model_copy(update={"density_per_um2": 0.0}), seed=1)
    assert dark.mean() == pytest.approx(139.3, abs=0.5)  # 100 and 19 photons
    assert dark.var() == pytest.approx(4 * 39.3, rel=0.1)  # as the published movie has it
