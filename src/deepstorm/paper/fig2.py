"""Fig. 2: a dense frame, and what the network makes of it."""

from __future__ import annotations

import numpy as np

from deepstorm.api.evaluate import evaluate
from deepstorm.api.reconstruct import reconstruct
from deepstorm.calibration.assumption import KnownValues
from deepstorm.config import Settings
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.drawing import Box, cropped, crosses, pictured
from deepstorm.paper.findings import Finding, Row, Table
from deepstorm.paper.movies import PIXEL_NM, simulated
from deepstorm.reports.panels import ImagePanel
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations, Reconstruction


class Figure2Settings(Settings):
    """How many frames are scored, and which part of the first is shown."""

    frames: int = 100
    density_per_um2: float = 6.0
    shown_nm: Box = (1900.0, 1900.0, 4500.0, 4500.0)
    radius_nm: float = 50.0


def dense_frames(settings: Figure2Settings) -> SimulationSettings:
    """Return the conditions that the paper's network was trained in: uniform, dense, bright."""
    return SimulationSettings.model_validate(
        {
            "frames": settings.frames,
            "density_per_um2": settings.density_per_um2,
            "scene": UniformScene(),
            "brightness": {"mean_photons": 2250.0, "relative_spread": 0.064},
            "psf": {"sigma_nm": 110.0},
            "background": {"mean_photons": 50.0},
        }
    )


class Figure2:
    """A dense frame, and what each network makes of it."""

    name = "fig2"
    title = "Fig. 2: dense emitters in a single frame"
    sources: tuple[str, ...] = ()

    def settings(self, quick: bool) -> Figure2Settings:
        """Return the settings of a quick or of a full run."""
        return Figure2Settings(frames=20) if quick else Figure2Settings()

    def run(self, context: Context) -> Finding:
        """Show the first frame, and score all."""
        chosen = self.settings(context.quick)
        conditions = dense_frames(chosen)
        frames, truth = simulated(conditions, seed=2)
        first = truth.select(truth.frame == 0)
        panels = [
            ImagePanel(
                "low-resolution frame",
                cropped(frames[0], PIXEL_NM, chosen.shown_nm),
                PIXEL_NM,
                colormap="gray",
            )
        ]
        rows: list[Row] = []
        zero_adu, adu_per_photon = conditions.camera.noise_line()
        known = KnownValues(adu_per_photon=adu_per_photon, zero_adu=zero_adu)
        for network in context.networks:
            result = reconstruct(frames, pixel_size_nm=PIXEL_NM, network=network, known=known)
            alone = reconstruct(
                frames, pixel_size_nm=PIXEL_NM, network=network, known=known, frames=slice(0, 1)
            )
            if result.localizations is not None:
                rows.append(_row(short_name(network), result.localizations, truth, chosen))
            panels.append(
                ImagePanel(
                    f"{short_name(network)}, truth as crosses",
                    cropped(_prediction(alone), alone.pixel_size_nm, chosen.shown_nm),
                    alone.pixel_size_nm,
                    curves=(crosses(_places(first, chosen.shown_nm), alone.pixel_size_nm),),
                )
            )
        picture = pictured(
            "frame",
            "A simulated frame and its prediction on a grid of 12.5 nm; crosses: true emitters.",
            panels,
            3,
            width_inch=4.0,
        )
        note = (
            f"{chosen.frames} frames, {chosen.density_per_um2:g} emitters/µm², 2250 photons, 50 "
            f"background photons, EMCCD; matches within {chosen.radius_nm:g} nm. The paper "
            "shows the picture and gives no numbers for it. By chance: against other frames' "
            "truth."
        )
        return Finding((Table("Emitters of dense frames", note, rows),), (picture,))


def _prediction(result: Reconstruction) -> np.typing.NDArray[np.float32]:
    """Return what the network says of the frame, before what is made for sums of many."""
    return result.image if result.posterior is None else result.posterior


def _row(
    network: str, found: Localizations, truth: Localizations, settings: Figure2Settings
) -> Row:
    scores = evaluate(found, truth, radius_nm=settings.radius_nm).figures()
    names = {"jaccard": "Jaccard", "chance_jaccard": "by chance", "precision": "precision"}
    names |= {"recall": "recall", "rmse_nm": "RMSE [nm]"}
    return {"network": network} | {heading: scores[name] for name, heading in names.items()}


def _places(emitters: Localizations, box: Box) -> np.typing.NDArray[np.float64]:
    """Return (x, y) of the emitters in a region, from its corner."""
    places = np.stack([emitters.x_nm, emitters.y_nm], axis=1) - np.array(box[:2])
    size = np.array([box[2] - box[0], box[3] - box[1]])
    inside = ((places >= 0) & (places < size)).all(axis=1)
    return np.asarray(places[inside], np.float64)
