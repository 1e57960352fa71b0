"""All that decides the numbers of a reconstruction, as one value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

from deepstorm.models.devices import DeviceName
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines.choice import EngineName
from deepstorm.reconstruction.fitting import FittedMovie
from deepstorm.reconstruction.windows import Windows


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """All that decides the numbers of a reconstruction, besides the frames themselves.

    It does not know how many these are: a movie may still be growing. It can be pickled where its
    network comes from a file, and so be sent to where the work is done.

    Parameters
    ----------
    network : TrainedNetwork
    fitted : FittedMovie
        Calibration, faulty pixels and scaling, which hold for all frames.
    field : (int, int)
        Camera pixels (y, x).
    pixel_size_nm : float
        Size of a camera pixel.
    upsampling : int
        Super-resolution pixels of the image per camera pixel.
    localize : bool
        Whether localizations are sought.
    windows : Windows, optional
        Of which frames images are wanted, besides that of the whole movie.
    device, engine : str
        What runs the network, as it was asked for.
    """

    network: TrainedNetwork
    fitted: FittedMovie
    field: tuple[int, int]
    pixel_size_nm: float
    upsampling: int
    localize: bool = False
    windows: Windows | None = None
    device: DeviceName = "auto"
    engine: EngineName = "auto"

    @property
    def checksum(self) -> str:
        """SHA-256 of all of it, in hexadecimal; that of the network stands for its weights."""
        total = hashlib.sha256()
        for entry in fields(self):
            value = getattr(self, entry.name)
            _feed(total, value.checksum if entry.name == "network" else value)
        return total.hexdigest()


def _feed(total: Any, value: Any) -> None:
    """Add a value to a checksum, with its type and the names of its parts."""
    total.update(type(value).__name__.encode())
    if isinstance(value, np.ndarray):
        total.update(f"{value.dtype.str}{value.shape}".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, BaseModel):
        total.update(value.model_dump_json().encode())
    elif is_dataclass(value):
        for entry in fields(value):
            total.update(entry.name.encode())
            _feed(total, getattr(value, entry.name))
    elif isinstance(value, Mapping):
        _feed(total, sorted(value.items()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            _feed(total, part)
    else:
        total.update(repr(value).encode())
