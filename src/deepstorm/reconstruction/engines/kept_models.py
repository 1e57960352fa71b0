"""Networks as a runtime has converted them, kept between runs in the user's cache folder.

Converting takes seconds and PyTorch, reading what was converted a few hundredths of a second. What
is kept names the network file by its checksum, the versions of this package and of the runtime, and
the code that says what networks compute; a change of any of them makes another name. Files are
written whole and carry a checksum: a damaged one counts as absent and is written anew. Nothing that
goes wrong here stops a reconstruction. When there is too much, what was not used for longest goes.

The environment variable ``DEEPSTORM_CACHE=off`` switches it off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load, save

from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.models.trained_network import TrainedNetwork

if TYPE_CHECKING:
    from deepstorm.models.network import Network

SWITCH = "DEEPSTORM_CACHE"
SUFFIX = ".models"
MOST_BYTES = 256 * 2**20
DIGEST_BYTES = hashlib.sha256().digest_size
# Whose code decides what networks compute.
PACKAGE = Path(__file__).parents[2]
DECISIVE = ("models/*.py", "reconstruction/emitters/peaks.py", "reconstruction/engines/*.py")


class KeptModels:
    """A folder of converted networks.

    Parameters
    ----------
    folder : Path, optional
        Made when something is written; where it is absent, nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls) -> KeptModels:
        """Return those of the user, where the platform keeps caches."""
        return cls(None if os.environ.get(SWITCH, "").lower() == "off" else _user_cache())

    def read(self, key: str) -> dict[str, bytes] | None:
        """Return the files of a network by name, or nothing if they are absent or damaged."""
        if self._folder is None:
            return None
        path = self._folder / (key + SUFFIX)
        try:
            kept = path.read_bytes()
        except OSError:
            return None
        digest, content = kept[:DIGEST_BYTES], kept[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return {name: part.tobytes() for name, part in load(content).items()}

    def write(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep the files of a network; where that is not possible, do nothing."""
        if self._folder is None:
            return
        content = save({name: np.frombuffer(part, np.uint8) for name, part in files.items()})
        with contextlib.suppress(OSError, InputError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with written_whole(self._folder / (key + SUFFIX), overwrite=True) as partial:
                partial.write_bytes(hashlib.sha256(content).digest() + content)
            self._prune()

    def _prune(self) -> None:
        """Remove what was not used for longest, until the rest is small enough."""
        if self._folder is None:
            return
        status = {path: path.stat() for path in self._folder.glob("*" + SUFFIX)}
        total = 0
        for path in sorted(status, key=lambda each: status[each].st_mtime, reverse=True):
            total += status[path].st_size
            if total > MOST_BYTES:
                path.unlink(missing_ok=True)


def converted(
    network: TrainedNetwork,
    runtime: str,
    convert: Callable[[Network], dict[str, bytes]],
    *decisive: str,
) -> dict[str, bytes]:
    """Return what a runtime makes of a network: kept, or else made now and kept.

    Parameters
    ----------
    network : TrainedNetwork
        Of a network in memory nothing is kept.
    runtime : str
        Distribution that converts it, whose version counts.
    convert : callable
        Makes the files of a network, by name.
    decisive : str
        What else decides the result.
    """
    if network.path is None:
        return convert(network.load())
    versions = version("deepstorm"), version(runtime), _code_checksum()
    parts = (network.checksum, *versions, *decisive)
    key = f"{runtime}-{hashlib.sha256(repr(parts).encode()).hexdigest()}"
    kept = KeptModels.of_user()
    files = kept.read(key)
    if files is None:
        files = convert(network.load())
        kept.write(key, files)
    return files


def _code_checksum() -> str:
    """Return the checksum of the code that decides what networks compute."""
    digest = hashlib.sha256()
    for pattern in DECISIVE:
        for path in sorted(PACKAGE.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _user_cache() -> Path | None:
    """Return the folder for caches of this package, or nothing if the user has no home."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) / "deepstorm" / "Cache" if local else None
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "deepstorm"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "deepstorm"
