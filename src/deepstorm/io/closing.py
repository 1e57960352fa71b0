"""Movies that close themselves at the end of a ``with`` block."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class ClosesItself:
    """A context manager around :meth:`close`."""

    def close(self) -> None:
        """Let go of the source; by default it belongs to somebody else."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
