from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

for folder in ("", "speed"):  # as in `python benchmarks/speed`
    sys.path.append(str(BENCHMARKS / folder))
