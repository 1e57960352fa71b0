"""Networks in PyTorch: on every processor that it knows, GPUs among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepstorm.arrays import AnyArray, Float32Array
from deepstorm.models.devices import find_device
from deepstorm.reconstruction.emitters.peaks import PeakSettings
from deepstorm.reconstruction.engines import stages
from deepstorm.reconstruction.engines.staged import NETWORKS, Program, StagedEngine, StageName

if TYPE_CHECKING:
    from deepstorm.models.trained_network import TrainedNetwork


class TorchEngine(StagedEngine):
    """Runs a network with PyTorch.

    On CUDA networks compute in bfloat16, or in float16 on a GPU without that; all else, and
    everything on other devices, in float32. Networks are not compiled, nor their kernels recorded:
    the first takes longer than most movies, and so many frames go into a call that starting kernels
    does not count.

    Parameters
    ----------
    network : TrainedNetwork
        One in memory is moved to the device.
    device : str
        ``cpu``, ``cuda``, ``mps``, or ``auto`` for a GPU where there is one.
    peaks : PeakSettings, optional
        Which maxima are sought.

    Raises
    ------
    InputError
        If the device is not there.
    """

    keeps_shape = False

    def __init__(
        self,
        network: TrainedNetwork,
        device: str = "cpu",
        peaks: PeakSettings | None = None,
    ) -> None:
        self.device = find_device(device)
        if self.device.type == "cpu":
            self.pixels_per_call = 128 * 128
        else:
            self.pixels_per_call, self.values_per_strip = 512 * 512, 2**30
        loaded = network.load()
        extras = network.card.rendering, peaks or PeakSettings()
        modules = stages.modules(loaded, *extras)
        programs: dict[StageName, Program] = {
            name: _Exact(module.to(self.device)) for name, module in modules.items()
        }
        if self.device.type == "cuda":
            programs |= {name: _Reduced(modules[name]) for name in NETWORKS if name in modules}
        margin_px = max(extra.margin_px for extra in extras)
        super().__init__(f"torch-{self.device.type}", loaded.upsampling, programs, margin_px)

    def _enter(self, values: Float32Array) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _leave(self, values: Tensor) -> AnyArray:
        result: AnyArray = values.cpu().numpy()
        return result


class _Exact:
    """A part of a network in float32, on CUDA without the shorter mantissas of TF32."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    @torch.inference_mode()
    def __call__(self, values: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            result: Tensor = self._module(values)
        return result


class _Reduced:
    """A part of a network in 16 bits on CUDA, channels last, as its tensor cores want them."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        brain = torch.cuda.is_bf16_supported(including_emulation=False)
        self._type = torch.bfloat16 if brain else torch.float16

    @torch.inference_mode()
    def __call__(self, values: Tensor) -> Tensor:
        frames = values.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", self._type):
            result: Tensor = self._module(frames)
        return result.float().contiguous()
