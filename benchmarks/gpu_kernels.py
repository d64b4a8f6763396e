"""What torch.compile makes of the spiking layers for a GPU: launches, registers, spills.

    python -m benchmarks.gpu_kernels --capability 90         # no GPU is needed

A normalized layer fires over as many time steps as one kernel takes, and passes a gradient back,
in Triton's interpreter. The kernels that ran there are then compiled for the GPU, in each of the
sizes of block from which torch would choose, and NVIDIA's tools say what they take.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import triton
from torch._inductor.runtime.triton_heuristics import CachingAutotuner
from tqdm import tqdm
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.without_gpu import write_triton
from snn_norm import BatchNormThroughTime2d
from snn_norm.neurons import kernels
from snn_norm.neurons.fused import fire
from snn_norm.neurons.recurrence import Neuron

_LAYERS = [(dtype, pool) for dtype in ("float32", "bfloat16") for pool in (False, True)]


def main() -> None:
    """Compile each kind of layer and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capability", type=int, default=90, help="of the GPU: 90 is 9.0, an H100")
    parser.add_argument("--write", nargs=2, metavar=("DTYPE", "POOL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    target = write_triton(arguments.capability)
    if arguments.write:
        dtype, pool = arguments.write
        _fire(getattr(torch, dtype), pool == "True")
        return
    print(f"torch {torch.__version__}, Triton {triton.__version__}, {target}\n")
    print("| layer | launches forward, gradient | registers a thread, at most | spilled, bytes |")
    print("| --- | ---: | ---: | ---: |")
    for dtype, pool in tqdm(_LAYERS, unit="layer", file=sys.stderr):
        with tempfile.TemporaryDirectory() as folder:
            launches = _written(Path(folder), dtype, pool, arguments.capability)
            compiled = [_assembled(*kernel, target) for kernel in _kernels(Path(folder))]
        registers, spilled = (max(numbers) for numbers in zip(*compiled, strict=True))
        label = f"{dtype}, pooled" if pool else dtype
        print(f"| {label} | {', '.join(map(str, launches))} | {registers} | {spilled} |")


def _written(folder: Path, dtype: str, pool: bool, capability: int) -> list[int]:
    """Have a process write its kernels into the folder; the launches of each call, fewest first."""
    command = [sys.executable, "-m", "benchmarks.gpu_kernels", "--capability", str(capability)]
    environment = {
        **os.environ, "TRITON_INTERPRET": "1", "TORCHINDUCTOR_CACHE_DIR": str(folder),
    }  # fmt: skip
    subprocess.run(
        [*command, "--write", dtype, str(pool)], env=environment, check=True, stderr=subprocess.PIPE
    )
    codes = (path.read_text() for path in folder.rglob("*.py"))
    return sorted(code.count(".run(") for code in codes if "def call(" in code)


def _fire(dtype: torch.dtype, pool: bool) -> None:
    """Spikes and gradients of a normalized layer, over as many steps as one kernel takes."""
    num_steps, channels = kernels._STEPS_AT_ONCE, 64
    x_TNHWC = torch.randn(num_steps, 2, 8, 8, channels, dtype=dtype)
    x_TNCHW = x_TNHWC.movedim(-1, 2).requires_grad_()
    membrane_NCHW = torch.randn(2, 8, 8, channels).movedim(-1, 1)
    norm = BatchNormThroughTime2d(channels, num_steps)
    spikes_TNCHW, _ = fire(
        x_TNCHW,
        Neuron(0.9, 1.0, 25.0),
        norm.standardization(x_TNCHW, slice(0, num_steps)),
        pool=pool,
        membrane_N=membrane_NCHW,
        engine="compiled",
    )
    spikes_TNCHW.float().sum().backward()


def _kernels(folder: Path) -> Iterator[tuple[CachingAutotuner, Any]]:
    """Each kernel in the folder, with each of its sizes of block."""
    for path in folder.rglob("*.py"):
        code = path.read_text()
        if "@triton.jit" not in code or "def call(" in code:
            continue
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for kernel in vars(module).values():
            if isinstance(kernel, CachingAutotuner):
                yield from ((kernel, config) for config in kernel.configs)


def _assembled(kernel: CachingAutotuner, config: Any, target: GPUTarget) -> tuple[int, int]:
    """Registers of a thread, and the bytes of memory that it takes for want of more."""
    names, meta = kernel.fn.arg_names, kernel.triton_meta
    constants = {**meta.get("constants", {}), **config.kwargs}
    signature = {
        name: "constexpr" if name in constants else meta["signature"][name] for name in names
    }
    source = ASTSource(
        fn=kernel.fn,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs=meta["configs"][0],
    )
    options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
    binary = triton.compile(source, target=target, options=options).asm["cubin"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        told = subprocess.check_output(
            [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name], text=True
        )
    usage = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", told))
    return int(usage["REG"]), int(usage["STACK"]) + int(usage["LOCAL"])


if __name__ == "__main__":
    main()
