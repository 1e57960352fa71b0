"""A PSF that was measured, see ``deepstorm calibrate --psf``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PrivateAttr

from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.simulation.sampled_psf import ImagedPsf, SampledPsf


class MeasuredPsf(ImagedPsf, Settings):
    """The image of an emitter as it was measured, or computed by another program.

    The image is the light before camera pixels integrate it, in pixels finer than a camera's; the
    emitter lies in its middle, where :meth:`with_image` puts the core. With several
    planes, the one with the highest peak is at z = 0.

    Parameters
    ----------
    path : str
        A TIFF file of 32-bit numbers, shape (y, x) or (z, y, x), with its pixel size. It is read
        by the caller, who puts it in place by :meth:`with_image`.
    z_spread_nm : float
        Standard deviation of a random distance from the plane of focus that each emitter has;
        needs an image with several planes.
    """

    kind: Literal["measured"] = "measured"
    path: str
    z_spread_nm: float = Field(default=0.0, ge=0, le=1000)

    _image: SampledPsf | None = PrivateAttr(default=None)

    def with_image(self, image: SampledPsf) -> MeasuredPsf:
        """Return a copy that can image emitters, the core of the image moved to its middle.

        Raises
        ------
        InputError
            If emitters shall spread along z and the image has a single plane.
        """
        if self.z_spread_nm > 0 and len(image.planes) == 1:
            raise InputError(
                f"the PSF '{self.path}' has a single plane, so that emitters cannot have a "
                f"z_spread_nm of {self.z_spread_nm:g}; measure it from a stack, or set 0"
            )
        filled = self.model_copy()
        filled._image = image.centred()
        return filled

    @property
    def is_read(self) -> bool:
        """Whether the image is in place."""
        return self._image is not None

    @property
    def reach_nm(self) -> float:
        """Half of the image's longer side."""
        return self.sampled().reach_nm

    def check(self, pixel_size_nm: float) -> None:
        """Raise ValueError if the image, once read, covers too many camera pixels."""
        if self._image is not None:
            self._image.check(pixel_size_nm)

    def sampled(self) -> SampledPsf:
        """Return the image.

        Raises
        ------
        InputError
            If it has not been read.
        """
        if self._image is None:
            raise InputError(
                f"the measured PSF '{self.path}' has not been read; simulate through "
                "deepstorm.simulate, or supply its image through with_image"
            )
        return self._image
