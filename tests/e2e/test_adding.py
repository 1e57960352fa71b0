"""What docs/architecture.md shows how to add is one file and one line, and works.

Each example goes into a copy of the package as the page says, and is used there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

import deepstorm

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = Path(deepstorm.__file__).parent


class Addition(NamedTuple):
    """A new module, and the line by which the package knows it."""

    module: str
    source: str
    listing: str
    listed_in: str
    line: str


def additions() -> dict[str, Addition]:
    """Return the page's examples by their heading."""
    pattern = (
        r"New file `(.+?)`:\n\n```python\n(.*?)```\n\n"
        r"New line in `(\w+)` of `(.+?)`[^:]*:\n\n```text\n([^\n]+)\n```\n"
    )
    sections = re.split(r"^### (.+)$", PAGE, flags=re.MULTILINE)[1:]
    found = {
        heading: re.search(pattern, text, re.DOTALL)
        for heading, text in zip(sections[::2], sections[1::2], strict=True)
    }
    return {heading: Addition(*match.groups()) for heading, match in found.items() if match}


def copy_with(addition: Addition, folder: Path) -> None:
    """Copy the package, and add one file and one line to it."""
    package = folder / "deepstorm"
    shutil.copytree(PACKAGE, package)
    module, listed_in = package / addition.module, package / addition.listed_in
    assert not module.exists()
    module.write_text(addition.source, encoding="utf-8")
    lines = listed_in.read_text(encoding="utf-8").splitlines()
    opening = re.compile(rf"{addition.listing}\b.* = [({{]$")
    (number,) = (n for n, line in enumerate(lines) if opening.match(line))
    lines.insert(number + 1, addition.line)
    listed_in.write_text("\n".join(lines) + "\n", encoding="utf-8")


USES = {
    "A scene": """
import numpy as np
from deepstorm import SimulationSettings, simulate

def settings(scene):
    sides = {"frames": 50, "height_px": 16, "width_px": 16, "pixel_size_nm": 100.0}
    read = SimulationSettings.model_validate(sides | {"scene": scene})
    assert SimulationSettings.model_validate_json(read.model_dump_json()) == read
    return read

cross = {"kind": "cross", "radius_nm": 10.0}
movie = simulate(settings(cross), seed=1)
assert movie.frames.shape == (50, 16, 16)
x, y = movie.truth.x_nm, movie.truth.y_nm
distance = np.minimum(abs(x - y), abs(x + y - 1600)) / np.sqrt(2)
assert len(x) > 100 and distance.max() <= 10.001
mixture = {"kind": "mixture", "parts": [cross, {"kind": "uniform"}], "weights": [1, 1]}
assert len(simulate(settings(mixture), seed=1).truth) > 100
""",
    "A PSF": """
import numpy as np
from deepstorm import SimulationSettings
from deepstorm.simulation.simulator import simulate_movie

settings = SimulationSettings.model_validate({
    "frames": 20, "height_px": 32, "width_px": 32, "pixel_size_nm": 100.0,
    "psf": {"kind": "elliptic", "sigma_x_nm": 200.0, "sigma_y_nm": 120.0},
    "scene": {"kind": "table", "positions_nm": [[1600.0, 1600.0]]},
    "density_per_um2": 0.5,
})
assert SimulationSettings.model_validate_json(settings.model_dump_json()) == settings
movie = simulate_movie(settings, np.random.default_rng(1))
light = movie.expected_photons(0, 20).sum(axis=0) - 20 * movie.background
np.testing.assert_allclose(light.sum(), movie.emitters.photons.sum(), rtol=1e-5)
from_middle = np.arange(32) + 0.5 - 16
along_x, along_y = light.sum(axis=0) / light.sum(), light.sum(axis=1) / light.sum()
# An integrated pixel adds its own variance.
np.testing.assert_allclose(along_x @ from_middle**2, 2.0**2 + 1 / 12, rtol=1e-3)
np.testing.assert_allclose(along_y @ from_middle**2, 1.2**2 + 1 / 12, rtol=1e-3)
counts = np.concatenate(list(movie.frames()))
assert counts.shape == (20, 32, 32)
""",
    "A format of tables": """
import numpy as np
from deepstorm import Localizations, SimulationSettings, simulate
from deepstorm.io.tables.localizations import FORMATS, read_localizations, write_localizations

assert "micrometres" in FORMATS
table = Localizations(np.array([0, 7]), np.array([0.0, 1234.5]), np.array([50.0, 6e4]))
write_localizations("a.um", table)
write_localizations("a.txt", table, format="micrometres")
for name in ("a.um", "a.txt"):
    again = read_localizations(name)
    assert again.frame.tolist() == [0, 7]
    np.testing.assert_allclose([again.x_nm, again.y_nm], [table.x_nm, table.y_nm])
settings = SimulationSettings(frames=2, height_px=16, width_px=16)
truth = simulate(settings, seed=1, movie="m.tif", truth="m.um").truth
np.testing.assert_allclose(read_localizations("m.um").x_nm, truth.x_nm, atol=1e-3)
write_localizations("a.csv", table)
assert len(read_localizations("a.csv")) == 2
""",
    "A format of movies": """
import pickle, struct
from pathlib import Path
import numpy as np
from deepstorm import SimulationSettings, calibrate, simulate
from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie

frames = simulate(SimulationSettings(frames=40, height_px=24, width_px=16), seed=1).frames
whole = struct.pack("<4sIII", b"COUN", *frames.shape) + frames.astype("<u2").tobytes()
Path("m.counts").write_bytes(whole)
with open_movie("m.counts") as movie, pickle.loads(pickle.dumps(movie)) as again:
    assert movie.shape == again.shape == (40, 24, 16)
    np.testing.assert_array_equal(movie.read(0, 40), frames)
    np.testing.assert_array_equal(again.read(3, 5), frames[3:5])
assert calibrate("m.counts").sigma_px == calibrate(frames).sigma_px
Path("cut.counts").write_bytes(whole[:-1])
try:
    open_movie("cut.counts")
except InputError as error:
    assert "truncated" in str(error)
else:
    raise AssertionError("a movie that is cut off was opened")
""",
    "An engine": """
import numpy as np
from deepstorm import SimulationSettings, reconstruct, simulate
from deepstorm.errors import InputError
from deepstorm.reconstruction.engines.choice import installed_engines

assert "frugal" in installed_engines()
movie = simulate(SimulationSettings(frames=4, height_px=16, width_px=16), seed=1).frames
wanted, found = (
    reconstruct(movie, pixel_size_nm=100.0, device="cpu", engine=name)
    for name in ("torch", "frugal")
)
assert found.record["engine"] == "frugal-cpu"
largest = wanted.image.max()
assert largest > 0
np.testing.assert_allclose(found.image, wanted.image, atol=1e-4 * largest)
np.testing.assert_allclose(found.posterior, wanted.posterior, atol=1e-4 * wanted.posterior.max())
assert abs(len(found.localizations) - len(wanted.localizations)) <= 1
try:
    reconstruct(movie, pixel_size_nm=100.0, engine="abacus")
except InputError as error:
    assert "frugal" in str(error)
""",
    "A command": """
import contextlib, io, json, sys
import numpy as np
from deepstorm import Localizations
from deepstorm.cli.app import main
from deepstorm.io.tables.localizations import write_localizations

def said(*words):
    sys.argv = ["deepstorm", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    return out.getvalue()

places = np.array([1.0, 2.0, 3.0])
write_localizations("t.csv", Localizations(np.array([0, 0, 4]), places, places))
assert json.loads(said("count", "t.csv", "--json")) == {"localizations": 3, "frames": 2}
assert "count" in said("--help") and "Count the localizations" in said("count", "--help")
""",
}


def run_with(package_in: Path, script: str, folder: Path) -> None:
    """Run a script with the package that is in a folder."""
    where = f"import deepstorm; assert deepstorm.__file__.startswith({str(package_in)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", where + script],
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(package_in), "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_each_example_is_used_below() -> None:
    assert additions().keys() == USES.keys()


@pytest.mark.parametrize("heading", USES)
def test_one_file_and_one_line_are_enough(heading: str, tmp_path: Path) -> None:
    package_in, folder = tmp_path / "copy", tmp_path / "work"
    folder.mkdir()
    copy_with(additions()[heading], package_in)
    run_with(package_in, USES[heading], folder)


def test_modules_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"\b[a-z_]+(?:/[a-z_]+)+(?:\.py|/)(?!\w)", PAGE))
    named -= {addition.module for addition in additions().values()}
    assert len(named) > 30
    places = (PACKAGE, ROOT, ROOT / "src")
    assert [name for name in sorted(named) if not any((at / name).exists() for at in places)] == []


def test_the_page_shows_the_contract() -> None:
    (shown,) = re.findall(r"^## Who may import whom\n\n```\n(.*?)```", PAGE, re.DOTALL | re.M)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert [re.split(r" \| |, ", line) for line in shown.splitlines()] == [
        re.split(r" [|:] ", layer) for layer in layers if layer != "__main__"
    ]
