from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from deepstorm.arrays import Float64Array
from deepstorm.errors import InputError
from deepstorm.simulation.mixture_scene import MixtureScene
from deepstorm.simulation.scene_kinds import AnyScene
from deepstorm.simulation.scenes import (
    ClusterScene,
    FilamentScene,
    Scene,
    StripeScene,
    TableScene,
    UniformScene,
)
from deepstorm.simulation.structures import CurveStructure, FieldOfView, PointStructure

FIELD = FieldOfView(width_nm=6400.0, height_nm=4800.0, margin_nm=500.0)

SCENES: list[Scene] = [
    UniformScene(),
    FilamentScene(),
    FilamentScene(filaments=1, radius_nm=0, bend_per_um=0, waviness_nm=80),
    FilamentScene(filaments=8, spacing_nm=300),
    FilamentScene(filaments=3, length_um=0.7),
    ClusterScene(),
    ClusterScene(clusters=3, radius_nm=0),
    ClusterScene(clusters=5, radius_nm=50, ring=True),
    StripeScene(),
    StripeScene(separations_nm=(0.0,)),
    TableScene(positions_nm=((1250.0, 350.0),)),
    TableScene(positions_nm=((1000.0, 2000.0), (3000.0, 100.0)), scatter_nm=10),
    MixtureScene(parts=(UniformScene(),), weights=(3.0,)),
    MixtureScene(parts=(FilamentScene(), ClusterScene(), UniformScene()), weights=(2.0, 1.0, 0.5)),
]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def distance_to_curves(positions: Float64Array, structure: CurveStructure) -> Float64Array:
    """Distance of each position to the nearest segment, shape (n,)."""
    step = structure.ends - structure.starts
    offset = positions[:, None] - structure.starts
    along = np.clip((offset * step).sum(-1) / (step**2).sum(-1), 0, 1)
    distance = np.linalg.norm(offset - along[..., None] * step, axis=-1)
    return np.asarray(distance.min(1), np.float64)


@pytest.mark.parametrize("scene", SCENES, ids=str)
class TestEveryScene:
    def test_positions_are_finite_pairs(self, scene: Scene) -> None:
        positions = scene.realise(FIELD, generator()).sample(500, generator())
        assert positions.shape == (500, 2)
        assert positions.dtype == np.float64
        assert np.isfinite(positions).all()

    def test_no_emitters_are_no_trouble(self, scene: Scene) -> None:
        assert scene.realise(FIELD, generator()).sample(0, generator()).shape == (0, 2)

    def test_the_same_seed_gives_the_same_positions(self, scene: Scene) -> None:
        one, two = (scene.realise(FIELD, generator(5)).sample(50, generator(6)) for _ in range(2))
        np.testing.assert_array_equal(one, two)

    @pytest.mark.parametrize("field", [FIELD, FieldOfView(400.0, 300.0, 50.0)])
    def test_the_footprint_is_positive_and_at_most_the_field(
        self, scene: Scene, field: FieldOfView
    ) -> None:
        structure = scene.realise(field, generator(2))
        assert 0 < structure.footprint_um2 <= field.area_um2
        assert structure.footprint_um2 <= structure.field.area_um2

    def test_positions_are_near_the_field(self, scene: Scene) -> None:
        positions = scene.realise(FIELD, generator(3)).sample(2000, generator(4))
        near = FieldOfView(FIELD.width_nm, FIELD.height_nm, FIELD.margin_nm + 300)
        assert near.contains(positions).all()

    def test_it_survives_json(self, scene: Scene) -> None:
        adapter: TypeAdapter[Scene] = TypeAdapter(AnyScene)
        assert adapter.validate_json(scene.model_dump_json()) == scene


def test_the_field_knows_its_margin() -> None:
    assert FIELD.area_um2 == pytest.approx(7.4 * 5.8)
    assert FIELD.without_margin().area_um2 == pytest.approx(6.4 * 4.8)
    corners = np.array([[-500.0, -500.0], [6899.9, 5299.9], [6900.0, 0.0], [0.0, -500.1]])
    np.testing.assert_array_equal(FIELD.contains(corners), [True, True, False, False])


def test_uniform_density_is_the_same_everywhere() -> None:
    positions = UniformScene().realise(FIELD, generator()).sample(20_000, generator(1))
    assert FIELD.contains(positions).all()
    column, row = (10 * (positions - FIELD.low_nm) / FIELD.span_nm).astype(int).T
    counts = np.bincount(10 * row + column, minlength=100)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_stripes_lie_at_their_separations() -> None:
    scene = StripeScene(separations_nm=(300.0, 100.0, 20.0))
    x, y = scene.realise(FIELD, generator()).sample(6000, generator(1)).T
    # Three bands of 1600 nm, with a pair in the middle of each.
    lines = np.array([650.0, 950.0, 2350.0, 2450.0, 3990.0, 4010.0])
    nearest = abs(y[:, None] - lines).argmin(1)
    np.testing.assert_allclose(y, lines[nearest], atol=1e-9)
    assert stats.chisquare(np.bincount(nearest, minlength=6)).pvalue > 1e-4
    assert stats.kstest(x / FIELD.width_nm, "uniform").pvalue > 1e-3


def test_a_ring_has_eight_corners_at_its_radius() -> None:
    radius = 160.0
    structure = ClusterScene(clusters=1, radius_nm=radius, ring=True).realise(FIELD, generator(1))
    offset = structure.sites - structure.sites.mean(0)
    np.testing.assert_allclose(np.hypot(*offset.T), radius)
    angle = np.sort(np.arctan2(offset[:, 1], offset[:, 0]))
    np.testing.assert_allclose(np.diff(angle), np.pi / 4)
    n = 8000
    positions = structure.sample(n, generator(2))
    distance = np.linalg.norm(positions[:, None] - structure.sites, axis=2)
    assert stats.chisquare(np.bincount(distance.argmin(1), minlength=8)).pvalue > 1e-4
    # Scatter of 5 nm along both axes; the square of the distance has a mean of 2 · 25, and an
    # exponential distribution.
    assert (distance.min(1) ** 2).mean() == pytest.approx(50.0, abs=5 * 50 / np.sqrt(n))


def test_a_cluster_has_its_radius_as_standard_deviation() -> None:
    n = 8000
    structure = ClusterScene(clusters=1, radius_nm=70).realise(FIELD, generator(1))
    positions = structure.sample(n, generator(2))
    centre = structure.sites[0]
    np.testing.assert_allclose(positions.mean(0), centre, atol=5 * 70 / np.sqrt(n))
    np.testing.assert_allclose(positions.std(0), 70, atol=5 * 70 / np.sqrt(2 * n))
    assert FIELD.contains(structure.sites).all()


def test_clusters_are_anywhere() -> None:
    structure = ClusterScene(clusters=10_000).realise(FIELD, generator(3))
    for place in ((structure.sites - FIELD.low_nm) / FIELD.span_nm).T:
        assert stats.kstest(place, "uniform").pvalue > 1e-3


def test_table_positions_are_the_given_ones() -> None:
    places = ((100.0, 200.0), (3000.0, 40.0), (6000.0, 4700.0))
    positions = TableScene(positions_nm=places).realise(FIELD, generator()).sample(300, generator())
    found, counts = np.unique(positions, axis=0, return_counts=True)
    np.testing.assert_array_equal(found, sorted(places))
    assert stats.chisquare(counts).pvalue > 1e-4


def test_one_table_position_covers_one_spot() -> None:
    structure = TableScene(positions_nm=((1250.0, 350.0),)).realise(FIELD, generator())
    assert structure.footprint_um2 == pytest.approx(0.25)
    np.testing.assert_array_equal(structure.sample(2, generator()), [[1250.0, 350.0]] * 2)


def test_close_sites_share_a_footprint() -> None:
    sites = np.array([[100.0, 100.0], [110.0, 120.0], [5000.0, 4000.0]])
    assert PointStructure(sites, 0.0, FIELD).footprint_um2 == pytest.approx(2 * 0.25)


@pytest.mark.parametrize("scene", [scene for scene in SCENES if isinstance(scene, FilamentScene)])
def test_filament_emitters_lie_within_the_tube(scene: FilamentScene) -> None:
    structure = scene.realise(FIELD, generator(4))
    positions = structure.sample(400, generator(5))
    assert (distance_to_curves(positions, structure) <= scene.radius_nm + 1e-6).all()
    assert FIELD.contains(structure.starts).all()
    assert FIELD.contains(structure.ends).all()


def test_emitters_are_on_the_surface_of_the_tube_as_seen_from_above() -> None:
    n, radius = 8000, 30.0
    line = CurveStructure(np.array([[0.0, 100.0]]), np.array([[1000.0, 100.0]]), radius, FIELD)
    x, y = line.sample(n, generator(1)).T
    assert stats.kstest(x / 1000, "uniform").pvalue > 1e-3
    # The height of a point on a circle has an arcsine distribution.
    assert stats.kstest((y - 100) / radius, "arcsine", args=(-1, 2)).pvalue > 1e-3


def test_long_segments_have_their_share_of_emitters() -> None:
    starts = np.array([[0.0, 0.0], [0.0, 1000.0]])
    ends = np.array([[100.0, 0.0], [0.0, 1900.0]])
    structure = CurveStructure(starts, ends, 0.0, FIELD)
    n = 4000
    on_first = int((structure.sample(n, generator(2))[:, 1] == 0).sum())
    assert on_first == pytest.approx(0.1 * n, abs=5 * np.sqrt(n * 0.1 * 0.9))
    assert structure.footprint_um2 == pytest.approx(1.0 * 0.5)


def test_a_straight_filament_is_straight_and_a_wavy_one_has_its_amplitude() -> None:
    for waviness in (0.0, 100.0):
        scene = FilamentScene(filaments=1, bend_per_um=0, waviness_nm=waviness, wavelength_nm=700)
        points = scene.realise(FIELD, generator(6)).starts
        offset = points - points.mean(0)
        across = offset @ np.linalg.svd(offset, full_matrices=False)[2][1]
        assert len(points) > 50
        # A sine wave's root mean square; incomplete periods cost less than a tenth.
        assert across.std() == pytest.approx(waviness / np.sqrt(2), rel=0.1, abs=1e-6)


def test_filaments_bend_as_documented() -> None:
    wide, bend = FieldOfView(100_000.0, 100_000.0), 0.1
    changes = []
    for seed in range(30):
        filament = FilamentScene(filaments=1, bend_per_um=bend).realise(wide, generator(seed))
        step = filament.ends - filament.starts
        angle = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        # A filament may leave the field and come back; only its unbroken stretches count.
        breaks = np.cumsum(np.append(0, (filament.ends[:-1] != filament.starts[1:]).any(1)))
        # 25 steps of 40 nm are 1 µm.
        changes.append((angle[25:] - angle[:-25])[breaks[25:] == breaks[:-25]])
    change = np.concatenate(changes)
    # The direction is a random walk smoothed over 9 steps: changes over stretches of 25 steps are
    # independent when the stretches are 34 apart.
    error = 2.8 * bend / np.sqrt(2 * len(change) / 34)
    assert change.std() == pytest.approx(2.8 * bend, abs=5 * error)


@pytest.mark.parametrize("length_um", [0.05, 0.7, 2.0])
def test_filaments_have_the_length_asked_for(length_um: float) -> None:
    field = FieldOfView(20_000.0, 20_000.0, 500.0)
    scene = FilamentScene(filaments=1, waviness_nm=0, length_um=length_um)
    lengths = []
    for seed in range(40):
        structure = scene.realise(field, generator(seed))
        lengths.append(np.linalg.norm(structure.ends - structure.starts, axis=1).sum() / 1000)
    # Where a filament crosses the border, what is beyond does not count.
    assert np.median(lengths) == pytest.approx(length_um, rel=1e-6)
    assert max(lengths) < 1.001 * length_um


def test_bundled_filaments_run_side_by_side() -> None:
    scene = FilamentScene(filaments=5, bend_per_um=0, spacing_nm=100.0)
    for seed in range(20):
        structure = scene.realise(FIELD, generator(seed))
        step = structure.ends - structure.starts
        # Directions scatter by 0.08 rad about the common one; modulo π, since a line has two ends.
        double = np.exp(2j * np.arctan2(step[:, 1], step[:, 0]))
        common = np.angle(double.mean()) / 2
        assert abs(np.angle(double * np.exp(-2j * common)) / 2).max() < 6 * 0.08
        # The outer filaments are anchored at most 2 · 1.2 spacings off the middle: half of all
        # segments lie within that and what the directions' scatter makes of 4 µm.
        across = structure.starts @ [-np.sin(common), np.cos(common)]
        assert np.median(abs(across - np.median(across))) < 2 * 1.2 * 100 + 0.08 * 4000


def test_filaments_run_in_all_directions() -> None:
    directions = []
    for seed in range(200):
        step = FilamentScene(filaments=1, bend_per_um=0).realise(FIELD, generator(seed))
        directions.append(np.arctan2(*(step.ends - step.starts)[0]))
    assert stats.kstest((np.array(directions) + np.pi) / (2 * np.pi), "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("scene", "field", "advice"),
    [
        (FilamentScene(filaments=2, spacing_nm=1e6), FIELD, "spacing_nm"),
        (FilamentScene(), FieldOfView(5.0, 5.0, 2.0), "too small"),
    ],
)
def test_filaments_that_cannot_meet_the_field_are_refused(
    scene: FilamentScene, field: FieldOfView, advice: str
) -> None:
    with pytest.raises(InputError, match=advice):
        scene.realise(field, generator())


def test_filaments_in_a_very_small_field() -> None:
    field = FieldOfView(50.0, 50.0, 25.0)
    structure = FilamentScene(filaments=4, waviness_nm=5).realise(field, generator(1))
    assert field.contains(structure.starts).all()


# Two places that lie apart and can be told by their x.
PLACES = (
    TableScene(positions_nm=((1000.0, 500.0),)),
    TableScene(positions_nm=((3000.0, 500.0), (3000.0, 4000.0))),
)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (30.0, 10.0), (0.001, 0.009)])
def test_the_parts_of_a_mixture_have_their_shares(weights: tuple[float, float]) -> None:
    n = 4000
    structure = MixtureScene(parts=PLACES, weights=weights).realise(FIELD, generator())
    of_first = structure.sample(n, generator(1))[:, 0] == 1000
    share = weights[0] / sum(weights)
    assert structure.shares == pytest.approx((share, 1 - share))
    assert of_first.sum() == pytest.approx(n * share, abs=5 * np.sqrt(n * share * (1 - share)))


def test_the_parts_of_a_mixture_come_in_random_order() -> None:
    n = 4000
    structure = MixtureScene(parts=PLACES, weights=(1, 1)).realise(FIELD, generator())
    of_first = structure.sample(n, generator(2))[:, 0] == 1000
    # Neighbours in the table are alike as often as not.
    alike = (of_first[1:] == of_first[:-1]).sum()
    assert alike == pytest.approx((n - 1) / 2, abs=5 * np.sqrt(n / 4))


def test_the_footprint_of_a_mixture_is_where_its_emitters_are() -> None:
    first, second = (place.realise(FIELD, generator()).footprint_um2 for place in PLACES)
    assert (first, second) == pytest.approx((0.25, 0.5))
    structure = MixtureScene(parts=PLACES, weights=(3, 1)).realise(FIELD, generator())
    assert structure.footprint_um2 == pytest.approx(0.75 * first + 0.25 * second)


def test_every_part_of_a_mixture_is_as_it_is_alone() -> None:
    scene = FilamentScene(filaments=2, radius_nm=0)
    alone = scene.realise(FIELD, generator(7))
    mixture = MixtureScene(parts=(scene, StripeScene()), weights=(1, 1))
    structure = mixture.realise(FIELD, generator(7))
    lines, stripes = structure.parts
    assert isinstance(lines, CurveStructure)
    np.testing.assert_array_equal(lines.starts, alone.starts)
    # Parts that keep to the camera's field count over field and margin, too.
    assert stripes.field == FIELD.without_margin()
    assert structure.field == FIELD


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "grid"},
        {"kind": "mixture", "parts": [], "weights": []},
        {"kind": "mixture", "parts": [{"kind": "uniform"}], "weights": [0.0]},
        {"kind": "mixture", "parts": [{"kind": "uniform"}], "weights": [-1.0]},
        {
            "kind": "mixture",
            "parts": [{"kind": "mixture", "parts": [{"kind": "uniform"}], "weights": [1.0]}],
            "weights": [1.0],
        },
        {"kind": "table", "positions_nm": []},
        {"kind": "table", "positions_nm": [[1.0, float("nan")]]},
        {"kind": "table", "positions_nm": [[1.0, 2.0, 3.0]]},
        {"kind": "stripes", "separations_nm": [-1.0]},
        {"kind": "stripes", "separations_nm": []},
        {"kind": "filaments", "filaments": 0},
        {"kind": "clusters", "rings": True},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyScene).validate_python(values)


def test_a_mixture_has_a_weight_for_each_part() -> None:
    values = {"kind": "mixture", "parts": [{"kind": "uniform"}], "weights": [1.0, 2.0]}
    with pytest.raises(ValidationError, match="1 scenes has 2 weights; give one weight for each"):
        TypeAdapter(AnyScene).validate_python(values)
