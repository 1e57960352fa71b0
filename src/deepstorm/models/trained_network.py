"""A trained network as one value: its card at once, its weights when they are needed.

Nothing here needs PyTorch before weights are asked for, so that networks can be listed, and run by
another runtime that has kept a form of its own, without it.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError
from deepstorm.files import file_checksum
from deepstorm.models.card import NetworkCard, opened, read_card

if TYPE_CHECKING:
    from deepstorm.models.network import Network


class TrainedNetwork(ABC):
    """A trained network, in a file (:meth:`open`) or in memory (:meth:`of`).

    One in a file can be pickled; where it is unpickled, that very file has to be there.

    Attributes
    ----------
    card : NetworkCard
        What is known of it besides its weights.
    path : Path, optional
        Its file; absent for a network in memory.
    """

    card: NetworkCard
    path: Path | None = None

    @staticmethod
    def open(path: PathLike) -> TrainedNetwork:
        """Return the network in a file, of which no more than the card is read.

        Parameters
        ----------
        path : path-like
            A ``.safetensors`` file made by :func:`~deepstorm.models.checkpoint.save_network`.

        Raises
        ------
        InputError
            If the file is missing, of another kind, damaged, or made by a newer version.
        """
        return _InFile(Path(path))

    @staticmethod
    def of(network: Network, card: NetworkCard) -> TrainedNetwork:
        """Return the value of a network in memory, with its card."""
        return _InMemory(network, card)

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.card.name

    @property
    @abstractmethod
    def checksum(self) -> str:
        """SHA-256 of the file, or of weights and card in memory, in hexadecimal."""

    @abstractmethod
    def load(self) -> Network:
        """Return the network with its weights, in evaluation mode.

        From a file they are read at each call; in memory it is the same network each time.

        Raises
        ------
        InputError
            As :func:`~deepstorm.models.checkpoint.load_network`, and if the file was replaced.
        """

    def with_refiner_of(self, source: TrainedNetwork) -> TrainedNetwork:
        """Return this network with the refiner of the one that it was fine-tuned from.

        A refiner has learnt what the sums of its own network look like. Those of a network that
        began with the same weights are alike, so that it goes on being of use; the card says under
        ``training``, ``refiner_of``, whose it was.

        Parameters
        ----------
        source : TrainedNetwork
            The network that it started from.

        Returns
        -------
        TrainedNetwork
            One in memory; this one itself if it has a refiner, the source has none, or the two
            differ in architecture.

        Raises
        ------
        InputError
            As :meth:`load`.
        """
        own, theirs = self.card, source.card
        can_share = theirs.refinement is not None and own.network == theirs.network
        if own.refinement is not None or not can_share:
            return self
        network = self.load()
        network.refiner = source.load().refiner
        record = own.training | {"refiner_of": source.name}
        changes = {"refinement": theirs.refinement, "training": record}
        return TrainedNetwork.of(network, own.model_copy(update=changes))


class _InFile(TrainedNetwork):
    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        self.card = self._read_card()

    @cached_property
    def checksum(self) -> str:
        if self._read_card() != self.card:
            self._refuse_other()
        return file_checksum(self.path)

    def load(self) -> Network:
        from deepstorm.models.checkpoint import load_network

        expected = self.checksum
        network, _ = load_network(self.path)
        if file_checksum(self.path) != expected:
            self._refuse_other()
        return network

    def _read_card(self) -> NetworkCard:
        with opened(self.path, "numpy") as file:
            return read_card(file, self.path)

    def _refuse_other(self) -> NoReturn:
        raise InputError(
            f"the network file '{self.path}' was replaced while it was in use; start again"
        )

    def __reduce__(self) -> tuple[Callable[..., TrainedNetwork], tuple[str, str]]:
        return _reopened, (str(self.path.absolute()), self.checksum)


class _InMemory(TrainedNetwork):
    def __init__(self, network: Network, card: NetworkCard) -> None:
        self._network = network
        self.card = card

    @property
    def checksum(self) -> str:
        # Taken anew each time: weights in memory may change.
        parts = self._network.weights_checksum(), self.card.model_dump_json()
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def load(self) -> Network:
        return self._network.eval()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"the network '{self.name}' is in memory and cannot be pickled; save it to a file, and "
            "open that"
        )


def _reopened(path: str, checksum: str) -> TrainedNetwork:
    """Open a network's file again, elsewhere or later.

    Raises
    ------
    InputError
        If it is not there, or another one.
    """
    network = TrainedNetwork.open(path)
    if network.checksum != checksum:
        raise InputError(
            f"the network file '{path}' has the SHA-256 {network.checksum}, but {checksum} was "
            "expected: it was replaced; put the earlier file back, or start again"
        )
    return network
