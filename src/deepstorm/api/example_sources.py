"""Where a training's examples come from: its files are opened here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepstorm.api.inputs import selected_movie
from deepstorm.api.measured_psf import with_psf_read
from deepstorm.api.simulate import with_image_read
from deepstorm.arrays import AnyArray, PathLike
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.errors import InputError
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.localization.isolated import Doubt, IsolatedEmitters, isolated
from deepstorm.structures import Localizations
from deepstorm.training.examples.composites import CompositeExamples
from deepstorm.training.examples.protocol import ExampleSource
from deepstorm.training.examples.regions import KnownFrames, RegionExamples
from deepstorm.training.examples.sparse_frames import SparseFrames
from deepstorm.training.network import TrainingSettings

# All frames are held in memory, several times over as numbers of 32 bits.
MOST_PIXELS = 2**27
# A calibration takes no more frames than these.
CALIBRATED_FRAMES = 200
# Of the light that is not too faint and not cut by the border, at least this part has to be of
# emitters that are alone. The paper's sparse frames, 0.25 per µm², have about two thirds.
LEAST_ALONE = 0.2


def example_source(settings: TrainingSettings) -> ExampleSource:
    """Open where a training's examples come from, reading its files where it names some.

    Raises
    ------
    InputError
        If a file cannot be used, frames and table do not match, or there are too few of them.
    """
    examples, upsampling = settings.examples, settings.network.upsampling
    if isinstance(examples, CompositeExamples):
        sparse = None if examples.frames_path is None else _read_sparse(examples)
        return examples.prepare(settings.scaling, upsampling, settings.seed, sparse)
    if isinstance(examples, RegionExamples):
        known = None if examples.frames_path is None else _read_known(examples)
        simulation = examples.simulation
        if known is None:
            simulation = with_image_read(with_psf_read(simulation))
        read = examples.model_copy(update={"simulation": simulation})
        return read.prepare(settings.scaling, upsampling, settings.seed, known)
    return examples.prepare(settings.scaling, upsampling, settings.seed)


def sparse_frames(
    frames: AnyArray,
    pixel_size_nm: float,
    emitters: Localizations | None = None,
    ambiguous: Localizations | None = None,
) -> SparseFrames:
    """Return sparse frames as composites take them, calibrated, and localized where need be.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Camera counts.
    pixel_size_nm : float
        Size of a camera pixel.
    emitters : Localizations, optional
        All emitters that were localized; where absent, emitters that are certainly alone are found
        in the frames, and light that is not certainly theirs is left out.
    ambiguous : Localizations, optional
        Further places of light to leave out.

    Raises
    ------
    InputError
        If the frames are too dense for their emitters to be found, or cannot be used.
    """
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), CALIBRATED_FRAMES)).astype(np.int64)
    calibration = calibrate_frames(frames[chosen], frame_numbers=chosen)
    if emitters is None:
        found = isolated(frames, pixel_size_nm)
        check_not_dense(found)
        emitters = found.emitters
        tables = [found.doubtful] if ambiguous is None else [found.doubtful, ambiguous]
        ambiguous = Localizations.concatenate(tables)
    return SparseFrames(frames, emitters, pixel_size_nm, calibration.instrument, ambiguous)


def check_not_dense(found: IsolatedEmitters) -> None:
    """Refuse frames in which hardly any emitter is alone.

    Raises
    ------
    InputError
    """
    alone = len(found.emitters)
    others = int((~np.isin(found.doubt, [Doubt.FAINT, Doubt.BORDER])).sum())
    if alone + others > 0 and alone < LEAST_ALONE * (alone + others):
        raise InputError(
            f"the frames are not sparse: of the {alone + others:,} spots in them, {alone:,} are "
            f"isolated; expected at least {100 * LEAST_ALONE:.0f} %; take frames with fewer "
            "emitters, or give dense frames together with the table of all their emitters, "
            "`positions` (examples of the kind 'regions')"
        )


def _read_sparse(examples: CompositeExamples) -> SparseFrames:
    """Read sparse frames, and their tables where there are some."""
    frames = _read_frames(examples.frames_path or "")
    tables = [
        None if path is None else read_localizations(path, pixel_size_nm=examples.pixel_size_nm)
        for path in (examples.positions_path, examples.ambiguous_path)
    ]
    return sparse_frames(frames, examples.pixel_size_nm, *tables)


def _read_known(examples: RegionExamples) -> KnownFrames:
    """Read frames and the table of all their emitters."""
    frames = _read_frames(examples.frames_path or "")
    path, pixel_nm = examples.positions_path or "", examples.pixel_size_nm
    return KnownFrames(frames, read_localizations(path, pixel_size_nm=pixel_nm), pixel_nm)


def _read_frames(path: PathLike) -> AnyArray:
    """Read a whole movie."""
    with selected_movie(Path(path)) as movie:
        count, height, width = movie.shape
        if count * height * width > MOST_PIXELS:
            raise InputError(
                f"'{path}' has {count:,} frames of {height} × {width} pixels; training examples "
                f"are made of at most {MOST_PIXELS // (height * width):,} such frames: save fewer"
            )
        return movie.read(0, count)
