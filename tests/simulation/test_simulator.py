from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from deepstorm.config import read_settings, validated
from deepstorm.errors import InputError
from deepstorm.simulation import simulator
from deepstorm.simulation.blinking import (
    AnyBlinking,
    Brightness,
    IndependentBlinking,
    SwitchingBlinking,
)
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, IdealCamera, ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import (
    ClusterScene,
    FilamentScene,
    Scene,
    StripeScene,
    TableScene,
    UniformScene,
)
from deepstorm.simulation.simulator import (
    Background,
    SimulatedMovie,
    SimulationSettings,
    simulate_movie,
)
from deepstorm.structures import FloatArray

SMALL = SimulationSettings(
    frames=10, height_px=12, width_px=16, density_per_um2=3.0, scene=UniformScene()
)


def movie_of(settings: SimulationSettings, seed: int = 0, **changes: object) -> SimulatedMovie:
    changed = SimulationSettings.model_validate(settings.model_dump() | changes)
    return simulate_movie(changed, np.random.default_rng(seed))


def counts_of(movie: SimulatedMovie) -> FloatArray:
    return np.concatenate(list(movie.frames())).astype(np.float64)


@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()], ids=str)
def test_the_same_seed_gives_the_same_movie(camera: AnyCamera) -> None:
    one, two, other = (
        movie_of(SMALL, seed, camera=camera, background=Background(unevenness=0.2))
        for seed in (4, 4, 5)
    )
    for name, column in one.truth.columns().items():
        np.testing.assert_array_equal(column, two.truth.columns()[name])
    counts = counts_of(one)
    np.testing.assert_array_equal(counts, counts_of(two))
    assert not np.array_equal(counts, counts_of(other))


def test_frames_are_16_bit_and_in_blocks() -> None:
    blocks = list(movie_of(SMALL, frames=130).frames())
    assert [len(block) for block in blocks] == [64, 64, 2]
    assert all(block.dtype == np.uint16 and block.shape[1:] == (12, 16) for block in blocks)


def test_large_cameras_have_smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "PIXELS_PER_BLOCK", 3 * 12 * 16)
    assert [len(block) for block in movie_of(SMALL).frames()] == [3, 3, 3, 1]
    monkeypatch.setattr(simulator, "PIXELS_PER_BLOCK", 1)
    assert [len(block) for block in movie_of(SMALL).frames()] == [1] * 10


def test_truth_is_what_lies_within_the_field() -> None:
    movie = movie_of(SMALL, frames=50)
    truth, everywhere = movie.truth, movie.emitters
    assert 0 < len(truth) < len(everywhere)
    assert truth.x_nm.min() >= 0
    assert truth.y_nm.min() >= 0
    assert truth.x_nm.max() < 1600
    assert truth.y_nm.max() < 1200
    outside = (
        (everywhere.x_nm < 0)
        | (everywhere.x_nm >= 1600)
        | (everywhere.y_nm < 0)
        | (everywhere.y_nm >= 1200)
    )
    assert len(truth) + outside.sum() == len(everywhere)
    assert set(truth.columns()) == {
        "frame", "x_nm", "y_nm", "photons", "sigma_nm", "background_photons"
    }  # fmt: skip


def test_photon_counts_follow_the_expected_light() -> None:
    movie = movie_of(SMALL, frames=200, camera=IdealCamera())
    expected = movie.expected_photons(0, 200).sum(0)
    observed = counts_of(movie).sum(0)
    # Sums of Poisson counts of about 200 · 60 photons: normal, of known variance.
    deviation = (observed - expected) / np.sqrt(expected)
    assert stats.kstest(deviation.ravel(), "norm").pvalue > 1e-3


def test_the_mean_image_is_background_and_density_times_photons_up_to_the_border() -> None:
    frames, brightness = 600, Brightness(mean_photons=500.0)
    movie = movie_of(SMALL, frames=frames, brightness=brightness, psf=GaussianPsf(sigma_nm=130))
    light = movie.expected_photons(0, frames)
    # 3 emitters per µm² on pixels of 0.01 µm², and light that comes in from the margin.
    expected = 20.0 + 3.0 * 0.01 * 500.0
    border = np.ones((12, 16), np.bool_)
    border[2:-2, 2:-2] = False
    for region in (border, ~border):
        mean = light[:, region].mean(1)
        error = mean.std(ddof=1) / np.sqrt(frames)
        assert mean.mean() == pytest.approx(expected, abs=5 * error)


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_block_boundaries_do_not_change_the_light(spread: float) -> None:
    psf = GaussianPsf(relative_spread=spread)
    movie = movie_of(SMALL, frames=30, blinking=SwitchingBlinking(), psf=psf)
    whole = movie.expected_photons(0, 30)
    parts = np.concatenate([movie.expected_photons(start, start + 5) for start in range(0, 30, 5)])
    single = np.concatenate([movie.expected_photons(index, index + 1) for index in range(30)])
    # How far light is computed depends on the widest spot of a block: less than 1e-6 of the light
    # along each axis is left out. Without a spread of widths nothing differs.
    assert movie.emitters.photons is not None
    limit = 2e-6 * movie.emitters.photons.sum() if spread else 0.0
    np.testing.assert_allclose(parts, whole, rtol=0, atol=limit)
    np.testing.assert_allclose(single, whole, rtol=0, atol=limit)


@pytest.mark.parametrize("blinking", [IndependentBlinking(), SwitchingBlinking()], ids=str)
@pytest.mark.parametrize(
    "scene",
    [
        UniformScene(),
        StripeScene(separations_nm=(100.0,)),
        TableScene(positions_nm=((200.0, 300.0), (1250.0, 350.0))),
        ClusterScene(clusters=30),
    ],
    ids=lambda scene: scene.kind,
)
def test_the_density_within_the_field_is_the_requested_one(
    scene: Scene, blinking: AnyBlinking
) -> None:
    density = np.array(
        [
            len(movie_of(SMALL, seed, scene=scene, blinking=blinking).truth) / (10 * 1.6 * 1.2)
            for seed in range(200)
        ]
    )
    error = density.std(ddof=1) / np.sqrt(len(density))
    assert density.mean() == pytest.approx(3.0, abs=5 * error)


def test_filaments_are_as_dense_as_documented() -> None:
    settings = SimulationSettings(frames=3, scene=FilamentScene())
    movies = [movie_of(settings, seed) for seed in range(100)]
    # Field and margin together: exact on average; the field alone up to a fifth above.
    area = settings.field_of_view().area_um2
    total = np.array([len(movie.emitters) for movie in movies]) / (3 * area)
    assert total.mean() == pytest.approx(5.0, abs=5 * total.std(ddof=1) / 10)
    within = np.array([len(movie.truth) for movie in movies]) / (3 * 6.4**2)
    assert 1.0 < within.mean() / 5.0 < 1.2


@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()], ids=str)
def test_an_emitter_appears_at_its_pixel(camera: AnyCamera) -> None:
    settings = SimulationSettings(
        frames=50,
        height_px=24,
        width_px=32,
        density_per_um2=0.3,
        scene=TableScene(positions_nm=((1250.0, 350.0),)),
        camera=camera,
    )
    movie = simulate_movie(settings, np.random.default_rng(1))
    mean = counts_of(movie).mean(0)
    assert np.unravel_index(mean.argmax(), mean.shape) == (3, 12)
    photons = camera.to_photons(mean) - 20.0
    centres = np.arange(32) + 0.5
    centroid = photons[:10, 5:20].sum(0) @ centres[5:20] / photons[:10, 5:20].sum()
    assert centroid == pytest.approx(12.5, abs=0.1)


def test_pixel_size_sets_the_place_and_the_width_in_pixels() -> None:
    scene, psf = TableScene(positions_nm=((1250.0, 350.0),)), GaussianPsf(relative_spread=0)
    arguments = {"scene": scene, "psf": psf, "height_px": 40, "width_px": 40, "frames": 30}
    coarse = movie_of(SMALL, 1, **arguments).expected_photons(0, 30).sum(0)
    fine = movie_of(SMALL, 1, **arguments, pixel_size_nm=50.0).expected_photons(0, 30).sum(0)
    assert np.unravel_index(coarse.argmax(), coarse.shape) == (3, 12)
    # 1250 and 350 nm are borders of pixels of 50 nm.
    assert np.argwhere(np.isclose(fine, fine.max(), rtol=1e-9)).tolist() == [
        [6, 24], [6, 25], [7, 24], [7, 25]
    ]  # fmt: skip


@pytest.mark.parametrize("unevenness", [0.05, 0.2])
def test_uneven_backgrounds_have_the_requested_mean_and_spread(unevenness: float) -> None:
    background = Background(mean_photons=50.0, unevenness=unevenness)
    seen = [background.realise((40, 60), np.random.default_rng(seed)) for seed in range(30)]
    for light in seen:
        assert light.mean() == pytest.approx(50.0)
        assert light.std() == pytest.approx(50.0 * unevenness)
        # Smooth: at most two half waves over the field.
        assert abs(np.diff(light, axis=1)).max() < 50.0 * unevenness * 2 * np.pi / 60 * 4
    assert not np.allclose(seen[0], seen[1])


def test_backgrounds_never_run_out() -> None:
    background = Background(mean_photons=50.0, unevenness=1.0)
    for seed in range(30):
        light = background.realise((20, 20), np.random.default_rng(seed))
        assert light.min() >= 0.05 * 50.0
    assert (Background(mean_photons=7.0).realise((3, 4), np.random.default_rng(0)) == 7.0).all()
    assert Background(unevenness=0.5).realise((1, 1), np.random.default_rng(0)).shape == (1, 1)


def test_nothing_but_background() -> None:
    movie = movie_of(SMALL, density_per_um2=0.0, camera=IdealCamera())
    assert len(movie.truth) == 0
    assert (movie.expected_photons(0, 10) == 20.0).all()
    assert counts_of(movie).shape == (10, 12, 16)


TOML = """
frames = 20
height_px = 16
width_px = 24
density_per_um2 = 2.0

[scene]
kind = "clusters"
ring = true

[blinking]
kind = "switching"
mean_on_frames = 3.0

[camera]
kind = "scmos"
offset_adu = 110.0
"""


def test_settings_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "simulation.toml"
    path.write_text(TOML, encoding="utf-8")
    settings = read_settings(SimulationSettings, path)
    assert settings.scene == ClusterScene(ring=True)
    assert settings.blinking == SwitchingBlinking(mean_on_frames=3.0)
    assert settings.camera == ScmosCamera(offset_adu=110.0)
    assert settings.pixel_size_nm == 100.0
    again = SimulationSettings.model_validate_json(settings.model_dump_json())
    assert again == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": 0}, "'frames': Input should be greater than or equal to 1"),
        ({"pixel_size": 100}, "'pixel_size': Extra inputs are not permitted"),
        ({"density_per_um2": float("nan")}, "'density_per_um2': Input should be a finite number"),
        ({"scene": {"kind": "grid"}}, "'scene': .*'uniform'"),
        ({"scene": {"kind": "filaments", "radius_nm": -1}}, "'scene.filaments.radius_nm'"),
        ({"camera": {"kind": "emccd", "gain": 3}}, "'camera.emccd.gain'"),
        ({"psf": {"sigma_nm": "wide"}}, "'psf.sigma_nm': Input should be a valid number"),
        ({"psf": {"sigma_nm": 90_000}}, "900 camera pixels wide.*check sigma_nm"),
        ({"blinking": {"kind": "switching", "mean_on_frames": 1e-4}}, "lower min_fraction"),
    ],
)
def test_what_is_wrong_with_settings_is_said(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        validated(SimulationSettings, values, "'simulation.json'")
    assert "simulation.json" in str(caught.value)
