"""What is known of a trained network besides its weights, and how that is kept in its file.

Nothing here needs PyTorch.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, model_validator
from safetensors import SafetensorError, safe_open

from deepstorm.config import Settings, validated
from deepstorm.errors import InputError
from deepstorm.models.architectures import NetworkSettings, RefinementSettings
from deepstorm.models.rendering import PlainRendering, Rendering
from deepstorm.models.scaling import Scaling

HEADER_KEY = "deepstorm"
FORMAT_VERSION = 1
# The densities on a card are stated for camera pixels of this size; networks know pixels alone.
NOMINAL_PIXEL_NM = 100.0


def check_channels(scaling: Scaling, network: NetworkSettings) -> None:
    """Refuse a scaling whose frames have other channels than the network takes.

    Raises
    ------
    ValueError
    """
    if scaling.channels != network.channels:
        way_out = (
            f"set 'channels' of the network to {scaling.channels}"
            if network.kind == "native"
            else "choose another scaling"
        )
        raise ValueError(
            f"the scaling '{scaling.kind}' gives frames of {scaling.channels} channel(s), the "
            f"network takes {network.channels}; {way_out}"
        )


class NetworkCard(Settings):
    """What is known of a trained network besides its weights.

    Parameters
    ----------
    format_version : int
        Version of the file format.
    name : str
    network : NetworkSettings
        Its architecture.
    scaling : Scaling
        How frames are scaled for it.
    rendering : Rendering
        How its expectations become an image.
    refinement : RefinementSettings, optional
        Architecture of the refiner that is kept with it, where there is one.
    activation_ranges : tuple of float
        Largest values that enter the network's convolutions, in the order in which these are
        computed (:func:`~deepstorm.models.quantization.measure_ranges`), by which engines may
        compute in 8 bits; empty where they were not measured.
    validity : dict
        Ranges of the conditions that it was trained for, by name.
    training : dict
        Record of the training: settings, steps, losses.
    scores : dict
        What it reached on known movies, by name with the unit, such as ``fig4_nmse_percent``.
    package_version : str
        Version of the package that trained it.
    """

    format_version: int = Field(default=FORMAT_VERSION, ge=1, le=FORMAT_VERSION)
    name: str = Field(max_length=200)
    network: NetworkSettings
    scaling: Scaling
    rendering: Rendering = PlainRendering()
    refinement: RefinementSettings | None = None
    activation_ranges: tuple[Annotated[float, Field(ge=0)], ...] = ()
    validity: dict[str, tuple[float, float]] = Field(default_factory=dict)
    training: dict[str, JsonValue] = Field(default_factory=dict)
    scores: dict[str, float] = Field(default_factory=dict)
    package_version: str = ""

    @model_validator(mode="after")
    def _scaling_fits_the_network(self) -> Self:
        check_channels(self.scaling, self.network)
        return self


@contextlib.contextmanager
def opened(source: Path, framework: str) -> Iterator[Any]:
    """Open a safetensors file.

    Raises
    ------
    InputError
        If the file is missing, of another kind or damaged, now or while it is read.
    """
    if not source.is_file():
        raise InputError(f"there is no network file '{source}'; check its name and folder")
    try:
        with safe_open(source, framework=framework) as file:
            yield file
    except SafetensorError:
        raise InputError(
            f"'{source}' is not a complete safetensors file; networks are read only from those, "
            "because pickled weights (.pt, .pth, .h5) can run code"
        ) from None
    except OSError as error:
        raise InputError(f"the network file '{source}' cannot be read: {error}") from None


def read_card(file: Any, source: Path) -> NetworkCard:
    """Parse the header of an open network file.

    Raises
    ------
    InputError
        If there is none, it is damaged, or it is that of a newer version.
    """
    metadata = file.metadata() or {}
    if HEADER_KEY not in metadata:
        raise InputError(f"'{source}' is a safetensors file, but not a deepstorm network")
    try:
        values = json.loads(metadata[HEADER_KEY])
    except (ValueError, RecursionError):
        raise InputError(
            f"the header of the network '{source}' is damaged; copy or download the file again"
        ) from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"the network '{source}' has format {version}, but this version reads only up to "
            f"{FORMAT_VERSION}; update deepstorm"
        )
    return validated(NetworkCard, values, f"the header of '{source}'")
