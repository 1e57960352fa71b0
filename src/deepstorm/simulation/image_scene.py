"""Scenes with the structures of a super-resolution image."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from deepstorm.arrays import Float64Array, Int64Array
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.simulation.structures import FieldOfView, PixelStructure

# Largest zoom of a random copy, as a logarithm.
MOST_ZOOM = 0.15


class ImageScene(Settings):
    """Emitters where a super-resolution image has them, for instance a reconstruction.

    Parameters
    ----------
    path : str
        The image, with its pixel size. It is read by the caller, who puts it in place by
        :meth:`with_image`.
    turned_deg : float
        Angle by which it is turned, from the x towards the y axis.
    mirrored : bool
        Whether left and right change places, before it is turned.
    zoom : float
        Factor by which it is enlarged.
    centre : (float, float)
        Which place of the image comes to the middle of the field: parts of its width and height.
    """

    kind: Literal["image"] = "image"
    path: str
    turned_deg: float = Field(default=0.0, ge=-360, le=360)
    mirrored: bool = False
    zoom: float = Field(default=1.0, gt=0.01, le=100)
    centre: tuple[float, float] = (0.5, 0.5)

    _image: Float64Array | None = PrivateAttr(default=None)
    _pixel_size_nm: float = PrivateAttr(default=0.0)

    def with_image(self, image: npt.ArrayLike, pixel_size_nm: float) -> ImageScene:
        """Return a copy that can be realised.

        Parameters
        ----------
        image : array_like, shape (y, x)
            Expected emitters per pixel, in any unit; values below 0 count as 0.
        pixel_size_nm : float
            Size of its pixels.

        Raises
        ------
        InputError
            If it is not a plane of finite numbers, or nothing is above 0.
        """
        values = np.asarray(image, np.float64)
        if values.ndim != 2 or not np.isfinite(values).all() or not (values > 0).any():
            raise InputError(
                f"the image '{self.path}' cannot be a scene: its shape is {values.shape}; a plane "
                "of finite numbers was expected, some of them above 0"
            )
        filled = self.model_copy()
        filled._image, filled._pixel_size_nm = values.clip(0), pixel_size_nm
        return filled

    def checksum(self) -> str:
        """Return what tells the image and its size from others, as hexadecimal digits."""
        image = np.ascontiguousarray(self._read())
        told = f"{image.shape} {self._pixel_size_nm}".encode()
        return hashlib.sha256(told + image.tobytes()).hexdigest()

    @property
    def is_read(self) -> bool:
        """Whether the image is in place."""
        return self._image is not None

    def drawn(self, rng: np.random.Generator) -> ImageScene:
        """Return a copy, turned, mirrored and zoomed at random, around one of its emitters."""
        image = self._read()
        chosen = int(rng.choice(image.size, p=image.ravel() / image.sum()))
        row, column = divmod(chosen, image.shape[1])
        return self.model_copy(
            update={
                "turned_deg": rng.uniform(0, 360),
                "mirrored": bool(rng.random() < 0.5),
                "zoom": self.zoom * float(np.exp(rng.uniform(-MOST_ZOOM, MOST_ZOOM))),
                "centre": ((column + 0.5) / image.shape[1], (row + 0.5) / image.shape[0]),
            }
        )

    def _read(self) -> Float64Array:
        if self._image is None:
            raise InputError(
                f"the image '{self.path}' has not been read; simulate through "
                "deepstorm.simulate, or supply it through with_image"
            )
        return self._image

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> PixelStructure:
        """Place the image; nothing about it is random.

        Raises
        ------
        InputError
            If it has not been read, or shows nothing within the field.
        """
        image = self._read()
        row, column = np.nonzero(image)
        centres = self._placed(row, column, image.shape, field)
        inside = field.contains(centres)
        if not inside.any():
            raise InputError(
                f"the image '{self.path}' shows nothing within the field; change the scene's "
                "'centre' or 'zoom'"
            )
        weights = image[row[inside], column[inside]]
        size_nm = self._pixel_size_nm * self.zoom
        return PixelStructure(centres[inside], weights, size_nm, field)

    def _placed(
        self,
        row: Int64Array,
        column: Int64Array,
        shape: tuple[int, ...],
        field: FieldOfView,
    ) -> Float64Array:
        """Return where the middles of pixels come to lie in the field, (x, y) in nm."""
        middle = np.array([self.centre[0] * shape[1], self.centre[1] * shape[0]])
        offset = (np.stack([column, row], axis=1) + 0.5 - middle) * self._pixel_size_nm * self.zoom
        if self.mirrored:
            offset[:, 0] *= -1
        angle = np.deg2rad(self.turned_deg)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        placed: Float64Array = offset @ turn + field.low_nm + field.span_nm / 2
        return placed
