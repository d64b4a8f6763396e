"""The two kinds of sweeps: of this package's networks, and of the user's own training code.

Everything in which they differ for cells, tables, figures and pages is a method here, so that no
other module asks which kind a sweep is of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from orchestration.errors import InputError
from orchestration.model.config import own_key
from orchestration.model.metric import EPOCH_METRICS, EVERY_METRIC, SPIKE_RATE, Metric, selected_on
from snn_norm.config import RunConfig
from snn_norm.norms.table import ARCHITECTURES, NORMS, Norm, label_of

LATER_KEYS: Mapping[str, Any] = {
    "precision": "float32",
    "validation_fraction": 0.0,
    "compile": "auto",
}
_LATER_KEYS_OF_PACKAGE: Mapping[str, Any] = {"trunk": "reference", "init": "default"}
_LATER_SPIKING_KEYS: Mapping[str, Any] = {
    "neuron": "lif",
    "reset": "subtract",
    "surrogate": "fast_sigmoid",
}


@dataclass(frozen=True)
class SweepKind:
    """A sweep of the user's own training code, whose keys and metrics may have any names.

    Args:
        train: the name of the user's own training code; None for this package's networks.
        baseline: the values of axes that paired tests compare with.
    """

    train: str | None
    baseline: Mapping[str, Any] = field(default_factory=dict)

    first_axes: ClassVar[tuple[str, ...]] = ()
    """The axes that every sweep has, before its other ones."""

    unnamed_axes: ClassVar[tuple[str, ...]] = ("train",)
    """The axes whose names are left out of labels."""

    styles: ClassVar[Mapping[str, Norm]] = {}
    """The values of the series that have a style of their own in figures."""

    has_layers: ClassVar[bool] = False
    """Whether the layers of its models are known, with their rates and diagnostics."""

    metric_may_change: ClassVar[bool] = True
    """Whether the spec names the metric: it may be another one than when trials were trained."""

    has_list_values: ClassVar[bool] = True
    """Whether a value of a key may be a list. It is stored as JSON."""

    @property
    def has_tests(self) -> bool:
        """Whether cells are compared by paired tests."""
        return bool(self.baseline)

    def check_networks(
        self, what: str, instead: str = "see differences(), of a spec with a baseline"
    ) -> None:
        """Raise InputError if this answer exists only for sweeps of this package's networks."""
        raise InputError(
            f"{what} is of this package's networks; this sweep trains {self.train}: {instead}"
        )

    def checked_key(self, key: str, _check: Callable[[str], None]) -> str:
        """A key of a grid or of a search's space.

        Args:
            check: raises ValueError if it is no key of this package's networks.

        Raises:
            ValueError: there can be no such key.
        """
        return own_key(key)

    def load_model(self, folder: Path, device: str, own_code: str | Iterable[str]) -> Any:
        """The model that a trial left in a folder.

        Raises:
            ValueError: it cannot be made here, or is of code that ``own_code`` does not name.
        """
        from snn_norm import load_own_model  # loads torch

        return load_own_model(folder, device, own_code=own_code)

    def ordered(self, keys: Iterable[str]) -> list[str]:
        """The keys of a grid in the order in which they become axes."""
        return list(keys)

    def is_key(self, _param: str) -> bool:
        """Whether a recorded parameter is a key of the configuration."""
        return True

    def later_keys(self, _given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keys that were added after trials had been recorded, with the values those trials had.

        Args:
            given: the known keys of a configuration.
        """
        return {}

    def comparable(self, value: Any) -> Any:
        """A value in a form in which equal ones train alike."""
        return json.dumps(value)  # to the user's code, 1, 1.0 and true are different

    def series(self, axes: Sequence[str]) -> str:
        """The axis whose values are compared, and have a colour each."""
        return next(iter([*self.baseline, *axes]))

    def series_name(self, series: str, value: str) -> str:
        """The name of one of the series in a legend."""
        return value if series == "train" else f"{series} {value}"

    def value_name(self, _axis: str, value: str) -> str:
        """The name of a value of an axis, or of the column ``against``, on a page."""
        return value

    def metric(self, name: str) -> Metric:
        """A metric by its name; larger accuracies are better, and less of everything else."""
        return Metric(name, "maximize" if name.endswith("accuracy") else "minimize")

    def selected_on(self, _given: Mapping[str, Any], metric: Metric) -> str:
        """What selects the best epochs of a configuration, in words."""
        return metric.name

    def epoch_metrics(self, recorded: Iterable[str]) -> list[str]:
        """The metrics of an epoch, in the order of a table's columns."""
        return sorted({"epoch_seconds", *recorded})

    def layer_metrics(self, _recorded: Iterable[str], *_prefixes: str) -> list[str]:
        """The recorded metrics of layers that have one of these prefixes."""
        return []

    def metrics_to_read(self, _wanted: Sequence[str]) -> Sequence[str]:
        """The metrics to read from MLflow for these metrics of this package's networks."""
        return [EVERY_METRIC]


class NetworkSweep(SweepKind):
    """A sweep of this package's networks."""

    first_axes = unnamed_axes = ("architecture", "norm")
    styles = NORMS
    has_layers = True
    metric_may_change = False
    has_list_values = False

    @property
    def has_tests(self) -> bool:
        return True

    def check_networks(self, what: str, instead: str = "") -> None:
        """Nothing to refuse."""

    def checked_key(self, key: str, check: Callable[[str], None]) -> str:
        check(key)
        return key

    def load_model(self, folder: Path, device: str, own_code: str | Iterable[str]) -> Any:
        from snn_norm import load_model

        return load_model(folder, device, own_code=own_code)

    def ordered(self, keys: Iterable[str]) -> list[str]:
        return [key for key in RunConfig.model_fields if key in set(keys)]

    def is_key(self, param: str) -> bool:
        return param in RunConfig.model_fields

    def later_keys(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        architecture = given.get("architecture")
        of_package = _LATER_KEYS_OF_PACKAGE if architecture in ARCHITECTURES else {}
        spiking = _LATER_SPIKING_KEYS if architecture == "snn" else {}
        return {**LATER_KEYS, **of_package, **spiking}

    def comparable(self, value: Any) -> Any:
        return value

    def series(self, _axes: Sequence[str]) -> str:
        return "norm"

    def series_name(self, series: str, value: str) -> str:
        return self.value_name(series, value)

    def value_name(self, axis: str, value: str) -> str:
        return label_of(value) if axis in ("norm", "against") else value

    def metric(self, name: str) -> Metric:
        return replace(super().metric(name), is_fraction=name.endswith("accuracy"))

    def selected_on(self, given: Mapping[str, Any], _metric: Metric) -> str:
        return selected_on(given["validation_fraction"])

    def epoch_metrics(self, recorded: Iterable[str]) -> list[str]:
        return [*EPOCH_METRICS, *sorted(self.layer_metrics(recorded, SPIKE_RATE))]

    def layer_metrics(self, recorded: Iterable[str], *prefixes: str) -> list[str]:
        return [name for name in recorded if name.startswith(prefixes)]

    def metrics_to_read(self, wanted: Sequence[str]) -> Sequence[str]:
        return wanted


NETWORKS = NetworkSweep(None)


def sweep_kind(train: str | None, baseline: Mapping[str, Any] | None = None) -> SweepKind:
    """The kind of a sweep, or of a configuration."""
    return NETWORKS if train is None else SweepKind(train, baseline or {})
