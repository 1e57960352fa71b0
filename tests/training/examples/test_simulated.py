from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.config import validated
from deepstorm.errors import InputError
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling, Scaling
from deepstorm.simulation.blinking import AnyBlinking, SwitchingBlinking
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, IdealCamera, ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.training.examples import simulated as module
from deepstorm.training.examples.draws import draw_blinking
from deepstorm.training.examples.protocol import TRAINING, VALIDATION, Batch
from deepstorm.training.examples.simulated import SimulatedExamples

SMALL = SimulatedExamples(patch_px=16, scenes=3, frames_per_scene=2)


def batch(seed: int = 0, step: int = 0, stream: int = TRAINING) -> Batch:
    return SMALL.prepare(PhotonScaling(), 8, seed).batch(step, stream)


def same(first: Batch, second: Batch) -> bool:
    return np.array_equal(first.frames, second.frames) and np.array_equal(
        first.spikes, second.spikes
    )


def test_a_batch_has_the_shapes_that_it_says() -> None:
    made = batch()
    assert made.frames.shape == (6, 3, 16, 16)
    assert made.spikes.shape == (6, 1, 128, 128)
    assert made.frames.dtype == made.spikes.dtype == np.float32
    assert np.isfinite(made.frames).all()


@pytest.mark.parametrize("upsampling", [1, 3, 8])
def test_spikes_follow_the_upsampling(upsampling: int) -> None:
    made = SMALL.prepare(PhotonScaling(), upsampling, 0).batch(0)
    assert made.spikes.shape == (6, 1, 16 * upsampling, 16 * upsampling)
    assert made.spikes.sum() == batch().spikes.sum()


def test_seed_stream_and_step_decide_a_batch() -> None:
    assert same(batch(3, 5, VALIDATION), batch(3, 5, VALIDATION))
    # A source that has given other batches before gives the same one again.
    source = SMALL.prepare(PhotonScaling(), 8, 3)
    for step in (0, 7):
        source.batch(step)
    assert same(source.batch(5, VALIDATION), batch(3, 5, VALIDATION))


def test_other_seeds_streams_and_steps_give_other_batches() -> None:
    kinds = [(0, 0, TRAINING), (1, 0, TRAINING), (0, 1, TRAINING), (0, 0, VALIDATION)]
    kinds += [(1, 0, VALIDATION), (0, 1, VALIDATION)]
    frames = [batch(*kind).frames for kind in kinds]
    for index, first in enumerate(frames):
        assert not any(np.array_equal(first, second) for second in frames[index + 1 :])


def test_numpys_global_generator_is_left_alone() -> None:
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    first = batch()
    np.random.seed(5)  # noqa: NPY002
    assert same(batch(), first)
    np.random.set_state(state)  # noqa: NPY002
    batch()
    after: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    assert after["state"]["pos"] == state["state"]["pos"]


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_spikes_are_the_true_emitters_within_the_field(seed: int) -> None:
    one = SimulatedExamples(patch_px=16, scenes=1, frames_per_scene=4)
    made = one.prepare(PhotonScaling(), 8, seed).batch(2)
    rng = np.random.default_rng([seed, TRAINING, 2])
    movie = simulate_movie(one.draw_settings(rng), rng)
    per_frame = np.bincount(movie.truth.frame, minlength=4)
    assert made.spikes.sum(axis=(1, 2, 3)).tolist() == per_frame.tolist()
    assert len(movie.truth) <= len(movie.emitters)


@pytest.mark.parametrize("scaling", [PhotonScaling(), MinMaxScaling(mean=0.2)])
def test_the_scaling_is_fitted_to_each_short_movie(scaling: Scaling) -> None:
    one = SimulatedExamples(patch_px=16, scenes=1, frames_per_scene=4)
    source = one.prepare(scaling, 8, 1)
    rng = np.random.default_rng([1, TRAINING, 0])
    drawn_settings = one.draw_settings(rng)
    frames = np.concatenate(list(simulate_movie(drawn_settings, rng).frames()))
    told = one.told_instrument(drawn_settings, rng)
    expected = scaling.fit(frames, told).apply(frames)
    np.testing.assert_array_equal(source.batch(0).frames, expected)
    assert source.scaling == scaling


def drawn(examples: SimulatedExamples, count: int = 60) -> list[SimulationSettings]:
    rng = np.random.default_rng(0)
    return [examples.draw_settings(rng) for _ in range(count)]


def test_scenes_stay_within_the_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "coverage", lambda settings, rng: 1.0)
    examples = SimulatedExamples(patch_px=8)
    found = drawn(examples)
    values = {
        "local_density_per_um2": [one.density_per_um2 for one in found],
        "sigma_px": [one.psf.sigma_nm / one.pixel_size_nm for one in found],
        "mean_photons": [one.brightness.mean_photons for one in found],
        "brightness_spread": [one.brightness.relative_spread for one in found],
        "background_photons": [one.background.mean_photons for one in found],
        "unevenness": [one.background.unevenness for one in found],
        "psf_spread": [one.psf.relative_spread for one in found],
    }
    for name, drawn_values in values.items():
        low, high = getattr(examples, name)
        assert low <= min(drawn_values) <= max(drawn_values) <= high, name
        # And they fill the ranges: both outer thirds are met, on the scale that they are drawn in.
        log = "spread" not in name and name != "unevenness"
        share = (np.log if log else np.asarray)([low, high, *drawn_values])
        share = (share[2:] - share[0]) / (share[1] - share[0])
        assert share.min() < 1 / 3 < 2 / 3 < share.max(), name


def shares_of_thirds(values: list[float]) -> npt.NDArray[np.float64]:
    """Parts of values that lie in the three thirds of (1, e³), on a logarithmic scale."""
    return np.bincount(np.log(values).astype(int), minlength=3) / len(values)


def test_the_middle_of_a_range_and_high_densities_are_drawn_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "coverage", lambda settings, rng: 1.0)
    limits = (1.0, float(np.exp(3)))
    examples = SimulatedExamples(patch_px=8, local_density_per_um2=limits, mean_photons=limits)
    found = drawn(examples, 1500)
    # Five standard errors of a binomial share of about a half.
    photons = shares_of_thirds([one.brightness.mean_photons for one in found])
    np.testing.assert_allclose(photons, [2 / 9, 5 / 9, 2 / 9], atol=5 * 0.013)
    density = shares_of_thirds([one.density_per_um2 for one in found])
    np.testing.assert_allclose(density, [1 / 9, 3 / 9, 5 / 9], atol=5 * 0.013)


def test_backgrounds_do_not_drown_the_emitters() -> None:
    examples = SimulatedExamples(patch_px=8, background_share=0.02)
    found = drawn(examples)
    share = [one.background.mean_photons / one.brightness.mean_photons for one in found]
    assert max(share) == pytest.approx(0.02)
    assert min(share) < 0.01


def test_a_range_of_one_value_is_that_value() -> None:
    examples = SimulatedExamples(
        patch_px=8, sigma_px=(1.3, 1.3), mean_photons=(777, 777), background_photons=(5, 5)
    )
    for one in drawn(examples, 5):
        assert one.psf.sigma_nm == pytest.approx(130)
        assert one.brightness.mean_photons == pytest.approx(777)
        assert one.background.mean_photons == pytest.approx(5)


def test_the_density_is_that_of_the_structure() -> None:
    # On filaments, a local density means fewer emitters than in a field filled with them.
    examples = SimulatedExamples(patch_px=40, local_density_per_um2=(2, 2))
    found = drawn(examples, 20)
    for one in found:
        if isinstance(one.scene, UniformScene):
            assert one.density_per_um2 == pytest.approx(2)
        else:
            assert 0 < one.density_per_um2 <= 2 * (1 + 1e-9)
    assert min(one.density_per_um2 for one in found) < 1


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_emitters_switch_in_their_share_of_the_scenes(share: float) -> None:
    rng = np.random.default_rng(3)
    found = [draw_blinking(share, rng) for _ in range(500)]
    switching = [one for one in found if isinstance(one, SwitchingBlinking)]
    error = np.sqrt(500 * share * (1 - share))
    assert len(switching) == pytest.approx(500 * share, abs=5 * error)
    assert all(0.3 <= one.mean_on_frames <= 5 for one in switching)
    assert len({one.kind for one in drawn_blinking(share)}) == (1 if share in (0, 1) else 2)


def drawn_blinking(share: float) -> list[AnyBlinking]:
    examples = SimulatedExamples(patch_px=8, switching_share=share)
    return [one.blinking for one in drawn(examples, 40)]


def told(camera: AnyCamera, error: float, count: int) -> npt.NDArray[np.float64]:
    """Logarithms of what the scaling is told over the truth: gain, background, width."""
    examples = SimulatedExamples(calibration_error=error)
    simulated = SimulationSettings(
        camera=camera, psf=GaussianPsf(sigma_nm=130), background=Background(mean_photons=30)
    )
    zero_adu, adu_per_photon = camera.noise_line()
    level_adu = camera.mean_adu(30)
    rng = np.random.default_rng(4)
    found = [examples.told_instrument(simulated, rng) for _ in range(count)]
    ratios = [
        (
            one.adu_per_photon / adu_per_photon,
            (level_adu - one.zero_adu) / one.adu_per_photon
            / ((level_adu - zero_adu) / adu_per_photon),
            one.sigma_px / 1.3,
        )
        for one in found
    ]  # fmt: skip
    logarithms: npt.NDArray[np.float64] = np.log(np.array(ratios))
    return logarithms


@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()])
def test_the_scaling_is_told_the_truth_up_to_the_errors_of_a_calibration(
    camera: AnyCamera,
) -> None:
    np.testing.assert_allclose(told(camera, 0.0, 3), 0, atol=1e-9)
    errors = told(camera, 0.12, 2000)
    spread = np.array([0.12, 0.12, 0.04])
    assert (abs(errors.mean(axis=0)) < 5 * spread / np.sqrt(2000)).all()
    np.testing.assert_allclose(errors.std(axis=0), spread, rtol=5 / np.sqrt(2 * 2000))
    between = np.asarray(np.corrcoef(errors.T))[np.triu_indices(3, 1)]
    assert abs(between).max() < 5 / np.sqrt(2000)


def test_spikes_lie_where_the_light_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_scene", lambda rng: UniformScene())
    examples = SimulatedExamples(
        patch_px=24,
        scenes=20,
        frames_per_scene=4,
        local_density_per_um2=(0.2, 0.2),
        sigma_px=(1, 1),
        mean_photons=(1e4, 1e4),
        brightness_spread=(0, 0),
        background_photons=(1, 1),
        unevenness=(0, 0),
        psf_spread=(0, 0),
        switching_share=0,
    )
    made = examples.prepare(PhotonScaling(), 8, 0).batch(0)
    shifts = [
        centroid_shift(frame, spikes)
        for frame, spikes in zip(made.frames, made.spikes[:, 0], strict=True)
    ]
    known = np.array([shift for shift in shifts if shift is not None])
    assert len(known) > 5
    np.testing.assert_allclose(known.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(known, 0, atol=0.25)


def centroid_shift(
    frame: npt.NDArray[np.float32], spikes: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64] | None:
    """Light's centroid minus that of a frame's only emitter in camera pixels, away from borders."""
    places = np.argwhere(spikes)
    # Back from the square root; the second channel tells the level above which it counts.
    light = (8 * frame[0] + 10 * np.exp(frame[1])) ** 2
    light -= np.median(light)
    if len(places) != 1:
        return None
    position = (places[0] + 0.5) / 8
    corner = np.floor(position).astype(int) - 4
    if (corner < 0).any() or (corner + 9 > len(light)).any():
        return None
    window = light[corner[0] : corner[0] + 9, corner[1] : corner[1] + 9]
    outside = light.sum() - window.sum()
    if outside > 0.1 * window.sum():
        return None  # light of an emitter beyond the border
    offsets = np.arange(9) + 0.5
    found = np.array([window.sum(1) @ offsets, window.sum(0) @ offsets]) / window.sum()
    return np.asarray(corner + found - position)


def test_the_validity_names_the_ranges() -> None:
    validity = SimulatedExamples(sigma_px=(1.0, 1.2)).validity()
    assert validity["sigma_px"] == (1.0, 1.2)
    assert set(validity) == {
        "local_density_per_um2",
        "sigma_px",
        "mean_photons",
        "background_photons",
        "pixel_size_nm",
    }


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("sigma_px", (1.7, 0.85)),
        ("sigma_px", (0.0, 1.0)),
        ("local_density_per_um2", (0.0, 14.0)),
        ("local_density_per_um2", (1.0, 2000.0)),
        ("mean_photons", (-5.0, 10.0)),
        ("background_photons", (0.0, 5.0)),
        ("brightness_spread", (0.1, 3.0)),
        ("unevenness", (-0.1, 0.2)),
        ("psf_spread", (0.0, 0.6)),
    ],
)
def test_impossible_ranges_are_refused(name: str, limits: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=f"'{name}'.* give two numbers from"):
        validated(SimulatedExamples, {name: list(limits)}, "a recipe")


@pytest.mark.parametrize(
    ("name", "value"),
    [("switching_share", 1.1), ("calibration_error", -0.1), ("background_share", 0.0)],
)
def test_impossible_shares_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"'{name}'"):
        validated(SimulatedExamples, {name: value}, "a recipe")


@pytest.mark.parametrize("patch_px", [4, 10, 1000])
def test_impossible_sizes_are_refused(patch_px: int) -> None:
    with pytest.raises(InputError, match="'patch_px'"):
        validated(SimulatedExamples, {"patch_px": patch_px}, "a recipe")
