"""Evaluates a trained model on a test set: ``python -m snn_norm.evaluate MODEL [--dataset D]``.

On a CPU and on its own test set, the results equal those of its training to the last digit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.neurons.engine import choose_engine
from snn_norm.references import check_named
from snn_norm.shell import add_own_code, add_where, device_of
from snn_norm.training.evaluation import evaluate
from snn_norm.training.models.saved_model import TrainedModel, load_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate a model; the exit code is 0 for success, 2 for wrong input."""
    options = _parser().parse_args(arguments)
    try:
        model = load_model(options.model, device_of(options.device), own_code=options.own_code)
        config = model.description.config
        if options.dataset is None:
            check_named({"dataset": config.dataset}, options.own_code)
        dataset = _dataset(model, options.dataset or config.dataset, options.data)
        choose_engine(model.network, config.compile, model.mean.device)
        dataset = dataset.to(model.mean.device)
        images, labels = dataset.test_images, dataset.test_labels
        loss, accuracy = evaluate(model, images, labels, config.batch_size)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        result = {"dataset": dataset.name, "images": len(labels)}
        print(json.dumps({**result, "test_accuracy": accuracy, "test_loss": loss}))
        return 0
    print(f"{len(labels)} test images of {dataset.name}: accuracy {accuracy!r}, loss {loss!r}")
    if dataset.name == config.dataset:
        print(_comparison(model, accuracy))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m snn_norm.evaluate",
        description="Print a trained model's accuracy and loss on a test set.",
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, help="the folder of a model, or its model.safetensors")
    parser.add_argument(
        "--dataset",
        help="a data set's name, or package.module:function; default: the one it was trained on",
    )
    add_own_code(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    add_where(parser)
    return parser


def _dataset(model: TrainedModel, name: str, folder: Path) -> Dataset:
    """Load a data set in the size of the model's images.

    Raises:
        ValueError: it does not fit the model.
    """
    wanted = model.description
    dataset = load_dataset(name, folder, wanted.image_size)
    shape = tuple(dataset.test_images.shape[1:])
    if shape != wanted.sample_shape:
        raise ValueError(f"the model takes images {wanted.sample_shape}, {name!r} has {shape}")
    if dataset.num_classes > wanted.num_classes:
        raise ValueError(
            f"the model tells {wanted.num_classes} classes apart, {name!r} has "
            f"{dataset.num_classes}"
        )
    return dataset


def _comparison(model: TrainedModel, accuracy: float) -> str:
    trained = model.description.metrics.get("test_accuracy")
    epoch = f"epoch {model.description.epoch} of its training"
    if trained == accuracy:
        return f"the accuracy of {epoch}, to the last digit"
    return f"not that of {epoch}, {trained!r}"


if __name__ == "__main__":
    sys.exit(main())
