"""What each norm costs in the spiking network, and how SpikingJelly's own layer of it does.

    python -m benchmarks.norms
    python -m benchmarks.norms --threads 1 --clock cpu       # on a machine shared with others

A training step of the reference trunk, T = 25, with each norm, takes turns with one without a norm
and one of SpikingJelly's, each in a process of its own; then resnet19 at T = 4, under its authors'
tdBN, with its convolutions alone and SpikingJelly's. How time and memory are taken says
``benchmarks.training_step``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys

import torch
from tqdm import tqdm

from benchmarks.peers import OF_SPIKINGJELLY, Setting
from benchmarks.training_step import machine, measure
from snn_norm.norms.table import norms_of

_RESNET19 = "resnet19"

_AIMS = dict.fromkeys(("tab", "mpbn", "groupnorm", "layernorm"), 1.3)
"""At most so many times the step without a norm; 1.1 of all others."""


_AT_ONCE = 4
"""Norms that take turns with one network without a norm; more would need more memory."""


def main() -> None:
    """Print a Markdown table, some rows at a time."""
    rows = [*(name for name in norms_of("snn") if name != "none"), _RESNET19]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=rows, default=rows)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reference = Setting(
        device, "float32", "none", num_steps=25, batch_size=8, width=64, image_size=32,
        threads=arguments.threads, clock=arguments.clock,
    )  # fmt: skip
    print(f"{machine()}; {reference}\n")
    print("| | ms | MB | against | ms | MB | time | aim | memory |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    alone = ("convolutions alone", reference)
    aims = {"no norm": (1.25, 1.5)}
    _compare({"no norm": reference}, "its convolutions", alone, aims, arguments.repeats)
    norms = [row for row in arguments.only if row != _RESNET19]
    for start in tqdm(range(0, len(norms), _AT_ONCE), unit="group", file=sys.stderr):
        settings = {norm: reference._replace(norm=norm) for norm in norms[start:][:_AT_ONCE]}
        aims = {norm: (_AIMS.get(norm, 1.1), 1 / 2.5) for norm in settings}
        _compare(settings, "no norm", ("snn_norm", reference), aims, arguments.repeats)
    if _RESNET19 in arguments.only:
        resnet19 = reference._replace(norm="tdbn", num_steps=4, width=128, trunk=_RESNET19)
        alone = ("convolutions alone", resnet19)
        aims = {_RESNET19: (1.3, 1 / 1.5)}
        _compare({_RESNET19: resnet19}, "its convolutions", alone, aims, arguments.repeats)


def _compare(
    settings: dict[str, Setting],
    base: str,
    base_contender: tuple[str, Setting],
    aims: dict[str, tuple[float, float]],
    repeats: int,
) -> None:
    """Measure networks, what all are held against, and SpikingJelly's; print two rows of each."""
    contenders = {base: base_contender}
    for label, setting in settings.items():
        contenders[label] = ("snn_norm", setting)
        if setting.norm in OF_SPIKINGJELLY and importlib.util.find_spec("spikingjelly"):
            contenders[f"SpikingJelly, {label}"] = ("SpikingJelly multi-step", setting)
    results = measure(contenders, repeats)
    for label in settings:
        peers = zip((base, f"SpikingJelly, {label}"), aims[label], strict=True)
        for peer, aim in peers:
            if peer in results:
                _print_row(label, results[label], peer, results[peer], aim)


def _print_row(
    label: str, ours: tuple[float, int], peer: str, theirs: tuple[float, int], aim: float
) -> None:
    cells = [f"{seconds * 1e3:.0f} | {peak / 1e6:.0f}" for seconds, peak in (ours, theirs)]
    time, memory = (a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"| {label} | {cells[0]} | {peer} | {cells[1]} | {time:.2f} | {aim:.2f} | {memory:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
