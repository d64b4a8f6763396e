"""Energy from records: of which epoch, summed over what, and where there is none."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from orchestration.results.effects.energy import Sample, energy, operations_of, samples_of
from snn_norm.networks.operations import operations
from snn_norm.networks.table import make_trunk

LAYERS = [*(f"conv{n}" for n in range(1, 7)), "hidden"]
SAMPLE = Sample(channels=1, image_size=16, classes=10)


def trial(run_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "run_id": run_id, "architecture": "snn", "norm": "bntt", "dataset": "digits", "width": 4,
        "image_size": 16, "num_steps": 5, "best_epoch": 2, "best_test_accuracy": 0.5, "cell": 0,
        **changes,
    }  # fmt: skip


def rates(run_id: str, *by_epoch: float) -> pd.DataFrame:
    rows = [
        {"run_id": run_id, "epoch": epoch, **{f"spike_rate.{layer}": rate for layer in LAYERS}}
        for epoch, rate in enumerate(by_epoch, 1)
    ]
    return pd.DataFrame(rows)


def test_the_rates_are_those_of_the_best_epoch() -> None:
    found = operations_of(pd.DataFrame([trial("a")]), rates("a", 0.1, 0.2, 0.3), {"a": SAMPLE})
    expected = operations(
        make_trunk("reference", 4), "bntt", in_channels=1, num_classes=10, image_size=16,
        num_steps=5, rates=dict.fromkeys(LAYERS, 0.2),
    )  # fmt: skip
    assert found["layer"].tolist() == [*LAYERS, "classifier"]
    assert found["accumulates"].tolist() == [one.accumulates for one in expected]
    assert found["energy_nj"].sum() == pytest.approx(sum(one.nanojoules for one in expected))
    folded = sum(one.folded_nanojoules for one in expected)
    assert found["folded_energy_nj"].sum() == pytest.approx(folded)
    assert folded < found["energy_nj"].sum()


def test_an_artificial_network_has_no_rates() -> None:
    curves = pd.concat([rates("a", 0.1, 0.2), pd.DataFrame([{"run_id": "b", "epoch": 2}])])
    given = [trial("a"), trial("b", architecture="ann", norm="batchnorm", num_steps=None)]
    found = operations_of(pd.DataFrame(given), curves, {"a": SAMPLE, "b": SAMPLE})
    artificial = found[found["run_id"] == "b"]
    assert len(artificial) == 8
    assert (artificial["accumulates"] == 0).all()
    assert (artificial["multiply_accumulates"] > 0).all()


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "my:Net"}, {"best_epoch": None}, {"run_id": "elsewhere"}, {"best_epoch": 9}],
)
def test_where_nothing_can_be_said_nothing_is(changes: dict[str, Any]) -> None:
    given = pd.DataFrame([{**trial("a"), **changes}])
    assert operations_of(given, rates("a", 0.1, 0.2), {"a": SAMPLE}).empty


def test_a_sample_is_as_recorded_or_as_the_packaged_data_set() -> None:
    given = pd.DataFrame([trial("a"), trial("b", dataset="my:data"), trial("c", dataset="my:data")])
    recorded = json.dumps({"channels": 2, "image_size": 34, "classes": 11, "sequences": True})
    assert samples_of(given, {"b": recorded}) == {"a": SAMPLE, "b": Sample(2, 34, 11, True)}


def test_a_cell_is_the_mean_over_its_seeds() -> None:
    given = [trial("a"), trial("b", best_test_accuracy=0.7), trial("c", cell=1)]
    counted = pd.DataFrame(
        {
            "run_id": ["a", "a", "b"],
            "accumulates": [1.0, 2.0, 5.0],
            "multiply_accumulates": [0.0, 1.0, 1.0],
            "energy_nj": [1.0, 1.0, 4.0],
            "folded_energy_nj": [1.0, 0.0, 3.0],
        }
    )
    cells = pd.DataFrame({"norm": ["bntt", "none"], "selected_on": ["the test set"] * 2})
    found = energy(pd.DataFrame(given), counted, cells)
    assert found.index.tolist() == [0]
    row = found.loc[0]
    assert (row["accuracy"], row["accumulates"], row["energy_nj"]) == (0.6, 4.0, 3.0)
    assert row["n_seeds"] == 2
    # mean 3, std √2, n 2: 3 ± 12.706 · √2 / √2
    assert row["energy_ci_high"] - row["energy_nj"] == pytest.approx(12.706, abs=1e-3)
    # mean 2, std √2, n 2
    assert row["folded_energy_nj"] == 2.0
    assert row["folded_energy_ci_low"] - row["folded_energy_nj"] == pytest.approx(-12.706, abs=1e-3)
    assert row["selected_on"] == "the test set"
