"""One training run from the shell: ``python -m snn_norm.train --help``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

import pydantic
import torch
from pydantic_core import ErrorDetails
from tqdm import tqdm

from snn_norm.config import MODEL_KEYS, RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.networks.cnn import make_model
from snn_norm.references import check_call
from snn_norm.shell import add_where, device_of
from snn_norm.training.epoch import EpochResult
from snn_norm.training.run import TrainingRun
from snn_norm.wording import in_words

_INTERRUPTED = 130
"""The exit code after Ctrl-C, by the convention of shells."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train one network, and print a line for each epoch.

    The exit code is 0 for success, 2 for wrong input, 130 if interrupted.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("snn_norm").setLevel(logging.INFO)
    try:
        run = _prepare(vars(_parser().parse_args(arguments)))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    interrupted = False
    try:
        while run.outcome is None:
            print(_line(_epoch_with_bar(run), run.config.epochs), flush=True)
    except KeyboardInterrupt:
        interrupted = True
    end = "interrupted" if interrupted else run.outcome
    best = run.best
    if best is None:
        print(f"no epoch with a finite loss; {end}")
    elif best.validation_accuracy is None:
        print(f"best test accuracy {best.test_accuracy:.2%} in epoch {best.epoch}; {end}")
    else:
        print(
            f"test accuracy {best.test_accuracy:.2%} in epoch {best.epoch}, "
            f"the best on held-out training images; {end}"
        )
    return _INTERRUPTED if interrupted else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m snn_norm.train",
        description="Train one network and print each epoch's results.",
        allow_abbrev=False,
        usage="%(prog)s --architecture A --norm N --dataset D --epochs E --seed S [options]",
    )
    required = parser.add_argument_group("what to train")
    model = parser.add_argument_group("model")
    training = parser.add_argument_group("training")
    for key, field in RunConfig.model_fields.items():
        group = required if field.is_required() else model if key in MODEL_KEYS else training
        known = "" if field.default is None or field.is_required() else f"; default {field.default}"
        # Values stay text here: RunConfig converts and checks them all, and names each wrong one.
        form: dict[str, Any] = (
            {"action": argparse.BooleanOptionalAction}
            if field.annotation == bool | None
            else {"metavar": "VALUE"}
        )
        group.add_argument(
            _flag(key),
            required=field.is_required(),
            default=argparse.SUPPRESS,
            help=f"{field.description}{known}",
            **form,
        )
    add_where(parser)
    return parser


def _prepare(options: dict[str, Any]) -> TrainingRun:
    """Check everything, then load the data set and build the network.

    Raises:
        ValueError: a key is wrong; the message has a line for each wrong key.
    """
    folder, device = options.pop("data"), device_of(options.pop("device"))
    try:
        config = RunConfig.model_validate(options, strict=False)
    except pydantic.ValidationError as invalid:
        raise ValueError("\n".join(_wrong_key(error) for error in invalid.errors())) from invalid
    _check_network(config)
    dataset = load_dataset(config.dataset, folder, config.image_size)
    return TrainingRun(config, dataset, device=device)


def _wrong_key(error: ErrorDetails) -> str:
    """The line for one wrong key; a message about several keys names them itself."""
    if not error["loc"]:
        return in_words(error)
    key = str(error["loc"][0])
    return f"{_flag(key)}: {in_words(error)} ({RunConfig.model_fields[key].description})"


def _check_network(config: RunConfig) -> None:
    """Detect a wrong name before a data set is downloaded in vain."""
    calls = config.own_calls()
    own = [key for key in ("architecture", "norm") if key in calls]
    for key in own:
        _, args, kwargs = calls[key]
        check_call(getattr(config, key), *args, **kwargs)
    if not own:
        keys = {"in_channels": 3, "num_classes": 10, "image_size": 32} | config.model_arguments()
        with torch.device("meta"):
            make_model(config.architecture, **keys)


def _epoch_with_bar(run: TrainingRun) -> EpochResult:
    images = len(run.dataset.train_labels)
    title = f"epoch {len(run.history) + 1}/{run.config.epochs}"
    with tqdm(total=images, desc=title, unit="image", leave=False, disable=None) as bar:
        return run.run_epoch(on_batch=bar.update)


def _line(result: EpochResult, epochs: int) -> str:
    held_out = ""
    if result.validation_accuracy is not None:
        held_out = (
            f"held out: loss {result.validation_loss:.4f}, "
            f"accuracy {result.validation_accuracy:7.2%}   "
        )
    return (
        f"epoch {result.epoch:{len(str(epochs))}}/{epochs}   "
        f"train: loss {result.train_loss:.4f}, accuracy {result.train_accuracy:7.2%}   "
        f"{held_out}"
        f"test: loss {result.test_loss:.4f}, accuracy {result.test_accuracy:7.2%}   "
        f"{result.images_per_second:.0f} images/s"
    )


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


if __name__ == "__main__":
    sys.exit(main())
