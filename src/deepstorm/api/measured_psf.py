"""``calibrate --psf``: the PSF of a microscope, measured, and brought into a simulation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deepstorm.api.inputs import MovieSource, opened_movie
from deepstorm.arrays import AnyArray, FloatArray, IntArray, PathLike
from deepstorm.calibration.measured_psf import (
    PsfMeasurement,
    cell_size_nm,
    find_spots,
    measure_beads,
    measure_sparse,
)
from deepstorm.errors import InputError
from deepstorm.files import output_set
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.selection import Region
from deepstorm.io.psf_images import read_psf, write_psf
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.simulation.measured import MeasuredPsf
from deepstorm.simulation.sampled_psf import SampledPsf
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations

# More are not read; a few hundred emitters tell the PSF.
MOST_VALUES = 2**26
RADII_PX = (3, 20)


@dataclass(frozen=True, slots=True)
class MeasuredOptics:
    """A measured PSF.

    Parameters
    ----------
    psf : SampledPsf
        The light before camera pixels integrate it, its core in the middle.
    measurement : PsfMeasurement
        How it was measured and how well.
    """

    psf: SampledPsf
    measurement: PsfMeasurement

    def table(self) -> dict[str, float | int | None]:
        """Return what is known of it, by name."""
        return {
            "emitters": self.measurement.emitters,
            "left_out": self.measurement.left_out,
            "planes": len(self.psf.planes),
            "z_step_nm": self.psf.z_step_nm,
            "psf_pixel_size_nm": self.psf.pixel_size_nm,
            "sigma_nm": round(self.psf.sigma_nm, 2),
            "signal_to_noise": round(self.measurement.signal_to_noise, 1),
            "residual": round(self.measurement.residual, 4),
        }


def measure_psf(
    movie: MovieSource,
    output: PathLike | None = None,
    *,
    positions: PathLike | Localizations | None = None,
    pixel_size_nm: float | None = None,
    z_step_nm: float | None = None,
    radius_px: int = 7,
    frames: slice | None = None,
    region: Region | None = None,
    overwrite: bool = False,
) -> MeasuredOptics:
    """Measure the PSF from frames of single emitters, or from beads at several focuses.

    Parameters
    ----------
    movie : path-like, ndarray of shape (frame, y, x), or Movie
        Sparse frames, of which the first 67 million pixels are looked at; with ``z_step_nm`` the
        same beads, one frame per plane of focus.
    output : path-like, optional
        32-bit TIFF stack to write, for ``psf = { kind = "measured", path = … }``.
    positions : path-like or Localizations, optional
        Where the emitters are; found in the movie where absent. For beads the frame does not
        matter.
    pixel_size_nm : float, optional
        Size of a camera pixel in the sample; from the file where absent.
    z_step_nm : float, optional
        Distance between the planes of a stack of beads.
    radius_px : int
        Camera pixels from an emitter within which its light is looked for, 3 to 20.
    frames : slice, optional
        Frames to use, from 0.
    region : Region, optional
        Camera pixels to use. Positions of a table count from the corner of the whole movie.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the movie or a value cannot be used, too few emitters stand alone, or the file may not be
        written.
    """
    if not RADII_PX[0] <= radius_px <= RADII_PX[1]:
        raise InputError(f"`radius_px={radius_px}` cannot be used; expected {RADII_PX[0]} to 20")
    if z_step_nm is not None and not 0 < z_step_nm <= 10_000:
        raise InputError(
            f"planes cannot be `z_step_nm={z_step_nm:g}` apart; expected more than 0, up to 10,000"
        )
    with output_set([output], overwrite=overwrite, inputs=[movie, positions]) as outputs:
        with opened_movie(movie, frames=frames, region=region, pixel_size_nm=pixel_size_nm) as (
            selected,
            pixel_nm,
        ):
            seen = _seen(selected, is_stack=z_step_nm is not None)
            given = _given(positions, pixel_nm, selected.frames.start, region)
        measurement = _measured(seen, given, radius_px, is_beads=z_step_nm is not None)
        step_nm = z_step_nm if len(measurement.image) > 1 else None
        psf = SampledPsf(measurement.image, cell_size_nm(pixel_nm), step_nm).centred()
        if output is not None:
            write_psf(outputs.staged(output), psf.planes, psf.pixel_size_nm, step_nm)
    return MeasuredOptics(psf, measurement)


def _seen(movie: Movie, *, is_stack: bool) -> AnyArray:
    """Return as many frames as are looked at; a stack is of no use without all of its planes."""
    count, height, width = movie.shape
    most = max(MOST_VALUES // (height * width), 1)
    if is_stack and count > most:
        raise InputError(
            f"'{movie.name}' has {count} planes of {width} × {height} pixels, too many to "
            "process together; choose a part with some beads, `region`"
        )
    return movie.read(0, min(count, most))


_Places = tuple[IntArray, FloatArray, FloatArray]


def _given(
    positions: PathLike | Localizations | None,
    pixel_nm: float,
    first_frame: int,
    region: Region | None,
) -> _Places | None:
    """Return frame, x and y in pixels of the selected part of a movie."""
    if positions is None:
        return None
    table = positions
    if not isinstance(table, Localizations):
        table = read_localizations(table, pixel_size_nm=pixel_nm)
    left, top = (region.x, region.y) if region is not None else (0, 0)
    return table.frame - first_frame, table.x_nm / pixel_nm - left, table.y_nm / pixel_nm - top


def _measured(
    frames: AnyArray, given: _Places | None, radius_px: int, *, is_beads: bool
) -> PsfMeasurement:
    if given is None:
        given = find_spots(frames.mean(axis=0, keepdims=True) if is_beads else frames)
    frame, x_px, y_px = given
    if is_beads:
        return measure_beads(frames, x_px, y_px, radius_px)
    return measure_sparse(frames, frame, x_px, y_px, radius_px)


def with_psf_read(settings: SimulationSettings) -> SimulationSettings:
    """Return settings whose measured PSF, if they have one, has been read from its file.

    Raises
    ------
    InputError
        If the file cannot be used, or does not suit the settings.
    """
    psf = settings.psf
    if not isinstance(psf, MeasuredPsf) or psf.is_read:
        return settings
    image = SampledPsf(*read_psf(Path(psf.path)))
    try:
        image.check(settings.pixel_size_nm)
    except ValueError as error:
        raise InputError(f"the PSF '{psf.path}' cannot be used: {error}") from None
    return settings.model_copy(update={"psf": psf.with_image(image)})
