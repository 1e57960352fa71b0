"""Measure accuracy on published and simulated movies, and print it as tables.

python benchmarks/accuracy [--network NAME_OR_FILE ...] [--quick] [--only PART,...] [-o FILE]
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import fields
import lines
from lines import Run

from deepstorm.models.checkpoint import file_checksum
from deepstorm.models.zoo import find_network
from report import finish, measure_parts, names_of, parser_of

PARTS = {
    "stripes": lines.stripes,
    "line": lines.line_width,
    "uniform": fields.uniform_fields,
    "mismatch": fields.mismatch,
    "subpixel": fields.subpixel,
    "structures": fields.structures,
}


def measure(run: Run, names: list[str]) -> dict[str, Any]:
    """Run parts; unknown networks are refused before any work is done."""
    checksums = {name: file_checksum(find_network(name)) for name in run.networks}
    parts = measure_parts({name: partial(PARTS[name], run) for name in names})
    return {"networks": checksums, "quick": run.quick, "parts": parts}


if __name__ == "__main__":
    parser = parser_of("accuracy", __doc__)
    add = parser.add_argument
    add("--network", nargs="+", default=["native"], metavar="NAME_OR_FILE")
    add("--quick", action="store_true", help="a few seconds a part; do not quote")
    known = {"type": names_of(PARTS), "default": list(PARTS), "help": ", ".join(PARTS)}
    add("--only", metavar="PART,...", **known)
    add("-o", "--output", type=Path, help="JSON, replaced if there; pictures go to its folder")
    chosen = parser.parse_args()
    pictures = chosen.output.absolute().parent if chosen.output is not None else None
    asked = Run(tuple(chosen.network), chosen.quick, pictures)
    finish("accuracy", partial(measure, asked, chosen.only), chosen.output)
