from __future__ import annotations

from typing import get_args

import pytest
import torch

from deepstorm.models.architectures import (
    DeepStormNetworkSettings,
    NativeNetworkSettings,
    NetworkSettings,
    RefinementSettings,
)
from deepstorm.models.building import NETWORKS, build
from deepstorm.models.refinement import Refiner


def test_every_kind_of_settings_has_its_network() -> None:
    kinds = [shape.model_fields["kind"].default for shape in get_args(get_args(NetworkSettings)[0])]
    assert sorted(kinds) == sorted(NETWORKS)


@pytest.mark.parametrize(
    "settings",
    [
        NativeNetworkSettings(width=4, deep_width=8, upsampling=5, channels=2),
        DeepStormNetworkSettings(upsampling=3),
        DeepStormNetworkSettings(upsampling=8),
    ],
    ids=str,
)
def test_what_is_known_without_weights_is_what_networks_say(
    settings: NativeNetworkSettings | DeepStormNetworkSettings,
) -> None:
    with torch.device("meta"):
        network = build(settings)
    for name in ("upsampling", "channels", "divisor", "halo_px"):
        assert getattr(network, name) == getattr(settings, name)


def test_what_is_known_of_refiners_is_what_they_say() -> None:
    settings = RefinementSettings(width=2, half_width=2, quarter_width=2, reach_px=9)
    refiner = Refiner(settings)
    assert (refiner.divisor, refiner.halo_px) == (settings.divisor, settings.halo_px)


def test_the_papers_network_needs_more_memory_per_pixel() -> None:
    native, paper = NativeNetworkSettings(), DeepStormNetworkSettings()
    assert paper.features_per_px > 3 * native.features_per_px
    # No less than the widest layer, with the layer before it.
    assert native.features_per_px > native.width + native.deep_width
    assert paper.features_per_px >= 2 * 32 * paper.upsampling**2
