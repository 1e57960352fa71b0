"""Run the speed benchmark: ``python benchmarks/speed``; benchmark.py says with what options."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Tables are those of the accuracy benchmark.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "accuracy"))
    from benchmark import main

    main()
