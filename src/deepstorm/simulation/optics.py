"""The choice among PSFs: Gaussian, by diffraction, or measured."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from deepstorm.config import OneOf
from deepstorm.simulation.psf import Psf

PSFS = (
    "deepstorm.simulation.psf:GaussianPsf",
    "deepstorm.simulation.pupil:PupilPsf",
    "deepstorm.simulation.measured:MeasuredPsf",
)
_ONE_OF = OneOf(*PSFS)


def _of_kind(values: Any) -> Any:
    """Build the PSF that plain values name, a Gaussian where they name none.

    A tagged union of pydantic's would ask for the name, and put it into every message.
    """
    if not isinstance(values, dict):
        return values
    kinds = _ONE_OF.by_kind()
    kind = values.get("kind", "gaussian")
    if kind not in list(kinds):
        raise ValueError(f"the kind {kind!r} of PSF is not known; choose one of {list(kinds)}")
    return kinds[kind].model_validate(values)


AnyPsf = Annotated[Psf, _ONE_OF, BeforeValidator(_of_kind)]
