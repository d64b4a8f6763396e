"""Have torch.compile write Triton, as for a GPU, where there is none."""

from __future__ import annotations

import torch
import torch._inductor.config
import triton
from triton.backends.compiler import GPUTarget


class _Driver:
    """For what Triton asks of a GPU's driver before anything runs."""

    def __init__(self, target: GPUTarget) -> None:
        self._target = target

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


def write_triton(capability: int = 90) -> GPUTarget:
    """Let this process's kernels be Triton's, for NVIDIA GPUs of a compute capability; 90 is 9.0.

    With ``TRITON_INTERPRET=1`` in the environment Triton's interpreter runs them, else nothing.
    """
    target = GPUTarget("cuda", capability, 32)
    torch._inductor.config.cpu_backend = "triton"
    triton.runtime.driver.set_active(_Driver(target))
    return target
