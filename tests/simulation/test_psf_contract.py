"""What any PSF must do; a subclass says which."""

from __future__ import annotations

import numpy as np
import pytest

from deepstorm.simulation.measured import MeasuredPsf
from deepstorm.simulation.psf import GaussianPsf, Psf
from deepstorm.simulation.pupil import PupilPsf
from deepstorm.simulation.sampled_psf import SampledPsf, core_offset
from deepstorm.structures import FloatArray, Localizations

PIXEL_NM = 100.0
PHOTONS = 1000.0
SIDE = 56


def emitters(psf: Psf, x_px: FloatArray, y_px: FloatArray, photons: FloatArray) -> Localizations:
    """Emitters in focus, each on a frame of its own."""
    columns = psf.sample(len(x_px), np.random.default_rng(1))
    columns["z_nm"] = np.zeros(len(x_px))
    frame = np.arange(len(x_px))
    return Localizations(frame, x_px * PIXEL_NM, y_px * PIXEL_NM, photons=photons, **columns)


class PsfContract:
    psf: Psf
    # Relative error of the sum, and the part of the light that may go beyond the stated reach.
    lost = 1e-5
    beyond = 1e-4
    # Largest difference between coarse pixels and binned fine ones, over the peak.
    sampling = 2e-3
    whole_field = (SIDE, SIDE)

    def images(self, x_px: list[float], y_px: list[float], photons: float = PHOTONS) -> FloatArray:
        x, y = np.array(x_px), np.array(y_px)
        found = emitters(self.psf, x, y, np.full(len(x), photons))
        return self.psf.image(found, PIXEL_NM, (len(x), *self.whole_field))

    def test_light_is_positive_and_all_of_it_arrives(self) -> None:
        spots = self.images([28.3, 27.0, 27.5], [27.8, 28.0, 28.49])
        assert (spots >= 0).all()
        assert spots.sum(axis=(1, 2)) == pytest.approx(PHOTONS, rel=self.lost)

    def test_the_core_is_centred_on_the_emitter(self) -> None:
        # Pixels of a quarter show the light as it is, with the emitter in their middle.
        fine_nm, side = 25.0, 64
        middle = np.array([side / 2 * fine_nm / PIXEL_NM])
        one = emitters(self.psf, middle, middle, np.array([PHOTONS]))
        image = self.psf.image(one, fine_nm, (1, side, side))[0]
        offset = core_offset(image, self.psf.sigma_nm / fine_nm) * fine_nm / PIXEL_NM
        assert np.abs(offset).max() < 0.01

    def test_the_centroid_moves_with_the_emitter(self) -> None:
        x, y = np.random.default_rng(0).uniform(27, 29, (2, 25)).round(3)
        x[0] = y[0] = 28.0
        spots = self.images(list(x), list(y))
        total, centres = spots.sum(axis=(1, 2)), np.arange(SIDE) + 0.5
        found_x, found_y = spots.sum(1) @ centres / total, spots.sum(2) @ centres / total
        np.testing.assert_allclose(found_x - found_x[0], x - x[0], atol=0.01)
        np.testing.assert_allclose(found_y - found_y[0], y - y[0], atol=0.01)

    def test_a_shift_by_whole_pixels_shifts_the_image_exactly(self) -> None:
        # A binary fraction, so that adding whole pixels to it is exact.
        spot, shifted = self.images([24.625], [26.25])[0], self.images([28.625], [29.25])[0]
        np.testing.assert_allclose(shifted[3:, 4:], spot[:-3, :-4], rtol=1e-9, atol=1e-12)

    def test_finer_pixels_hold_the_same_light(self) -> None:
        x = y = np.array([28.37])
        one = emitters(self.psf, x, y, np.array([PHOTONS]))
        coarse = self.psf.image(one, PIXEL_NM, (1, SIDE, SIDE))[0]
        fine = self.psf.image(one, PIXEL_NM / 2, (1, 2 * SIDE, 2 * SIDE))[0]
        binned = fine.reshape(SIDE, 2, SIDE, 2).sum(axis=(1, 3))
        np.testing.assert_allclose(binned, coarse, rtol=0, atol=self.sampling * coarse.max())

    def test_light_outside_the_field_is_cut(self) -> None:
        whole = self.images([28.3], [27.8])[0]
        one = emitters(self.psf, np.array([3.3]), np.array([-0.2]), np.array([PHOTONS]))
        cut = self.psf.image(one, PIXEL_NM, (1, 9, 12))[0]
        np.testing.assert_allclose(cut, whole[28:37, 25:37], rtol=1e-6, atol=1e-9)

    def test_nothing_reaches_further_than_the_stated_distance(self) -> None:
        reach_px = self.psf.reach_nm / PIXEL_NM
        left, below = self.images([-reach_px, 20.0], [20.0, SIDE + reach_px])
        assert left.sum() < PHOTONS * self.beyond
        assert below.sum() < PHOTONS * self.beyond

    def test_light_is_in_proportion_to_photons_and_adds_up(self) -> None:
        weak, strong = self.images([28.3], [27.8]), self.images([28.3], [27.8], 3 * PHOTONS)
        np.testing.assert_allclose(strong, 3 * weak, rtol=1e-12)
        x, y = np.array([28.3, 20.2]), np.array([27.8, 31.1])
        both = emitters(self.psf, x, y, np.full(2, PHOTONS))
        together = Localizations(**(both.columns() | {"frame": np.zeros(2, np.int64)}))
        sum_of_both = self.psf.image(both, PIXEL_NM, (2, SIDE, SIDE)).sum(axis=0)
        found = self.psf.image(together, PIXEL_NM, (1, SIDE, SIDE))[0]
        np.testing.assert_allclose(found, sum_of_both, rtol=1e-9, atol=1e-12)

    def test_no_emitters_give_no_light(self) -> None:
        assert not self.images([], []).any()
        assert self.psf.sample(0, np.random.default_rng(0))["sigma_nm"].shape == (0,)


class TestGaussianPsf(PsfContract):
    psf = GaussianPsf(sigma_nm=115.0, relative_spread=0.0)


class TestNarrowerSpreadGaussianPsf(PsfContract):
    psf = GaussianPsf(sigma_nm=109.0, relative_spread=0.03)


class TestGaussianPsfWithHalo(PsfContract):
    psf = GaussianPsf(sigma_nm=90.0, relative_spread=0.02, halo_share=0.4, halo_width=2.2)
    beyond = 0.01


class TestPupilPsf(PsfContract):
    psf = PupilPsf()


class TestAberratedPupilPsf(PsfContract):
    psf = PupilPsf(
        astigmatism_waves=0.06,
        coma_x_waves=0.05,
        coma_y_waves=-0.03,
        spherical_waves=0.04,
        halo_share=0.2,
        blur_nm=30.0,
        z_spread_nm=25.0,
    )


class TestMeasuredPsf(PsfContract):
    psf = MeasuredPsf(path="psf.tif").with_image(
        SampledPsf(PupilPsf(coma_x_waves=0.05, blur_nm=40.0).sampled().planes[:, 3:, :-2], 46.0)
    )
