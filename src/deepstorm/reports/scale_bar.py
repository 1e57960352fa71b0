"""The scale bar of pictures, on a panel of matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from PIL import Image

from deepstorm.reports.drawing import draw_scale_bar

_LEAST_TEXT_SIZE = 7.0


class ScaleBar(Artist):
    """The scale bar that pictures have, drawn once it is known how many pixels the panel has.

    Parameters
    ----------
    width_nm : float
        Of the whole panel.
    """

    def __init__(self, width_nm: float) -> None:
        super().__init__()
        self.set_zorder(10)  # above curves
        self.set_in_layout(False)
        self._width_nm = width_nm

    def draw(self, renderer: RendererBase) -> None:
        """Lay the bar over the panel."""
        if self.axes is None:
            return
        left, bottom, width, height = self.axes.bbox.bounds
        overlay = Image.new("RGBA", (max(round(width), 1), max(round(height), 1)))
        least = int(np.rint(renderer.points_to_pixels(_LEAST_TEXT_SIZE)))
        draw_scale_bar(overlay, self._width_nm / overlay.width, least)
        context = renderer.new_gc()
        renderer.draw_image(context, round(left), round(bottom), np.asarray(overlay)[::-1])
        context.restore()
