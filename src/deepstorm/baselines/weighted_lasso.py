"""Least squares with a weighted ℓ1 norm over non-negative emitters, by ADMM."""

from __future__ import annotations

import torch
from torch import Tensor

from deepstorm.baselines.imaging import Imaging

# Weight of the splitting u = x beside that of v = A x: sets how fast the end is reached, not where
# it is.
PACE = 0.1


def minimise_weighted_l1(
    light: Tensor,
    imaging: Imaging,
    weights: Tensor,
    penalty: Tensor,
    start: Tensor,
    iterations: int,
) -> Tensor:
    """Minimise ½ Σ weights · (A x − light)² + Σ penalty · x over x ≥ 0.

    The alternating direction method of multipliers [1]_ with two splittings, v = A x and u = x. The
    step in x is exact: its matrix is inverted through the eigenvectors of each axis.

    Parameters
    ----------
    light, weights : Tensor, shape (frame, y, x)
        Photons without background, and one over their variance.
    imaging : Imaging
        A.
    penalty : Tensor, shape (frame, fine y, fine x)
    start : Tensor, shape (frame, fine y, fine x)
    iterations : int

    Returns
    -------
    Tensor, shape (frame, fine y, fine x)
        0 or more, exactly 0 at most places.

    References
    ----------
    .. [1] Boyd et al., Found. Trends Mach. Learn. 3, 1 (2011), doi 10.1561/2200000016.
    """
    fit_pace = weights.mean(dim=(1, 2), keepdim=True)
    pace = PACE * fit_pace
    solve = _Inverse(imaging, PACE)
    sparse, seen = start, imaging.forward(start)
    seen_dual, sparse_dual = torch.zeros_like(seen), torch.zeros_like(sparse)
    threshold, weighted_light = penalty / pace, weights * light
    for _ in range(iterations):
        emitters, image = solve(seen + seen_dual, sparse + sparse_dual)
        seen = (weighted_light + fit_pace * (image - seen_dual)) / (weights + fit_pace)
        sparse = (emitters - sparse_dual - threshold).clamp_(min=0)
        seen_dual = seen_dual + seen - image
        sparse_dual = sparse_dual + sparse - emitters
    return sparse


class _Inverse:
    """The minimiser x of ‖A x − v‖² + pace ‖x − u‖²."""

    def __init__(self, imaging: Imaging, pace: float) -> None:
        self.imaging, self.pace = imaging, pace
        grams = [part @ part.T for part in (imaging.rows, imaging.columns)]
        (values_y, self.basis_y), (values_x, self.basis_x) = map(torch.linalg.eigh, grams)
        self.inverse = 1 / (torch.outer(values_y, values_x).clamp(min=0) + pace)

    def __call__(self, seen: Tensor, emitters: Tensor) -> tuple[Tensor, Tensor]:
        """Return x and A x for v = ``seen`` and u = ``emitters``."""
        # x = u + Aᵀ (A Aᵀ + pace)⁻¹ (v − A u): the inverse is on the camera, diagonal in its basis.
        missing = seen - self.imaging.forward(emitters)
        rotated = self.basis_y.T @ missing @ self.basis_x
        pull = self.basis_y @ (self.inverse * rotated) @ self.basis_x.T
        # v − A x = pace · pull.
        return emitters + self.imaging.adjoint(pull), seen - self.pace * pull
