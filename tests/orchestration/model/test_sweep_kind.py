"""The user's own keys and metrics mean nothing, even if they have the names of this package's."""

from __future__ import annotations

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import sweep_kind

OWN, NETWORKS = sweep_kind("lab:Run", {"depth": 18}), sweep_kind(None)


def test_values_of_own_axes_keep_their_names() -> None:
    assert NETWORKS.value_name("norm", "batchnorm") == "BatchNorm"
    assert OWN.value_name("norm", "batchnorm") == "batchnorm"
    assert OWN.series_name("norm", "batchnorm") == "norm batchnorm"


def test_own_keys_get_no_defaults_of_this_package() -> None:
    given = {"architecture": "snn"}
    assert NETWORKS.later_keys(given)["neuron"] == "lif"
    assert OWN.later_keys(given) == {}


def test_own_metrics_are_neither_fractions_nor_of_layers() -> None:
    assert NETWORKS.metric("test_accuracy") == Metric("test_accuracy", is_fraction=True)
    assert OWN.metric("test_accuracy") == Metric("test_accuracy")
    recorded = ["spike_rate.one", "loss"]
    assert NETWORKS.layer_metrics(recorded, "spike_rate.") == ["spike_rate.one"]
    assert OWN.layer_metrics(recorded, "spike_rate.") == []
    assert OWN.epoch_metrics(recorded) == ["epoch_seconds", "loss", "spike_rate.one"]


def test_the_baseline_decides_what_own_sweeps_compare() -> None:
    assert OWN.series(["method", "depth"]) == "depth"
    assert sweep_kind("lab:Run").series(["method", "depth"]) == "method"
    assert (OWN.has_tests, sweep_kind("lab:Run").has_tests) == (True, False)
