"""A trained network as one safetensors file: weights, and all that inference needs to know."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, JsonValue, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from deepstorm.config import Settings, validated
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.models.deepstorm import DeepStormNetwork, DeepStormNetworkSettings
from deepstorm.models.native import NativeNetwork, NativeNetworkSettings
from deepstorm.models.refinement import RefinementSettings
from deepstorm.models.rendering import PlainRendering, Rendering
from deepstorm.models.scaling import Scaling

HEADER_KEY = "deepstorm"
FORMAT_VERSION = 1
# What safetensors calls the types that networks have.
DTYPES = {torch.float32: "F32", torch.int64: "I64"}

Network = NativeNetwork | DeepStormNetwork
NetworkSettings = Annotated[
    NativeNetworkSettings | DeepStormNetworkSettings, Field(discriminator="kind")
]


def check_channels(scaling: Scaling, network: NetworkSettings) -> None:
    """Refuse a scaling whose frames have other channels than the network takes.

    Raises
    ------
    ValueError
    """
    taken = network.channels if network.kind == "native" else 1
    if scaling.channels != taken:
        way_out = (
            f"set 'channels' of the network to {scaling.channels}"
            if network.kind == "native"
            else "choose another scaling"
        )
        raise ValueError(
            f"the scaling '{scaling.kind}' gives frames of {scaling.channels} channel(s), the "
            f"network takes {taken}; {way_out}"
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
    validity: dict[str, tuple[float, float]] = Field(default_factory=dict)
    training: dict[str, JsonValue] = Field(default_factory=dict)
    scores: dict[str, float] = Field(default_factory=dict)
    package_version: str = ""

    @model_validator(mode="after")
    def _scaling_fits_the_network(self) -> Self:
        check_channels(self.scaling, self.network)
        return self


def save_network(
    path: str | os.PathLike[str], network: Network, card: NetworkCard, *, overwrite: bool = False
) -> None:
    """Write a network and its card, whole or not at all.

    Raises
    ------
    InputError
        If the file may not be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with written_whole(path, overwrite=overwrite) as partial:
        save_file(tensors, partial, metadata={HEADER_KEY: card.model_dump_json()})


def load_network(path: str | os.PathLike[str]) -> tuple[Network, NetworkCard]:
    """Read a network in evaluation mode, and its card.

    Parameters
    ----------
    path : path-like
        A ``.safetensors`` file made by :func:`save_network`; nothing else is read, pickles never.

    Raises
    ------
    InputError
        If the file is missing, of another kind, damaged, or made by a newer version, or its weights
        are not those of the network that its header describes.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"there is no network file '{source}'; check its name and folder")
    try:
        with safe_open(source, framework="pt") as file:
            card = _read_card(file.metadata() or {}, source)
            network = _empty_network(card)
            names = file.keys()
            found = {name: file.get_slice(name) for name in names}
            _check_layout(found, network.state_dict(), source)
            # Copies: the tensors as read are views of the file, and would change with it.
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except SafetensorError:
        raise InputError(
            f"'{source}' is not a complete safetensors file; networks are read from those alone, "
            "because pickled weights (.pt, .pth, .h5) can run code"
        ) from None
    except OSError as error:
        raise InputError(f"the network file '{source}' cannot be read: {error}") from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise InputError(
            f"the network '{source}' holds weights that are not finite numbers; "
            "it is damaged or its training failed, use another one"
        )
    network.load_state_dict(tensors, assign=True)
    return network.eval(), card


def file_checksum(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_card(metadata: dict[str, str], source: Path) -> NetworkCard:
    """Parse the header of a network file."""
    if HEADER_KEY not in metadata:
        raise InputError(f"'{source}' is a safetensors file, but not one of a deepstorm network")
    try:
        values = json.loads(metadata[HEADER_KEY])
    except (ValueError, RecursionError):
        raise InputError(
            f"the header of the network '{source}' is damaged; fetch the file again"
        ) from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"the network '{source}' has format {version}, this version reads up to "
            f"{FORMAT_VERSION}; update deepstorm"
        )
    return validated(NetworkCard, values, f"the header of '{source}'")


def _empty_network(card: NetworkCard) -> Network:
    """Build the architecture without memory for weights."""
    with torch.device("meta"):
        network = card.network.build()
        if card.refinement is not None:
            network.refiner = card.refinement.build()
    return network


def _check_layout(found: dict[str, Any], expected: dict[str, torch.Tensor], source: Path) -> None:
    """Refuse weights whose names, shapes or types are others, before any of them is read."""
    layout = {name: (*part.get_shape(), part.get_dtype()) for name, part in found.items()}
    wanted = {name: (*part.shape, DTYPES[part.dtype]) for name, part in expected.items()}
    if layout != wanted:
        differing = min(name for name, _ in layout.items() ^ wanted.items())
        raise InputError(
            f"the weights in '{source}' do not fit the network its header describes "
            f"(first difference: '{differing}')"
        )
