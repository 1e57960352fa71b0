"""Times as people write them."""

from __future__ import annotations

import re

from deepstorm.errors import InputError

_PATTERN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS_S = (86_400, 3600, 60, 1)


def duration_s(text: str) -> float:
    """Return the seconds of a time such as ``30m``, ``1h30m``, ``90s`` or ``1d``.

    Raises
    ------
    InputError
        If it is none, or no time at all.
    """
    found = _PATTERN.fullmatch(text.strip().lower().replace(" ", ""))
    parts = found.groups(default="0") if found else ("0",) * len(_UNITS_S)
    seconds = sum(int(part) * unit for part, unit in zip(parts, _UNITS_S, strict=True))
    if seconds == 0:
        raise InputError(
            f"'{text}' is not a time; write hours, minutes and seconds such as 1h30m, 30m or 90s"
        )
    return float(seconds)
