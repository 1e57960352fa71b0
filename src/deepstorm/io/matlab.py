"""The only matrix of a MATLAB file, read in a process of its own.

SciPy's reader can crash on a damaged file, which no exception tells. The child process may crash;
its caller then says that the file is damaged.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.errors import InputError
from deepstorm.io.checking import MAX_IMAGE_PIXELS

_NUMBERS = frozenset(
    ["double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
)
_REFUSED = 3
_TIMEOUT_S = 120


def read_matrix(file: Path) -> AnyArray:
    """Read the only matrix of numbers in a MATLAB file up to version 7.

    Raises
    ------
    InputError
        If the file is damaged, of another version, or does not hold exactly one matrix.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "matrix.npy"
        # Without -P a numpy.py in the working folder would be run in place of NumPy.
        command = [sys.executable, "-P", "-m", __name__, str(file), str(copy)]
        try:
            done = subprocess.run(  # noqa: S603 - our own module, no shell
                command, capture_output=True, encoding="utf-8", timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"'{file.name}' cannot be read in reasonable time") from None
        if done.returncode == _REFUSED:
            raise InputError(done.stdout.strip())
        if done.returncode != 0:
            raise InputError(f"'{file.name}' cannot be read as a MATLAB file: it is damaged")
        return np.asarray(np.load(copy, allow_pickle=False))


def _load(file: Path) -> AnyArray:
    """Read the matrix in this process."""
    import scipy.io

    try:
        chosen = _only_matrix(scipy.io.whosmat(file), file.name)
        return np.asarray(scipy.io.loadmat(file, variable_names=[chosen])[chosen])
    except InputError:
        raise
    except NotImplementedError as error:
        raise InputError(
            f"'{file.name}' is a MATLAB 7.3 file; save it with the option -v7 in MATLAB"
        ) from error
    except Exception as error:
        raise InputError(f"'{file.name}' cannot be read as a MATLAB file: {error}") from error


def _only_matrix(contents: Sequence[tuple[str, tuple[int, ...], str]], name: str) -> str:
    """Return the name of the only matrix among the variables."""
    matrices = [
        variable for variable, shape, kind in contents if kind in _NUMBERS and _is_matrix(shape)
    ]
    if len(matrices) != 1:
        found = ", ".join(f"{variable} {shape}" for variable, shape, _ in contents) or "nothing"
        raise InputError(
            f"'{name}' holds {len(matrices)} matrices of numbers where one is expected; it holds "
            f"{found}"
        )
    return matrices[0]


def _is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether a variable can be an image; one row or column is a number or a list of them."""
    return len(shape) == 2 and min(shape) > 1 and math.prod(shape) <= MAX_IMAGE_PIXELS


def _main(source: str, copy: str) -> int:
    """Copy the matrix to a NumPy file; this is what the child process does."""
    try:
        np.save(copy, _load(Path(source)), allow_pickle=False)
    except InputError as error:
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
        sys.stdout.write(str(error))
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
