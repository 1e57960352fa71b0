"""What headers say of the size of a pixel, and whether that is believed.

Programs write a size whether they know one or not. What cannot be a measurement is told apart here,
with the reason, so that nobody is told that a file says nothing when it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deepstorm.io.movies.tiff.first_page import FirstPage

CAMERA_PIXELS_NM = (10.0, 1000.0)
"""Between these lie the pixels of every camera behind a single-molecule microscope."""

IMAGE_PIXELS_NM = (0.1, 10_000.0)
"""Between these lie the pixels of an image of a sample; those of a page for print are larger."""

DEFAULT = "which programs write where no size was set"

_NM_PER_UNIT = {
    "nm": 1.0,
    "nanometer": 1.0,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "um": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "m": 1e9,
    "meter": 1e9,
    "pm": 1e-3,
    "å": 0.1,
}
_NO_UNITS = ("", "pixel", "pixels")
_DEFAULT_NM = 1000.0  # what Micro-Manager writes where no pixel size was ever set
_CENTIMETRE = 3
TIFF_UNITS = {2: ("inch", 25.4e6), _CENTIMETRE: ("cm", 1e7)}
"""Name and length in nm of the units of TIFF's resolution, by their numbers."""


@dataclass(frozen=True, slots=True)
class StatedSize:
    """A pixel size as a header states it.

    Parameters
    ----------
    said : str
        In the words of the header.
    nm : tuple of float, optional
        Along (x, y), if it is a length.
    why_not : str
        Why it is no measurement, if it is not.
    """

    said: str
    nm: tuple[float, float] | None = None
    why_not: str = ""

    @property
    def may_be_measured(self) -> bool:
        """Whether somebody may have measured it."""
        return self.nm is not None and not self.why_not

    def doubt(self, limits_nm: tuple[float, float]) -> str:
        """Say why it is not believed, or nothing where it is.

        It is if it was measured, is square within 1 % and inside the limits.
        """
        if self.nm is None or self.why_not:
            return f"{self.said}, {self.why_not}"
        x, y = self.nm
        if abs(x - y) > 0.01 * max(x, y):
            return f"{self.said}: {x:.4g} nm along x and {y:.4g} nm along y, but pixels are square"
        if not limits_nm[0] <= x <= limits_nm[1]:
            low, high = limits_nm
            return f"{self.said}: {x:.4g} nm, but {low:g} to {high:g} nm are expected"
        return ""


def unit_in_nm(text: str) -> float | None:
    """Return a unit of length in nm, whichever way its micro is written."""
    plain = text.strip().strip('"').replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u")
    return _NM_PER_UNIT.get(plain.lower())


def size_from_tags(
    first: FirstPage, units: Mapping[int, tuple[str, float | None]]
) -> StatedSize | None:
    """Return the pixel size that the resolution tags of TIFF give.

    Parameters
    ----------
    first : FirstPage
    units : mapping
        Name and length in nm of the unit that each number stands for.
    """
    name, unit_nm = units.get(first.resolution_unit, ("", None))
    x, y = first.resolution
    if name.strip().lower() in _NO_UNITS or not (x > 0 and y > 0):
        return None
    each = f"{x:.6g}" if x == y else f"{x:.6g} (x) and {y:.6g} (y)"
    said = f"its resolution is {each} per {name}"
    if unit_nm is None:
        return StatedSize(said, why_not=f"and '{name}' is no length that is known here")
    # One pixel per unit, or per µm if the unit is Micro-Manager's.
    is_default = x == 1 or (first.resolution_unit == _CENTIMETRE and unit_nm / x == _DEFAULT_NM)
    return StatedSize(said, (unit_nm / x, unit_nm / y), DEFAULT if is_default else "")


def size_from_ome(pixels: Mapping[str, str]) -> StatedSize | None:
    """Return the size that the attributes of OME's ``Pixels`` give."""
    given = {
        axis: pixels[f"PhysicalSize{axis}"] for axis in "XY" if f"PhysicalSize{axis}" in pixels
    }
    if "X" not in given:
        return None
    units = {axis: pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in given}
    said = " and ".join(f"PhysicalSize{axis} = {given[axis][:20]} {units[axis]}" for axis in given)
    lengths = {axis: _positive(given[axis]) for axis in given}
    if None in lengths.values():
        return StatedSize(said, why_not="which is no length")
    unknown = [unit for unit in units.values() if unit_in_nm(unit) is None]
    if unknown:
        return StatedSize(said, why_not=f"and '{unknown[0]}' is no length that is known here")
    nm = [(lengths[axis] or 0) * (unit_in_nm(units[axis]) or 0) for axis in given]
    return StatedSize(said, (nm[0], nm[-1]), DEFAULT if 1 in lengths.values() else "")


def size_from_micromanager(said: Mapping[str, object]) -> StatedSize | None:
    """Return the size that Micro-Manager writes beside a page, in µm."""
    for key in ("PixelSizeUm", "PixelSize_um"):
        if key in said:
            um = _positive(str(said[key]))
            words = f"Micro-Manager's {key} is {str(said[key])[:20]}"
            if um is None or 1000 * um == _DEFAULT_NM:
                return StatedSize(words, why_not=DEFAULT)
            return StatedSize(words, (1000 * um, 1000 * um))
    return None


def _positive(text: str) -> float | None:
    """Return the finite number above 0 that a text is, if it is one."""
    try:
        size = float(text)
    except ValueError:
        return None
    return size if math.isfinite(size) and size > 0 else None
