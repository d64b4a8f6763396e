"""Measures Proposition 1: ``python -m snn_norm.equivalence``.

``BatchNorm2d`` normalizes a training batch by the batch's own mean and variance,
``HomeostaticNorm`` by moving ones. If the two statistics agree, the outputs must agree too. Here
both layers get the same feature maps, and their outputs are compared in the cases that matter.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snn_norm.config import LARGEST_SEED
from snn_norm.norms.static import HomeostaticNorm


@dataclass(frozen=True)
class Comparison:
    """Both layers' outputs on the same batches; moments are over all values, variances biased."""

    case: str
    expected: str
    largest_difference: float
    """The largest difference between the outputs at the same element."""
    standard: tuple[float, float]
    """Mean and variance of BatchNorm2d's output."""
    homeostatic: tuple[float, float]
    """Mean and variance of HomeostaticNorm's output."""


def feature_maps(images: int, channels: int, size: int, seed: int) -> Iterator[Tensor]:
    """Batches (N, C, H, W) of one distribution: each channel has its own mean and deviation."""
    generator = torch.Generator().manual_seed(seed)
    mean = 2 * torch.randn(channels, 1, 1, generator=generator)
    deviation = torch.rand(channels, 1, 1, generator=generator) * 2.5 + 0.5
    while True:
        yield mean + deviation * torch.randn(images, channels, size, size, generator=generator)


def compare(maps: Iterator[Tensor], channels: int) -> Iterator[Comparison]:
    """Compare the two layers in each case, on batches of ``maps``, (N, C, H, W)."""
    standard, homeostatic = nn.BatchNorm2d(channels), HomeostaticNorm(channels)
    outputs: list[tuple[Tensor, Tensor]] = []
    for count in range(1, 101):
        x_NCHW = next(maps)
        outputs.append((standard(x_NCHW), homeostatic(x_NCHW)))
        if count == 1:
            expected = "equal: the first batch is all that the moving statistics know"
            yield _compared("training, batch 1", expected, *outputs.pop())
        elif count in (10, 100):
            expected = "close: this batch's statistics against the average of the last ten or so"
            yield _compared(f"training, batch {count}", expected, *outputs[-1])
    yield _compared(
        "training, batches 2 to 100",
        "closer in the moments: the deviations of single batches cancel",
        *(torch.cat(batches) for batches in zip(*outputs, strict=True)),
    )

    evaluated = copy.deepcopy(homeostatic)
    evaluated.load_state_dict(standard.state_dict())
    x_NCHW = next(maps)
    yield _compared(
        "evaluation, one state_dict",
        "equal: both normalize by the same stored statistics",
        standard.eval()(x_NCHW),
        evaluated.eval()(x_NCHW),
    )
    yield _compared(
        "evaluation, own statistics",
        "close: running_var of BatchNorm2d is unbiased and leaves out how batch means differ",
        standard(x_NCHW),
        homeostatic.eval()(x_NCHW),
    )
    standard.train()
    homeostatic.train().momentum = 1.0
    yield _compared(
        "training, momentum 1",
        "equal: the moving statistics are those of the newest batch",
        standard(x_NCHW),
        homeostatic(x_NCHW),
    )


def _compared(case: str, expected: str, standard: Tensor, homeostatic: Tensor) -> Comparison:
    return Comparison(
        case,
        expected,
        (standard - homeostatic).abs().max().item(),
        (standard.mean().item(), standard.var(correction=0).item()),
        (homeostatic.mean().item(), homeostatic.var(correction=0).item()),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison as a table."""
    parser = argparse.ArgumentParser(
        prog="python -m snn_norm.equivalence",
        description="Compare nn.BatchNorm2d and HomeostaticNorm on the same feature maps.",
    )
    parser.add_argument("--batch-size", type=_positive, default=32, help="images; default 32")
    parser.add_argument("--channels", type=_positive, default=64, help="default 64")
    parser.add_argument("--size", type=_positive, default=16, help="height and width; default 16")
    parser.add_argument("--seed", type=_seed, default=42, help="default 42")
    options = parser.parse_args(arguments)
    if options.batch_size * options.size**2 == 1:
        parser.error("a batch needs more than one value a channel: raise --batch-size or --size")
    maps = feature_maps(options.batch_size, options.channels, options.size, options.seed)
    with torch.no_grad():
        comparisons = list(compare(maps, options.channels))
    shape = f"{options.batch_size} x {options.channels} x {options.size} x {options.size}"
    print(f"Batches of {shape}, seed {options.seed}; outputs are in units of one deviation.")
    print(_table(comparisons))


def _table(comparisons: list[Comparison]) -> str:
    heading = f"{'':27}{'largest':>11}{'BatchNorm2d':>24}{'HomeostaticNorm':>24}"
    columns = f"{'':27}{'difference':>11}" + 2 * f"{'mean':>14}{'var':>10}" + "   expected"
    lines = [heading, columns]
    for c in comparisons:
        moments = "".join(f"{mean:14.6f}{var:10.6f}" for mean, var in (c.standard, c.homeostatic))
        lines.append(f"{c.case:27}{c.largest_difference:11.2e}{moments}   {c.expected}")
    return "\n".join(lines)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"must be 0 to {LARGEST_SEED}, got {value}")
    return value


if __name__ == "__main__":
    main()
