"""The supplement: movies unlike those that a network was trained on, in density and in light."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from scipy.ndimage import distance_transform_edt

from deepstorm.api.reconstruct import reconstruct
from deepstorm.arrays import Float32Array
from deepstorm.config import Settings
from deepstorm.evaluation.images import nmse_percent
from deepstorm.models.zoo import open_network
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.drawing import pictured
from deepstorm.paper.findings import Finding, Measured, Picture, Row, Table
from deepstorm.paper.movies import (
    MICROTUBULES,
    PIXEL_NM,
    frames_for,
    like_the_papers_movie,
    simulated,
)
from deepstorm.reports.panels import Curve, CurvePanel
from deepstorm.structures import Localizations, histogram_image

# Light farther from every true emitter of the movie than this is false.
FAR_NM = 100.0
MOST_FALSE = 0.05
MOST_MISCOUNT = 0.25


class RobustnessSettings(Settings):
    """Conditions, and emitters in each movie."""

    densities_per_um2: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
    photons: tuple[float, ...] = (250.0, 500.0, 1000.0, 2000.0, 5000.0)
    backgrounds: tuple[float, ...] = (5.0, 20.0, 80.0, 200.0)
    usual_density_per_um2: float = 5.0
    usual_background: float = 19.0
    usual_photons: float = 1450.0
    emitters: int = 10_000
    least_frames: int = 25
    seeds: int = 3


QUICK = RobustnessSettings(
    densities_per_um2=(1.0, 3.0, 5.0, 7.0, 9.0),
    photons=(500.0, 2000.0),
    backgrounds=(20.0, 80.0),
    emitters=1500,
    least_frames=4,
    seeds=1,
)


@dataclass(frozen=True, slots=True)
class Score:
    """What one network made of one movie: error, emitters over true ones, false share."""

    nmse_percent: float
    count_ratio: float
    false_share: float

    @property
    def is_good(self) -> bool:
        """Whether the number of emitters is about right and hardly any light is false."""
        return abs(self.count_ratio - 1) <= MOST_MISCOUNT and self.false_share <= MOST_FALSE


Condition = tuple[float, float, float]
Scores = dict[tuple[str, Condition], list[Score]]


class Robustness:
    """Each network in conditions that it may not have been trained for."""

    name = "robustness"
    title = "Supplement: robustness to density and light"
    sources: tuple[str, ...] = ()

    def settings(self, quick: bool) -> RobustnessSettings:
        """Return the settings of a quick or of a full run."""
        return QUICK if quick else RobustnessSettings()

    def run(self, context: Context) -> Finding:
        """Score every network in every condition."""
        chosen = self.settings(context.quick)
        over_density = [
            (density, chosen.usual_photons, chosen.usual_background)
            for density in chosen.densities_per_um2
        ]
        over_light = [
            (chosen.usual_density_per_um2, photons, background)
            for photons, background in product(chosen.photons, chosen.backgrounds)
        ]
        scores: Scores = {}
        for condition in over_density + over_light:
            context.say("robustness: {:g} /µm², {:g} photons on {:g}".format(*condition))
            for seed in range(chosen.seeds):
                _measure(context, chosen, condition, seed, scores)
        tables = (
            _trained_table(context),
            _density_table(scores, over_density, chosen),
            *_light_tables(scores, chosen),
        )
        picture = _curves(scores, over_density)
        return Finding(tables, (picture,), _figures(scores, over_density, context.ours))


def _measure(
    context: Context, chosen: RobustnessSettings, condition: Condition, seed: int, scores: Scores
) -> None:
    density, photons, background = condition
    frames = frames_for(chosen.emitters, density, chosen.least_frames)
    base = like_the_papers_movie(MICROTUBULES, density, frames, photons)
    level = base.background.model_copy(update={"mean_photons": background})
    counts, truth = simulated(base.model_copy(update={"background": level}), seed)
    for network in context.networks:
        result = reconstruct(counts, pixel_size_nm=PIXEL_NM, network=network, localizations=False)
        score = _scored(result.image, result.pixel_size_nm, truth)
        scores.setdefault((short_name(network), condition), []).append(score)


def _scored(image: Float32Array, pixel_nm: float, truth: Localizations) -> Score:
    height, width = image.shape
    exact = histogram_image(truth, (height, width), pixel_nm)
    total = float(image.sum())
    return Score(
        nmse_percent(image, exact),
        total / len(truth),
        false_share(image, exact, FAR_NM / pixel_nm),
    )


def false_share(image: Float32Array, truth: Float32Array, far_px: float) -> float:
    """Return which part of an image lies farther than this from every true emitter."""
    far = distance_transform_edt(truth == 0) > far_px
    total = float(image.sum())
    return float(image[far].sum()) / total if total > 0 else 0.0


def _mean(scores: list[Score], name: str) -> Measured:
    return Measured.of([float(getattr(score, name)) for score in scores])


def _trained_table(context: Context) -> Table:
    rows: list[Row] = []
    for network in context.networks:
        validity = open_network(network).card.validity
        row: Row = {"network": short_name(network)}
        row.update((name, f"{low:.3g} to {high:.3g}") for name, (low, high) in validity.items())
        rows.append(row)
    return Table("What the networks were trained for", "From their cards.", rows)


def _density_table(
    scores: Scores, conditions: list[Condition], chosen: RobustnessSettings
) -> Table:
    rows: list[Row] = []
    for network in dict.fromkeys(name for name, _ in scores):
        for condition in conditions:
            own = scores[network, condition]
            rows.append(
                {
                    "network": network,
                    "density [/µm²]": condition[0],
                    "NMSE [%]": _mean(own, "nmse_percent").shown(),
                    "expected / true": _mean(own, "count_ratio").shown(),
                    "false share": _mean(own, "false_share").shown(),
                    "holds": "yes" if all(score.is_good for score in own) else "no",
                }
            )
    note = (
        f"Microtubules, {chosen.usual_photons:g} photons on {chosen.usual_background:g}, about "
        f"{chosen.emitters} emitters in each movie; mean and standard deviation of {chosen.seeds} "
        f"seed(s). False share: of the image, farther than {FAR_NM:g} nm from every true emitter. "
        f"Holds: number of emitters within {100 * MOST_MISCOUNT:g} % and false share at most "
        f"{100 * MOST_FALSE:g} %. The paper trains a network for each density and tests it on "
        "others; here one network stands for all, and the paper's was trained near 6 /µm²."
    )
    return Table("Over density", note, rows)


def _light_tables(scores: Scores, chosen: RobustnessSettings) -> list[Table]:
    """Return a matrix of signal and background for each network and figure."""
    tables = []
    names = {"nmse_percent": "NMSE [%]", "false_share": "False share"}
    for network in dict.fromkeys(name for name, _ in scores):
        for name, title in names.items():
            rows = [
                _light_row(scores, network, name, photons, chosen) for photons in chosen.photons
            ]
            note = f"At {chosen.usual_density_per_um2:g} emitters/µm²; as above."
            tables.append(Table(f"{title} over signal and background: {network}", note, rows))
    return tables


def _light_row(
    scores: Scores, network: str, name: str, photons: float, chosen: RobustnessSettings
) -> Row:
    row: Row = {"signal [photons]": photons}
    for background in chosen.backgrounds:
        condition = (chosen.usual_density_per_um2, photons, background)
        row[f"background {background:g}"] = _mean(scores[network, condition], name).shown()
    return row


def _curves(scores: Scores, conditions: list[Condition]) -> Picture:
    names = {
        "nmse_percent": "NMSE [%]",
        "count_ratio": "expected / true emitters",
        "false_share": "false share",
    }
    densities = [condition[0] for condition in conditions]
    panels = [
        CurvePanel(
            title,
            "density [/µm²]",
            title,
            tuple(
                Curve(
                    densities,
                    [_mean(scores[network, c], name).value for c in conditions],
                    network,
                    "-o",
                )
                for network in dict.fromkeys(name for name, _ in scores)
            ),
        )
        for name, title in names.items()
    ]
    return pictured("density", "Each network over all densities.", panels, 3)


def _figures(scores: Scores, conditions: list[Condition], network: str) -> dict[str, Measured]:
    """Return the highest density up to which all hold, and the half width of that range."""
    held: list[float] = []
    for condition in sorted(conditions):
        if not all(score.is_good for score in scores[short_name(network), condition]):
            if held:
                break
            continue
        held.append(condition[0])
    if not held:
        return {"density mismatch": Measured(0.0), "highest density": Measured(0.0)}
    return {
        "density mismatch": Measured((held[-1] - held[0]) / 2),
        "highest density": Measured(held[-1]),
    }
