"""A pytest plugin: torch.compile writes Triton, as for a GPU, which Triton's interpreter runs.

To be loaded with ``TRITON_INTERPRET=1``.
"""

from __future__ import annotations

import torch
import torch._inductor.config
import triton
from triton.backends.compiler import GPUTarget


class _Driver:
    """For what Triton asks of a GPU's driver before anything runs."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


torch._inductor.config.cpu_backend = "triton"
triton.runtime.driver.set_active(_Driver())
