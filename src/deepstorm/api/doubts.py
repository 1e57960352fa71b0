"""What makes scores doubtful, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterator

from deepstorm.evaluation.coverage import better_frame_shift, shares_beyond
from deepstorm.evaluation.images import RegisteredNmse
from deepstorm.evaluation.resolution import FourierRingCorrelation
from deepstorm.structures import Localizations

_ADVICE = "if the result is of a part of the movie, name it by `frames` and `region`"
_BEYOND = {
    "frames": "before the first or after the last frame of",
    "field": "outside the field that is covered by",
}
# So much of the truth may lie outside of an image.
_MOST_OUTSIDE = 0.1
# A resolution of this share of the field is read from rings of a few frequencies.
_COARSE_SHARE = 1 / 6
# What to say of a table whose frames have to be moved by so many.
_FRAMES_FROM = {
    1: "give `first_frame=0` if those of the result count from 0, or `truth_first_frame=1` if "
    "those of the truth count from 1",
    -1: "give `first_frame=1` if those of the result count from 1, or `truth_first_frame=0` if "
    "those of the truth count from 0",
}


def notes_on_tables(found: Localizations, truth: Localizations, radius_nm: float) -> Iterator[str]:
    """Yield why a table and its truth may not belong together.

    Parameters
    ----------
    found, truth : Localizations
    radius_nm : float
        Largest distance of a matched pair.
    """
    better = better_frame_shift(found, truth, radius_nm, _FRAMES_FROM)
    if better is not None:
        shift, there, here = better
        yield (
            f"the frames seem to be one off: {there} localizations match the truth if the result "
            f"is moved by {shift:+d} frame, {here} as it is; {_FRAMES_FROM[shift]}"
        )
    for what, share in shares_beyond(truth, found).items():
        yield (
            f"{100 * share:.0f} % of the true emitters lie {_BEYOND[what]} the localizations; "
            f"{_ADVICE}"
        )
    for what, share in shares_beyond(found, truth).items():
        yield (
            f"{100 * share:.0f} % of the localizations lie {_BEYOND[what]} the true emitters; is "
            "this the whole truth of the same movie?"
        )


def notes_on_images(registered: RegisteredNmse, emitters: int, inside: float) -> Iterator[str]:
    """Yield why an image and its truth may not belong together.

    Parameters
    ----------
    registered : RegisteredNmse
    emitters : int
        True ones.
    inside : float
        How many of them are in the field of the image.
    """
    if registered.at_limit:
        yield (
            f"the best shift ({registered.dx_nm:.3g}, {registered.dy_nm:.3g} nm) is the largest "
            "that was tried: the image may be displaced further, so the registered error is not "
            "that of a registered image; check origin and pixel size"
        )
    if emitters and inside < (1 - _MOST_OUTSIDE) * emitters:
        outside = 100 * (1 - inside / emitters)
        yield f"{outside:.0f} % of the true emitters lie outside the image; {_ADVICE}"


def notes_on_rings(rings: FourierRingCorrelation, field_nm: float) -> Iterator[str]:
    """Yield why there is no resolution, or why it may mean nothing.

    Parameters
    ----------
    rings : FourierRingCorrelation
    field_nm : float
        The shorter side of the images.
    """
    if rings.outcome == "finer than two pixels":
        yield (
            "the Fourier ring correlation stays above 1/7 at all frequencies: the resolution is "
            "finer than two pixels, or the halves share noise (the same frames, faulty pixels)"
        )
    elif rings.outcome == "nothing in common":
        yield (
            "the Fourier ring correlation is below 1/7 at all frequencies: the halves have no "
            "detail in common; are they of the same field?"
        )
    elif rings.resolution_nm is not None and rings.resolution_nm > _COARSE_SHARE * field_nm:
        yield (
            f"a resolution of {rings.resolution_nm:.3g} nm in a field of {field_nm:.3g} nm rests "
            "on so few frequencies that chance alone may give it"
        )
