"""One training step of the spiking network against the same network in other libraries.

    python -m benchmarks.training_step --device cpu --precision float32 --num-steps 25

Every contender runs in a process of its own, the way its users run it, and takes one step at a time
in turn with the others, so that a machine that slows down slows down for all of them. Memory is
the peak over what the process held before the step: resident memory on a CPU, allocated memory on a
GPU. SpikingJelly is left out where it is not installed.

    python -m benchmarks.training_step --over-time --results over-time.jsonl

measures each number of time steps in turn, and goes on where it was interrupted.

    python -m benchmarks.training_step --profile --threads 1

shows where the time of one contender's step goes: ours, unless --only names another.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import math
import multiprocessing
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from benchmarks.memory import peak_resident, reset_peak, resident
from benchmarks.peers import CAPTURED, CONTENDERS, Setting
from snn_norm.training.cuda_graph import STEPS_TO_CAPTURE, CapturedStep, Step

_WARM_UP_IMAGES = (2, 3)
"""Two sizes: what torch.compile makes for the second one serves any."""

_OVER_TIME = ("snn_norm", "snnTorch loop", "SpikingJelly multi-step")
"""Whose time and memory are followed over time steps, unless others are named."""


def main() -> None:
    """Run the contenders and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--norm", choices=("bntt", "homeostatic", "none"), default="bntt")
    parser.add_argument("--num-steps", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall",
        help="cpu counts processor time: for a machine shared with others, with --threads 1",
    )  # fmt: skip
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--fastest", action="store_true",
        help="the fastest repeat instead of the median: for a machine shared with others",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=CONTENDERS)
    parser.add_argument(
        "--over-time", type=int, nargs="*", metavar="T",
        help="instead: time and memory at these numbers of time steps (5 10 25 50 100)",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, help="file of JSON lines with --over-time, continued if it exists"
    )
    parser.add_argument("--profile", action="store_true", help="instead: a step by operation")
    arguments = vars(parser.parse_args())
    repeats, fastest, results, over_time = (
        arguments.pop(key) for key in ("repeats", "fastest", "results", "over_time")
    )
    only, on_gpu = arguments.pop("only"), arguments["device"].startswith("cuda")
    if only and CAPTURED in only and not on_gpu:
        parser.error(f"{CAPTURED!r} is for --device cuda")
    names = only or list(CONTENDERS if over_time is None else _OVER_TIME)
    if importlib.util.find_spec("spikingjelly") is None:
        names = [name for name in names if not name.startswith("SpikingJelly")]
    if not on_gpu:
        names = [name for name in names if name != CAPTURED]
    profiled = arguments.pop("profile")
    setting = Setting(**arguments)
    print(f"{machine()}; {setting}\n")
    if profiled:
        print(_profile(names[0], setting))
    elif over_time is None:
        contenders = {name: (name, setting) for name in names}
        _print_contenders(measure(contenders, repeats, min if fastest else statistics.median))
    else:
        _print_over_time(names, setting, over_time or [5, 10, 25, 50, 100], repeats, results)


def measure(
    contenders: Mapping[str, tuple[str, Setting]],
    repeats: int,
    of_repeats: Callable[[list[float]], float] = statistics.median,
) -> dict[str, tuple[float, int]]:
    """Seconds and peak bytes of a step.

    Args:
        contenders: a name in ``CONTENDERS`` and its setting, by label; they take turns.
        repeats: steps that are timed.
        of_repeats: which of their seconds are returned.
    """
    with _workers(contenders) as workers:
        peaks = {label: ask() for label, ask in workers.items()}
        seconds: dict[str, list[float]] = {label: [] for label in workers}
        for _ in range(repeats):
            for label, ask in workers.items():
                seconds[label].append(ask())
    return {label: (of_repeats(seconds[label]), int(peaks[label])) for label in workers}


@contextmanager
def _workers(
    contenders: Mapping[str, tuple[str, Setting]],
) -> Iterator[dict[str, Callable[[], float]]]:
    """A process for each contender that takes a step when asked; the first answer is its memory."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for label, (name, setting) in contenders.items():
        pipes[label], theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, name, setting), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        pipes[label].recv()  # one at a time: ready, before the next one warms up

    def ask(label: str) -> float:
        pipes[label].send("step")
        answer: float = pipes[label].recv()
        return answer

    try:
        yield {label: partial(ask, label) for label in pipes}
    finally:
        for pipe in pipes.values():
            pipe.close()
        for process in processes:
            process.join()


def _serve(pipe: Any, name: str, setting: Setting) -> None:
    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    step = _warmed_up(name, setting)
    pipe.send("ready")
    first = True
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        if first:
            with _peak_memory(setting) as peak:
                step()
                step()
            pipe.send(peak[0])
            first = False
        else:
            clock = time.perf_counter if setting.clock == "wall" else time.process_time
            started = clock()
            step()
            pipe.send(clock() - started)


def _warmed_up(name: str, setting: Setting) -> Callable[[], None]:
    """A contender's step; whatever it loads or compiles at first use is not the step's."""
    contender = CONTENDERS[name](setting)
    graph = getattr(contender, "graph", None)

    def gradients(x_NCHW: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
        contender.zero_grad()
        logits_NK = contender(x_NCHW)
        loss = F.cross_entropy(logits_NK, labels_N)
        loss.backward()
        return loss.detach(), logits_NK.detach()

    for images in _WARM_UP_IMAGES:
        _step(CapturedStep(contender, None), gradients, setting, images)
    captured = CapturedStep(contender, graph)
    for _ in range(0 if graph is None else STEPS_TO_CAPTURE):
        _step(captured, gradients, setting, setting.batch_size)
    return partial(_step, captured, gradients, setting, setting.batch_size)


def _step(captured: CapturedStep, gradients: Step, setting: Setting, images: int) -> None:
    """Forward, loss, backward; the optimizer is the same for all and not measured."""
    generator = torch.Generator().manual_seed(0)
    shape = (images, 3, setting.image_size, setting.image_size)
    x_NCHW = torch.randn(shape, generator=generator).to(setting.device)
    labels_N = torch.arange(images, device=setting.device) % 10
    captured(gradients, x_NCHW, labels_N)
    if setting.device.startswith("cuda"):
        torch.cuda.synchronize()


@contextmanager
def _peak_memory(setting: Setting) -> Iterator[list[int]]:
    """Fill the list with the most bytes held inside the context over those held before."""
    result: list[int] = []
    if setting.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield result
        result.append(torch.cuda.max_memory_allocated() - before)
        return
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    reset_peak()
    before = resident()
    yield result
    result.append(peak_resident() - before)


def _print_contenders(results: dict[str, tuple[float, int]]) -> None:
    first = next(iter(results.values()))
    ours_seconds, ours_bytes = results.get("snn_norm", first)
    least, _ = results.get("convolutions alone", (math.nan, 0))
    print("| | time, convolutions = 1 | ms a step | ours = 1 | peak memory, MB | ours = 1 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (seconds, peak) in results.items():
        print(
            f"| {name} | {seconds / least:.2f} | {seconds * 1e3:.0f} | {seconds / ours_seconds:.2f}"
            f" | {peak / 1e6:.0f} | {peak / ours_bytes:.2f} |"
        )


def _print_over_time(
    names: list[str], setting: Setting, steps: list[int], repeats: int, path: Path | None
) -> None:
    """Measure what the file at ``path`` lacks, then print a table and how memory grew."""
    found = _read(path)
    for num_steps in tqdm(steps, unit="T", file=sys.stderr):
        at = setting._replace(num_steps=num_steps)
        missing = [name for name in names if (name, at) not in found]
        contenders = {name: (name, at) for name in missing}
        for name, measured in (measure(contenders, repeats) if missing else {}).items():
            found[name, at] = measured
            if path is not None:
                with path.open("a") as file:
                    file.write(json.dumps([name, at, measured]) + "\n")
    print("| T | " + " | ".join(f"{name}, ms | MB" for name in names) + " |")
    print("| ---: |" + " ---: | ---: |" * len(names))
    for num_steps in steps:
        results = [found[name, setting._replace(num_steps=num_steps)] for name in names]
        cells = (f"{seconds * 1e3:.0f} | {peak / 1e6:.0f}" for seconds, peak in results)
        print(f"| {num_steps} | " + " | ".join(cells) + " |")
    print()
    few, many = (25, 100) if {25, 100} <= set(steps) else (min(steps), max(steps))
    for name in names:
        grown = [found[name, setting._replace(num_steps=num)][1] for num in (few, many)]
        linear = many / few
        print(
            f"{name}: memory from T = {few} to {many}: {grown[1] / grown[0] / linear:.2f} of linear"
        )


def _read(path: Path | None) -> dict[tuple[str, Setting], tuple[float, int]]:
    if path is None or not path.exists():
        return {}
    rows = map(json.loads, path.open())
    return {(name, Setting(*setting)): tuple(measured) for name, setting, measured in rows}


def _profile(name: str, setting: Setting) -> str:
    """The profiler's table of one step: time by operation, the most expensive first."""
    torch.set_num_threads(setting.threads)
    step = _warmed_up(name, setting)
    step()
    with torch.profiler.profile(acc_events=True) as profiler:
        step()
    on = "cuda" if setting.device.startswith("cuda") else "cpu"
    table: str = profiler.key_averages().table(sort_by=f"self_{on}_time_total", row_limit=20)
    return table


_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")
"""Instruction sets that decide how fast convolutions and neurons are."""


def machine() -> str:
    """Processor with its instruction sets, or GPU, and the version of torch."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    about = Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*: (.*)", about)
    model, flags = found[1] if found else platform.machine(), about.split()
    instructions = " ".join(name for name in _INSTRUCTIONS if name in flags)
    return f"{model} ({instructions or 'no known instruction set'}), torch {torch.__version__}"


if __name__ == "__main__":
    main()
