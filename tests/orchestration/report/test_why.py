"""The figure "Why"."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from recorded import RecordedTrial, Recorder

from orchestration.render.figures import style
from orchestration.report.figures.why import why
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec
from orchestration.tables import report_data
from orchestration.tables.report_data import read_report_data

GRID = [
    {"architecture": "ann", "norm": ["batchnorm", "none"]},
    {"architecture": "snn", "norm": ["bntt"]},
]


@pytest.fixture
def results(sqlite_database: Callable[[], str]) -> Results:
    """A spiking network's support is not its rate; of three seeds, the median counts."""
    given = {"name": "s", "dataset": "digits", "epochs": 2, "seeds": [1, 2, 3], "grid": GRID}
    spec = SweepSpec.from_dict(given)
    recorder = Recorder(uri := sqlite_database())
    experiment, parent = recorder.sweep("s", spec.to_json())
    for one in spec.trials():
        config = one.config.given()
        rates = [0.1 * config["seed"] ** 2, 0.2]
        metrics = {
            "rate.b": rates,
            "rate.a": rates,
            "gradient.b": [1e-3, 0.0],
            "gradient.a": [1, 1],
        }
        spiking = config["architecture"] == "snn"
        metrics |= {"support.b": [0.5, 0.5] if spiking else rates, "support.a": rates}
        tags = {"snn_sweep.layers": json.dumps(["b", "a"])}
        trial = RecordedTrial(config, [0.5, 0.5], metrics=metrics, tags=tags)
        recorder.trial(experiment, parent, trial)
    return Results("s", tracking_uri=uri)


def test_networks_stand_side_by_side_the_one_without_a_norm_first(results: Results) -> None:
    with style():
        picture = why(read_report_data(results))
    assert picture is not None
    artificial, spiking = picture.figure.subfigs
    assert [part.get_suptitle() for part in (artificial, spiking)] == [
        "artificial CNN",
        "spiking CNN",
    ]
    shown = [axes for axes in artificial.axes if axes.images]
    assert [axes.get_title() for axes in shown if axes.get_title()] == ["no norm", "BatchNorm"]
    assert len(shown) == 2 * 2  # without the support of rectified linear units
    assert len([axes for axes in spiking.axes if axes.images]) == 3
    rates = shown[0]
    assert [label.get_text() for label in rates.get_yticklabels()] == ["b", "a"]
    np.testing.assert_allclose(rates.images[0].get_array(), [[0.4, 0.2], [0.4, 0.2]])


def test_it_is_told_in_words_to_those_who_do_not_see_it(results: Results) -> None:
    with style():
        picture = why(read_report_data(results))
    assert picture is not None
    assert "spikes a neuron and step: b 0.4 to 0.2, a 0.4 to 0.2." in picture.description


def test_of_many_networks_some_are_read_and_drawn(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_data, "MOST_DIAGNOSED", 2)
    data = read_report_data(results)
    assert (data.diagnostics["cell"].nunique(), len(data.diagnosed)) == (2, 3)
    with style():
        picture = why(data)
    assert picture is not None
    assert "of 3 networks are drawn" in picture.caption


def test_a_sweep_without_diagnostics_has_no_such_figure(
    sqlite_database: Callable[[], str],
) -> None:
    recorder = Recorder(uri := sqlite_database())
    experiment, _ = recorder.sweep("old")
    config = {"seed": 1, "architecture": "ann", "norm": "none"}
    recorder.trial(experiment, None, RecordedTrial(config, [0.5], key="a"))
    assert why(read_report_data(Results("old", tracking_uri=uri))) is None
