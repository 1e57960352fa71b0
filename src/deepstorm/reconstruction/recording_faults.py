"""What spoils an image whatever the network: faults of recordings, and how to avoid them."""

from __future__ import annotations

import math

from deepstorm.calibration.assumption import NO_NOISE
from deepstorm.calibration.inspection import Conditions
from deepstorm.estimates import figure, said
from deepstorm.structures import Calibration, Caution, Estimate

# Standard deviations by which a figure differs before it is called different.
CERTAIN = 2.0
# A gain that is less certain than this part of it is hardly known.
UNCERTAIN = 0.5
# Cameras whose frames share more of their noise are not known.
SHARED_WITH_NEXT = 0.1
# Spots are called elongated from here on, and if they are so certainly by this much.
ELONGATED, LEAST_ELONGATED, SURELY = 0.2, 0.1, 3.0
# Drift below this part of an image pixel is not to be seen.
LEAST_DRIFT_IMAGE_PX = 0.5
# Few windows of a short movie agree by chance more often than their spread says.
CERTAIN_DRIFT = 4.0
FAULTY_SHARE, FEW_FAULTY = 0.002, 5


def faults(movie: Conditions) -> list[Caution]:
    """Return warnings of what has nothing to do with a network."""
    emitters = (
        _blank(movie)
        if movie.has_no_emitters
        else [*_drift(movie), *_gain(movie.calibration), *_roundness(movie)]
    )
    return [
        *emitters,
        *_dense_start(movie),
        *_noise_free(movie.calibration),
        *_repeated_noise(movie),
        *_taken_off(movie),
        *_faulty_pixels(movie.calibration),
        *_saturation(movie),
    ]


def _dense_start(movie: Conditions) -> list[Caution]:
    start = movie.dense_start
    if start is None:
        return []
    sentence = (
        f"The first {start.frames} frames are far brighter than the later ones: if their light is "
        f"that of emitters, {said(start.per_spot)} of them share the area of one spot at first, "
        "and so many can hardly be told apart. Leave these frames out: "
        f"--frames {start.frames}:."
    )
    return [Caution("dense-start", sentence, start.per_spot)]


def _repeated_noise(movie: Conditions) -> list[Caution]:
    shared = movie.shared_with_next
    if shared is None or not shared.value - CERTAIN * shared.uncertainty > SHARED_WITH_NEXT:
        return []
    sentence = (
        f"The noise of a frame correlates by {said(shared)} with that of the next one, in a "
        "camera's frames by less than 0.02. The movie was averaged, filtered or interpolated over "
        "time, or has frames twice: an emitter is drawn in several frames, and photons and "
        "uncertainties are wrong. Give the movie as the camera wrote it."
    )
    return [Caution("noise-repeated", sentence, shared)]


def _taken_off(movie: Conditions) -> list[Caution]:
    if not movie.is_taken_off:
        return []
    sentence = (
        "The median of each pixel over time is nearer to its neighbours' than the noise lets it "
        "be: it was taken off. Light of emitters that are often on is gone, and what is left is "
        "mistaken for emitters. Give the movie as the camera wrote it; the background is taken "
        "care of."
    )
    return [Caution("background-taken-off", sentence)]


def _gain(calibration: Calibration) -> list[Caution]:
    gain = calibration.adu_per_photon
    if not UNCERTAIN * gain.value < gain.uncertainty < math.inf:
        return []
    sentence = (
        f"The gain is {said(gain)} counts per photon, which is hardly known: there is too little "
        "light, or too little of the field, to measure it. Photons and uncertainties are off by as "
        "much, and noise may be taken for emitters. Give the gain and the offset (--gain, "
        "--offset), or the calibration of a longer movie of this camera (--calibration)."
    )
    return [Caution("gain-uncertain", sentence, gain)]


def _roundness(movie: Conditions) -> list[Caution]:
    if movie.roundness is None:
        return []
    longer = movie.roundness.elongation
    if longer.value < ELONGATED or longer.value - SURELY * longer.uncertainty < LEAST_ELONGATED:
        return []
    return [not_round(longer, movie.roundness.degrees)]


def not_round(longer: Estimate, degrees: float) -> Caution:
    """Return a warning of spots that are longer one way.

    Parameters
    ----------
    longer : Estimate
        Part of their variance that is along one axis alone.
    degrees : float
        Direction of it, from x towards y.
    """
    part = min(longer.value, 0.9)
    sentence = (
        f"The spots are not round: {said(longer)} of their variance is along one axis, "
        f"{degrees:.0f}° from x towards y, about "
        f"{figure(math.sqrt((1 + part) / (1 - part)), 2)} times as long as the other. The network "
        "knows round spots alone, and may take one for several. Remove the cylindrical lens, "
        "correct the astigmatism, or look for vibrations."
    )
    return Caution("spots-not-round", sentence, longer)


def uneven(times_brighter: float) -> list[Caution]:
    """Return a warning of a background so many times as bright as usual in places."""
    if times_brighter <= 1:
        return []
    sentence = (
        f"In places the background is {figure(times_brighter, 2)} times as bright as usual. It was "
        "taken off where it is steady, but its noise stays: there, fainter emitters are missed and "
        "fewer of those found are real. Compare the image with the mean of the frames; illuminate "
        "more evenly, or a thinner layer (TIRF, HILO)."
    )
    return [Caution("background-uneven", sentence, Estimate(times_brighter, 0.0))]


def _noise_free(calibration: Calibration) -> list[Caution]:
    if NO_NOISE not in calibration.notes:
        return []
    sentence = (
        "The frames have hardly more noise than rounding makes, and every camera has more: the "
        "movie was computed, denoised, or scaled down to few counts. Photons, uncertainties and "
        "the number of emitters are guesses. Give the movie as the camera wrote it."
    )
    return [Caution("noise-missing", sentence)]


def _blank(movie: Conditions) -> list[Caution]:
    sentence = (
        f"Nothing that blinks stands out of the noise in the {movie.calibration.frames} frames "
        "that were looked at: what the image shows is chance. Look at the movie; give it raw, and "
        "choose frames and a region with emitters (--frames, --roi)."
    )
    return [Caution("nothing-blinks", sentence)]


def _drift(movie: Conditions) -> list[Caution]:
    drift = movie.calibration.drift_px
    least_px = LEAST_DRIFT_IMAGE_PX / movie.upsampling
    if not drift.value - CERTAIN_DRIFT * drift.uncertainty > least_px:
        return []
    in_nm = movie.calibration.drift_nm
    moved = f"{said(drift)} camera pixels" if in_nm is None else f"{said(in_nm)} nm"
    sentence = (
        f"The sample moved by {moved} between the first frame and the last; a pixel of the image "
        f"measures {1 / movie.upsampling:.3g} camera pixels. The image is smeared by that much. "
        "Correct the table of localizations for drift in ThunderSTORM or Picasso and render that, "
        "or reconstruct fewer frames (--frames)."
    )
    return [Caution("drift", sentence, drift)]


def _faulty_pixels(calibration: Calibration) -> list[Caution]:
    faulty = int((calibration.hot_pixels | calibration.dead_pixels).sum())
    total = calibration.hot_pixels.size
    if faulty < FEW_FAULTY or faulty < FAULTY_SHARE * total:
        return []
    sentence = (
        f"{faulty} of {total} camera pixels ({100 * faulty / total:.2g} %) are hot or dead; fewer "
        "than 2 in 1000 are usual. They were replaced by what is around them, where positions are "
        "now less certain. Switch the camera's own correction on, or leave the place out (--roi)."
    )
    return [Caution("faulty-pixels", sentence, Estimate(faulty, 0.0))]


def _saturation(movie: Conditions) -> list[Caution]:
    if not movie.saturated_share:
        return []
    sentence = (
        f"{100 * movie.saturated_share:.2g} % of the pixels are at the camera's limit of "
        f"{movie.highest_adu:g} counts. The brightest emitters are dimmer and flatter than they "
        "were, so that their positions and photons are wrong. Lower the gain, the exposure or the "
        "laser's power."
    )
    return [Caution("saturated", sentence, Estimate(movie.saturated_share, 0.0))]
