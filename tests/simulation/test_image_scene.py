from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.simulation.image_scene import ImageScene
from deepstorm.simulation.structures import FieldOfView

FIELD = FieldOfView(4000.0, 2000.0)
PIXEL_NM = 50.0


def single(row: int, column: int, shape: tuple[int, int] = (40, 80)) -> np.ndarray:
    image = np.zeros(shape)
    image[row, column] = 3.0
    return image


def place(scene: ImageScene, image: np.ndarray, field: FieldOfView = FIELD) -> np.ndarray:
    structure = scene.with_image(image, PIXEL_NM).realise(field, np.random.default_rng(0))
    return structure.sample(2000, np.random.default_rng(1))


def test_an_image_of_the_fields_size_lies_where_it_was() -> None:
    """Pixel i covers [i, i + 1) pixels from the outer corner."""
    positions = place(ImageScene(path="a.tif"), single(3, 70))
    np.testing.assert_allclose(positions.min(axis=0), (3500, 150), atol=1)
    np.testing.assert_allclose(positions.max(axis=0), (3550, 200), atol=1)


def test_mirroring_and_turning_are_about_the_middle_of_the_field() -> None:
    mirrored = place(ImageScene(path="a.tif", mirrored=True), single(3, 70))
    np.testing.assert_allclose(mirrored.mean(axis=0), (4000 - 3525, 175), atol=3)
    # A quarter from x towards y: what is right of the middle comes below it.
    square = FieldOfView(4000.0, 4000.0)
    turned = place(ImageScene(path="a.tif", turned_deg=90), single(20, 70, (40, 80)), square)
    np.testing.assert_allclose(turned.mean(axis=0), (2000 - 25, 2000 + 1525), atol=3)


def test_zoom_and_centre() -> None:
    scene = ImageScene(path="a.tif", zoom=2.0, centre=(0.875, 0.0875))
    positions = place(scene, single(3, 70))
    np.testing.assert_allclose(positions.mean(axis=0), (2050, 1000), atol=5)
    assert np.ptp(positions[:, 0]) == pytest.approx(100, abs=2)


def test_brighter_pixels_have_more_emitters() -> None:
    image = single(3, 70)
    image[10, 5] = 1.0
    positions = place(ImageScene(path="a.tif"), image)
    assert (positions[:, 0] > 2000).mean() == pytest.approx(0.75, abs=0.04)


@given(seed=st.integers(0, 1000))
def test_random_copies_show_something(seed: int) -> None:
    scene = ImageScene(path="a.tif").with_image(single(0, 0), PIXEL_NM)
    rng = np.random.default_rng(seed)
    drawn = scene.drawn(rng)
    assert drawn.is_read
    structure = drawn.realise(FIELD, rng)
    middle = structure.sample(50, rng).mean(axis=0)
    np.testing.assert_allclose(middle, (2000, 1000), atol=40)


def test_a_spread_image_covers_more_than_a_spot() -> None:
    spot = ImageScene(path="a.tif").with_image(single(3, 70), PIXEL_NM)
    whole = ImageScene(path="a.tif").with_image(np.ones((40, 80)), PIXEL_NM)
    rng = np.random.default_rng(0)
    assert spot.realise(FIELD, rng).footprint_um2 == pytest.approx(0.25)
    assert whole.realise(FIELD, rng).footprint_um2 == pytest.approx(FIELD.area_um2)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.ones(4), np.full((4, 4), np.nan)])
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="cannot be a scene"):
        ImageScene(path="a.tif").with_image(image, PIXEL_NM)


def test_an_image_has_to_be_read_and_seen() -> None:
    scene = ImageScene(path="a.tif", centre=(-5.0, 0.5))
    with pytest.raises(InputError, match="has not been read"):
        scene.realise(FIELD, np.random.default_rng(0))
    with pytest.raises(InputError, match="nothing within the field"):
        scene.with_image(single(3, 3), PIXEL_NM).realise(FIELD, np.random.default_rng(0))
