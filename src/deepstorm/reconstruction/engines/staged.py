"""The loop over frames that all engines share: a network part by part, a few frames at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import AnyArray, Float32Array
from deepstorm.reconstruction.engines.protocol import Prediction
from deepstorm.reconstruction.tiling import spans

StageName = Literal["network", "rendering", "maxima", "scores", "sharing"]
# Those that are networks, and bear less than single precision.
NETWORKS: tuple[StageName, ...] = ("network", "scores")
# One part of a network, on what the runtime computes with, arrays or tensors. The memory of its
# result may be used again by the next call.
Program = Callable[[Any], Any]


class StagedEngine:
    """Runs the parts of a network one after the other.

    Runtimes whose values are no arrays say how to get there and back (``_enter``, ``_leave``).

    Parameters
    ----------
    name : str
        Runtime and precision.
    upsampling : int
        Super-resolution pixels per camera pixel, along each axis.
    programs : mapping
        The parts, by name; without ``rendering``, images are the expectation itself.
    margin_px : int
        Super-resolution pixels around a pixel that its rendering, or whether it is a maximum,
        depends on.
    """

    # Camera pixels per call: few, so that what passes from one part to the next stays in the caches
    # of a CPU; more were not faster.
    pixels_per_call = 64 * 64
    # Values that are rendered, or searched for maxima, at once, for the same reason.
    values_per_strip = 2**20
    # Whether all calls have the same number of frames, since each new shape has to be compiled.
    keeps_shape = True

    def __init__(
        self, name: str, upsampling: int, programs: Mapping[StageName, Program], margin_px: int
    ) -> None:
        self.name = name
        self._upsampling = upsampling
        self._programs = programs
        self._margin_px = margin_px

    def __call__(
        self, frames: AnyArray, *, maxima_within: tuple[int, int] | None = None
    ) -> Prediction:
        """Return expected emitters and their rendering, and where maxima are if asked for."""
        shape = (len(frames), *(side * self._upsampling for side in frames.shape[2:]))
        expected = np.empty(shape, np.float32)
        image = np.empty(shape, np.float32) if "rendering" in self._programs else expected
        marks = None if maxima_within is None else np.empty(shape, np.uint8)
        for here, piece in self._pieces(frames):
            filled = here.stop - here.start
            whole = self._programs["network"](self._enter(piece))  # (frame, 1, y, x)
            expected[here] = self._leave(whole)[:filled, 0]
            if image is not expected:
                self._by_strips("rendering", whole, image[here])
            if marks is not None and maxima_within is not None:
                self._by_strips("maxima", self._within(maxima_within, whole), marks[here])
        return Prediction(expected, image, None if marks is None else marks.view(np.bool_))

    def refine(self, sums: Float32Array) -> Float32Array:
        """Return what the network's refiner makes of sums over a movie."""
        whole = np.ascontiguousarray(sums[np.newaxis])
        scores = self._leave(self._programs["scores"](self._enter(whole)))
        gathered = whole[:, 1:2]
        shared = self._programs["sharing"](self._enter(np.concatenate([scores, gathered], axis=1)))
        return np.array(self._leave(shared)[0, 0], np.float32)

    def _by_strips(self, stage: StageName, expected: Any, result: npt.NDArray[np.generic]) -> None:
        """Run a part on the frames of a piece, a few rows at a time, and put down what it says."""
        count, _, height, width = expected.shape
        rows = max(self.values_per_strip // (count * width), 4 * self._margin_px)
        for span in spans(height, rows, self._margin_px):
            said = self._leave(self._programs[stage](expected[:, :, span.seen]))
            result[:, span.core(1)] = said[: len(result), 0, span.core_within(1)]

    def _pieces(self, frames: AnyArray) -> Iterator[tuple[slice, Float32Array]]:
        """Yield a few frames at a time and where they belong; the last ones may be filled up."""
        count, channels, height, width = frames.shape
        step = max(self.pixels_per_call // (height * width), 1)
        for start in range(0, count, step):
            here = slice(start, min(start + step, count))
            size = step if self.keeps_shape else here.stop - here.start
            piece = np.zeros((size, channels, height, width), np.float32)
            piece[: here.stop - here.start] = frames[here]
            yield here, piece

    def _within(self, size: tuple[int, int], whole: Any) -> Any:
        """Return an expectation without what lies beyond so many camera pixels (y, x)."""
        rows, columns = (side * self._upsampling for side in size)
        if (rows, columns) == whole.shape[2:]:
            return whole
        kept = np.zeros(whole.shape, np.float32)
        kept[:, :, :rows, :columns] = self._leave(whole)[:, :, :rows, :columns]
        return self._enter(kept)

    def _enter(self, values: Float32Array) -> Any:
        """Turn an array into what the runtime computes with."""
        return values

    def _leave(self, values: Any) -> AnyArray:
        """Turn a result of the runtime into an array."""
        return values  # type: ignore[no-any-return]
