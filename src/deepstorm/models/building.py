"""Every kind of network, by the ``kind`` of its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepstorm.models.architectures import NetworkSettings
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.native import NativeNetwork
from deepstorm.models.network import Network

NETWORKS: dict[str, Callable[[Any], Network]] = {
    "native": NativeNetwork,
    "deepstorm": DeepStormNetwork,
}


def build(settings: NetworkSettings) -> Network:
    """Return a new network with fresh weights, or without any on the device ``meta``."""
    return NETWORKS[settings.kind](settings)
