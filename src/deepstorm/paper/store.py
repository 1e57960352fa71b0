"""Where findings are kept, so that a part that is done is not run again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepstorm.errors import InputError
from deepstorm.files import output_set
from deepstorm.paper.findings import Finding, Measured, Picture, Table

Key = dict[str, Any]


class Store:
    """A folder with a JSON file for each part, and its pictures.

    Parameters
    ----------
    folder : Path
        Made where it is missing.

    Raises
    ------
    InputError
        If it is a file or cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"'{folder}' is a file; give a folder for the reproduction")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def write(self, part: str, key: Key, finding: Finding) -> None:
        """Keep a finding: its pictures and its JSON, together."""
        record = {"made_with": key, **asdict(finding)}
        record["pictures"] = [
            {"name": picture.name, "caption": picture.caption} for picture in finding.pictures
        ]
        pictures = {self._picture(part, each.name): each.png for each in finding.pictures}
        with output_set([*pictures, self._record(part)], overwrite=True) as outputs:
            for path, png in pictures.items():
                outputs.staged(path).write_bytes(png)
            text = json.dumps(record, indent=1) + "\n"
            outputs.staged(self._record(part)).write_text(text, encoding="utf-8")

    def read(self, part: str) -> tuple[Key, Finding] | None:
        """Return what a finding was made with, and the finding; ``None`` where it is not whole."""
        try:
            record = json.loads(self._record(part).read_text(encoding="utf-8"))
            pictures = tuple(
                Picture(**entry, png=self._picture(part, entry["name"]).read_bytes())
                for entry in record["pictures"]
            )
            finding = Finding(
                tuple(Table(**table) for table in record["tables"]),
                pictures,
                {name: Measured(**figure) for name, figure in record["figures"].items()},
                record["missing"],
            )
            return record["made_with"], finding
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _record(self, part: str) -> Path:
        return self.folder / f"{part}.json"

    def _picture(self, part: str, name: str) -> Path:
        return self.folder / f"{part}-{name}.png"
