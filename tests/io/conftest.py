from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


def _open_files() -> set[str]:
    """Return the regular files that this process holds open, where the system can tell."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        return set()
    targets = {link.readlink() for link in links.iterdir() if link.is_symlink()}
    return {str(target) for target in targets if target.is_file()}


@pytest.fixture(autouse=True)
def no_file_stays_open() -> Iterator[None]:
    """Fail any test of this room after which a file is open that was not open before."""
    before = _open_files()
    yield
    assert _open_files() <= before
