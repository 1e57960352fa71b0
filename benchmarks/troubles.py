"""Spoil simulated movies, reconstruct them, and tell whether what went wrong was told.

Each movie is drawn over the whole range that the bundled network is valid for, reconstructed as it
is, and again with one to three troubles drawn at random (``tests/spoiling.py``). Only emitters that
remain visible count. A failure is a precision below 0.8 of the clean movie's; it is silent if there
is no warning. A false alarm is a warning on a clean movie. With ``-o`` rows are kept next to
the file as they come, and a run that was interrupted goes on from them.
"""

import json
import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np

from deepstorm.models.zoo import open_network
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.training.examples.draws import coverage, log_uniform
from deepstorm.training.examples.simulated import SimulatedExamples
from report import Table, measure_parts, row, run
from spoiling import TROUBLES, spoiled
from takes import measured

SIDE_PX, FEWEST_FRAMES, MOST_FRAMES = 48, 60, 100
# What a movie has at least, and how many emitters share the area of a spot at most.
LEAST_EMITTERS, MOST_PER_SPOT = 30, 2.0
# Of the clean movie's precision, recall and image count.
FAILED, LOST, MISCOUNTED = 0.8, 0.5, 0.15
HOW_MANY = {1: 0.5, 2: 0.3, 3: 0.2}
HEADINGS = (
    "trouble | movies | failed | told | silent | lost, silent | miscounted, silent"
    " | precision | image / true | warnings"
)
OPTIONS = {
    "--movies": (300, "in all"),
    "--seed": (1, "of the movies"),
    "--processes": (2, "at a time"),
    "--only": (list(TROUBLES), "troubles"),
}
Row = dict[str, Any]


def drawn_settings(rng: np.random.Generator) -> SimulationSettings:
    """Draw a movie that the bundled network was trained for, and nothing worth a warning."""
    ranges: dict[str, Any] = {"unevenness": (0.0, 0.1), "halo_share": (0.0, 0.0)}
    ranges |= open_network("native").card.validity
    frames = int(rng.integers(FEWEST_FRAMES, MOST_FRAMES + 1))
    examples = SimulatedExamples(patch_px=SIDE_PX, frames_per_scene=frames, **ranges)
    while True:
        drawn = examples.draw_settings(rng)
        if drawn.camera.kind == "scmos":
            drawn = drawn.model_copy(update={"camera": drawn_camera(rng)})
        local_per_um2 = drawn.density_per_um2 / coverage(drawn, rng)
        per_spot = 4 * np.pi * (drawn.psf.sigma_nm / 1000) ** 2 * local_per_um2
        area_um2 = (SIDE_PX * drawn.pixel_size_nm / 1000) ** 2
        emitters = drawn.density_per_um2 * area_um2 * frames
        if per_spot < MOST_PER_SPOT and emitters > 2 * LEAST_EMITTERS:
            return drawn


def drawn_camera(rng: np.random.Generator) -> ScmosCamera:
    """Draw an sCMOS camera, or a CCD, whose pixels are alike and noisier."""
    told = {"gain_adu_per_e": log_uniform((0.5, 4), rng), "read_noise_e": rng.uniform(0.8, 2.5)}
    if rng.random() < 0.4:
        told |= {"gain_spread": 0, "read_noise_spread": 0, "offset_spread_adu": 0}
        told["read_noise_e"] = rng.uniform(4, 8)
    return ScmosCamera(maps_seed=int(rng.integers(2**31)), **told)


def drawn_troubles(number: int, only: list[str], rng: np.random.Generator) -> list[str]:
    """Draw one to three troubles; the first are taken in turn, for each to be met."""
    first = only[number % len(only)]
    others = [name for name in only if name != first]
    more = min(int(rng.choice(list(HOW_MANY), p=list(HOW_MANY.values()))) - 1, len(others))
    return [first, *map(str, rng.choice(others, more, replace=False))] if more else [first]


def compared(seed: int, only: list[str], number: int) -> Row:
    """Draw a movie and its troubles; return what becomes of it without and with them."""
    began, rng = time.perf_counter(), np.random.default_rng([seed, number])
    while True:
        settings, movie_seed = drawn_settings(rng), int(rng.integers(2**31))
        clean = spoiled(settings, movie_seed, (), rng)
        if len(clean.truth) >= LEAST_EMITTERS:
            break
    names = drawn_troubles(number, only, rng)
    drawn = settings.model_dump(include={"density_per_um2", "frames", "brightness", "background"})
    drawn |= {"scene": settings.scene.kind, "camera": settings.camera.kind}
    drawn["sigma_px"] = settings.psf.sigma_nm / settings.pixel_size_nm
    found = {"number": number, "troubles": names, "settings": drawn, "clean": measured(clean)}
    found["spoiled"] = measured(spoiled(settings, movie_seed, names, rng))
    return found | verdict(found) | {"seconds": time.perf_counter() - began}


def verdict(found: Row) -> Row:
    """Say what is wrong with the result of a spoiled movie, and whether that was told."""
    clean, bad = found["clean"], found["spoiled"]
    told, alarm = bool(bad["codes"]), bool(clean["codes"])
    if "refused" in bad or "refused" in clean:
        return {"failed": True, "told": told, "lost": False, "miscounted": False, "alarm": alarm}
    counted = clean["image"] / clean["true"][1]
    least, most = (counted * true for true in bad["true"])
    before, after = (
        1.0 if each["precision"] is None else each["precision"] for each in (clean, bad)
    )
    return {
        "failed": after < FAILED * before,
        "lost": bool(bad["true"][0]) and (bad["recall"] or 0) < LOST * (clean["recall"] or 0),
        "miscounted": not (1 - MISCOUNTED) * least <= bad["image"] <= (1 + MISCOUNTED) * most,
        "told": told,
        "alarm": alarm,
        "precision": after / max(before, 1e-9),
        "image / true": 2 * bad["image"] / max(least + most, 1e-9),
    }


def measured_rows(seed: int, only: list[str], numbers: list[int], processes: int) -> Iterator[Row]:
    """Yield the rows of movies as they are done, in several processes."""
    work = partial(compared, seed, only)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(work, number) for number in numbers]):
            yield done.result()


def gathered(
    seed: int, only: list[str], movies: int, processes: int, kept: Path | None
) -> list[Row]:
    """Return the rows of all movies: those that were kept, and the others, kept as they come."""
    rows: list[Row] = []
    if kept is not None and kept.is_file():
        rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
        rows = [found for found in rows if found["number"] < movies]
    there = {found["number"] for found in rows}
    for found in measured_rows(seed, only, [n for n in range(movies) if n not in there], processes):
        rows.append(found)
        said = "FAILED" if found["failed"] else "miscounted" if found["miscounted"] else "ok"
        said += f", told: {' '.join(found['spoiled']['codes'])}" if found["told"] else ""
        print(f"{len(rows)}/{movies} {'+'.join(found['troubles'])}: {said}", file=sys.stderr)
        if kept is not None:
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
    return sorted(rows, key=lambda found: found["number"])


def summary(name: str, rows: list[Row]) -> Row:
    """Return what became of some movies, as counts; precision and image as medians."""
    failed, silent = ([r for r in rows if r["failed"]], [r for r in rows if not r["told"]])
    codes = Counter(code for found in rows for code in found["spoiled"]["codes"])
    ratios = [[r[k] for r in rows if k in r] for k in ("precision", "image / true")]
    return row(
        HEADINGS,
        name,
        len(rows),
        len(failed),
        sum(r["told"] for r in failed),
        *(sum(r[what] for r in silent) for what in ("failed", "lost", "miscounted")),
        *(float(np.median(each)) if each else None for each in ratios),
        ", ".join(f"{code} {n}" for code, n in codes.most_common(3)),
    )


def tables(rows: list[Row]) -> list[Table]:
    """Return what became of the movies by trouble, by number of troubles, and in all."""
    names = [name for name in TROUBLES if any(name in r["troubles"] for r in rows)]
    lines = [summary(name, [r for r in rows if name in r["troubles"]]) for name in names]
    lines += [
        summary(f"{n} at once", [r for r in rows if len(r["troubles"]) == n]) for n in HOW_MANY
    ]
    lines.append(summary("all", rows))
    failed = [r for r in rows if r["failed"]]
    told, alarms = sum(r["told"] for r in failed), [r for r in rows if r["alarm"]]
    codes = Counter(code for r in alarms for code in r["clean"]["codes"])
    note = (
        f"Failures told: {told} of {len(failed)} ({100 * told / max(len(failed), 1):.1f} %; at "
        f"least 98). False alarms on clean movies: {len(alarms)} of {len(rows)} "
        f"({100 * len(alarms) / max(len(rows), 1):.1f} %; at most 2): {dict(codes)}."
    )
    return [Table("Troubles", note, lines, {"movies": rows})]


def kept_rows(chosen: Namespace) -> Path | None:
    """Return the file in which rows are kept as they come, if one was named for the figures."""
    return chosen.output and chosen.output.with_suffix(f".{chosen.seed}.rows")


def measure(chosen: Namespace) -> Row:
    """Print the tables."""
    told = chosen.seed, chosen.only, chosen.movies, chosen.processes, kept_rows(chosen)
    return measure_parts({"troubles": lambda: tables(gathered(*told))})


if __name__ == "__main__":
    if (kept := kept_rows(run(__doc__, measure, OPTIONS))) is not None:
        kept.unlink(missing_ok=True)
