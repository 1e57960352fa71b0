"""Networks and their weights, in and out of safetensors files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.models.building import build
from deepstorm.models.card import HEADER_KEY, NetworkCard, opened, read_card
from deepstorm.models.network import Network
from deepstorm.models.refinement import Refiner

# What safetensors calls the types that networks have.
DTYPES = {torch.float32: "F32", torch.int64: "I64"}


def save_network(
    path: PathLike, network: Network, card: NetworkCard, *, overwrite: bool = False
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


def load_network(path: PathLike) -> tuple[Network, NetworkCard]:
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
    with opened(source, "pt") as file:
        card = read_card(file, source)
        network = _empty_network(card)
        names = file.keys()
        found = {name: file.get_slice(name) for name in names}
        _check_layout(found, network.state_dict(), source)
        # Copies: the tensors as read are views of the file, and would change with it.
        tensors = {name: file.get_tensor(name).clone() for name in names}
    # NumPy is ready at once, PyTorch only after half a second.
    if not all(np.isfinite(tensor.numpy()).all() for tensor in tensors.values()):
        raise InputError(
            f"the network '{source}' holds weights that are not finite numbers; "
            "it is damaged or its training failed, use another one"
        )
    network.load_state_dict(tensors, assign=True)
    return network.eval(), card


def _empty_network(card: NetworkCard) -> Network:
    """Build the architecture without memory for weights."""
    with torch.device("meta"):
        network = build(card.network)
        if card.refinement is not None:
            network.refiner = Refiner(card.refinement)
    return network


def _check_layout(found: dict[str, Any], expected: dict[str, torch.Tensor], source: Path) -> None:
    """Refuse weights whose names, shapes or types are others, before any of them is read."""
    layout = {name: (*part.get_shape(), part.get_dtype()) for name, part in found.items()}
    wanted = {name: (*part.shape, DTYPES[part.dtype]) for name, part in expected.items()}
    if layout != wanted:
        differing = min(name for name, _ in layout.items() ^ wanted.items())
        raise InputError(
            f"the weights in '{source}' do not match the network that its header describes "
            f"(first difference: '{differing}')"
        )
