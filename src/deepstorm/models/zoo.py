"""The embedded trained networks."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError
from deepstorm.models.card import NetworkCard
from deepstorm.models.trained_network import TrainedNetwork

DEFAULT_NETWORK = "native"
SUFFIX = ".safetensors"


@cache
def embedded_networks() -> dict[str, Path]:
    """Return the networks that came with the package, name to file."""
    folder = Path(str(resources.files("deepstorm") / "weights"))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def embedded_cards() -> dict[str, NetworkCard]:
    """Return the cards of the embedded networks, by name."""
    return {name: TrainedNetwork.open(path).card for name, path in embedded_networks().items()}


def find_network(name_or_path: PathLike = DEFAULT_NETWORK) -> Path:
    """Return the file of an embedded network, or of one's own.

    Raises
    ------
    InputError
        If it is neither the name of an embedded network nor an existing file.
    """
    embedded = embedded_networks().get(str(name_or_path))
    path = embedded if embedded is not None else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(embedded_networks())
        raise InputError(
            f"there is no network '{name_or_path}': neither a file of that name nor one of the "
            f"bundled networks ({names})"
        )
    return path


def open_network(name_or_path: PathLike = DEFAULT_NETWORK) -> TrainedNetwork:
    """Open an embedded network, or one's own; its weights are not read yet.

    Raises
    ------
    InputError
        As :func:`find_network`, and if the file is not one of a network.
    """
    return TrainedNetwork.open(find_network(name_or_path))
