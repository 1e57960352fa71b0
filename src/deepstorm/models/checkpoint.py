"""A trained network as one safetensors file: weights, and all that inference needs to know."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from deepstorm.config import Settings, validated
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.models.deepstorm import DeepStormNetwork, DeepStormNetworkSettings
from deepstorm.models.native import NativeNetwork, NativeNetworkSettings
from deepstorm.models.scaling import Scaling

HEADER_KEY = "deepstorm"
FORMAT_VERSION = 1

Network = NativeNetwork | DeepStormNetwork
NetworkSettings = Annotated[
    NativeNetworkSettings | DeepStormNetworkSettings, Field(discriminator="kind")
]


class NetworkCard(Settings):
    """What is known of a trained network besides its weights.

    Parameters
    ----------
    name : str
    network : NetworkSettings
        Its architecture.
    scaling : Scaling
        How frames are scaled for it.
    validity : dict
        Ranges of the conditions that it was trained for, by name.
    training : dict
        Record of the training: settings, steps, losses.
    package_version : str
        Version of the package that trained it.
    """

    format_version: int = Field(FORMAT_VERSION, ge=1)
    name: str = Field(max_length=200)
    network: NetworkSettings
    scaling: Scaling
    validity: dict[str, tuple[float, float]] = {}
    training: dict[str, JsonValue] = {}
    package_version: str = ""


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
        If the file is missing, of another kind, damaged, or made by a newer version.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"the network file '{source}' does not exist")
    try:
        with safe_open(source, framework="pt") as file:
            card = _read_card(file.metadata() or {}, source)
            network = _empty_network(card)
            expected = network.state_dict()
            _check_shapes({key: file.get_slice(key) for key in file.keys()}, expected, source)
            tensors = {key: file.get_tensor(key) for key in expected}
    except SafetensorError:
        raise InputError(
            f"'{source}' is not a safetensors file; networks are read from .safetensors alone, "
            "because pickled weights (.pt, .pth, .h5) can run code"
        ) from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise InputError(f"the network '{source}' holds weights that are not finite numbers")
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
    except ValueError:
        raise InputError(f"the header of the network '{source}' is damaged") from None
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
        return card.network.build()


def _check_shapes(found: dict[str, Any], expected: dict[str, torch.Tensor], source: Path) -> None:
    """Refuse weights that do not fit the architecture, before any of them is read."""
    shapes = {name: tuple(tensor.get_shape()) for name, tensor in found.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    if shapes != wanted:
        differing = sorted(set(shapes.items()) ^ set(wanted.items()))[0][0]
        raise InputError(
            f"the weights in '{source}' do not fit the network its header describes "
            f"(first difference: '{differing}')"
        )
