"""What the parts of the reproduction are given, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deepstorm.config import Settings
from deepstorm.paper.findings import Finding

OURS, PAPERS = "native", "deepstorm-paper"


def _silent(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Context:
    """What was asked for.

    Parameters
    ----------
    quick : bool
        Settings for a few minutes, to see that everything works, rather than to be quoted.
    data : Path, optional
        Folder of published movies; what is missing there is simulated.
    networks : tuple of str
        Names of embedded networks, or network files: first ours, then the paper's.
    original : Path, optional
        A Python interpreter that has TensorFlow, for the network as its authors ran it.
    say : callable
        Told in a few words what is being done.
    """

    quick: bool = False
    data: Path | None = None
    networks: tuple[str, ...] = (OURS, PAPERS)
    original: Path | None = None
    say: Callable[[str], None] = _silent

    @property
    def ours(self) -> str:
        """The network whose figures are compared with the paper's."""
        return self.networks[0]

    def file(self, *names: str) -> Path | None:
        """Return a file of the data folder, or ``None`` where it is not there."""
        path = self.data.joinpath(*names) if self.data is not None else None
        return path if path is not None and path.is_file() else None


def short_name(network: str) -> str:
    """Return a network's name for a table."""
    return Path(network).stem if network.endswith(".safetensors") else network


class PaperPart(Protocol):
    """One figure or table of the paper."""

    @property
    def name(self) -> str:
        """Word on the command line."""

    @property
    def title(self) -> str:
        """What the paper shows there."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Files of the data folder that change the result."""

    def settings(self, quick: bool) -> Settings:
        """Return the settings of a quick or of a full run."""

    def run(self, context: Context) -> Finding:
        """Measure."""
