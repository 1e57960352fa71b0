"""The choice among PSFs: Gaussian, by diffraction, or measured."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from deepstorm.config import Settings
from deepstorm.simulation.measured import MeasuredPsf
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.pupil import PupilPsf

KINDS: dict[str, type[Settings]] = {
    "gaussian": GaussianPsf,
    "pupil": PupilPsf,
    "measured": MeasuredPsf,
}


def _of_kind(values: Any) -> Any:
    """Build the PSF that plain values name, a Gaussian where they name none.

    A tagged union of pydantic's would ask for the name, and put it into every message.
    """
    if not isinstance(values, dict):
        return values
    kind = values.get("kind", "gaussian")
    if kind not in KINDS:
        raise ValueError(f"the kind {kind!r} of PSF is not known; choose one of {list(KINDS)}")
    return KINDS[kind].model_validate(values)


AnyPsf = Annotated[GaussianPsf | PupilPsf | MeasuredPsf, BeforeValidator(_of_kind)]
