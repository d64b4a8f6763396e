"""Two versions of the code by the same trials: pairs, their test, and what is equal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner
from recorded import RecordedTrial, Recorder
from scipy import stats

from orchestration import Results, SweepSpec
from orchestration.cli.main import cli
from orchestration.errors import InputError

OLD, NEW = "0123456789abcdef" * 2, "fedcba9876543210" * 2
ACCURACIES = {
    "none": ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]),
    "batchnorm": ([0.9, 0.8, 0.85], [0.88, 0.81, 0.80]),
}
SPEC = {
    "name": "versions",
    "dataset": "digits",
    "epochs": 1,
    "seeds": [1, 2, 3],
    "grid": [{"architecture": "ann", "norm": list(ACCURACIES), "width": 2}],
}


@pytest.fixture(params=["sqlite", "postgres"])
def uri(request: pytest.FixtureRequest) -> str:
    """A sweep that was run by one commit and then by another, with --fresh."""
    uri: str = request.getfixturevalue(f"{request.param}_database")()
    spec = SweepSpec.from_dict(SPEC)
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep("versions", spec.to_json())
    for side, commit in enumerate((OLD, NEW)):
        for trial in spec.trials():
            config = trial.config
            accuracy = ACCURACIES[config.norm][side][config.seed - 1]
            tags = {"snn_sweep.version": "0.1.0", "snn_sweep.commit": commit}
            if commit == OLD:
                tags["snn_sweep.role"] = "replaced"
            one = RecordedTrial(config.given(), [accuracy], key=trial.key, tags=tags)
            recorder.trial(experiment, parent, one)
    return uri


def test_pairs_are_of_a_seed_and_tested(uri: str) -> None:
    tables = []
    for way in ({"tracking_uri": uri}, {"database_url": uri}):
        tables.append(Results("versions", **way).compare_versions(OLD[:8], NEW))
        # What counts in every other table is the new runs alone.
        assert Results("versions", **way).best_of_seeds()["best"].tolist() == [0.7, 0.88]
    assert tables[0].equals(tables[1])
    same, other = tables[0].to_dict("records")
    assert (same["norm"], same["n_pairs"], same["n_equal"]) == ("none", 3, 3)
    assert (same["difference_pp"], same["mean_a"]) == (0, same["mean_b"])
    assert np.isnan(same["p"])
    a, b = map(np.array, ACCURACIES["batchnorm"])
    expected = stats.ttest_rel(a, b)
    assert (other["norm"], other["n_pairs"], other["n_equal"]) == ("batchnorm", 3, 0)
    assert other["mean_a"] == pytest.approx(a.mean())
    assert other["mean_b"] == pytest.approx(b.mean())
    assert other["difference_pp"] == pytest.approx(100 * (a - b).mean())
    assert other["t"] == pytest.approx(expected.statistic)
    assert other["p"] == other["p_holm"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert other["ci_low_pp"] == pytest.approx(100 * interval.low)
    assert other["ci_high_pp"] == pytest.approx(100 * interval.high)


def test_a_version_that_is_none_or_both_is_refused(sqlite_database: Callable[[], str]) -> None:
    spec, recorder = SweepSpec.from_dict(SPEC), Recorder(sqlite_database())
    experiment, parent = recorder.sweep("versions", spec.to_json())
    tags = {"snn_sweep.version": "0.1.0", "snn_sweep.commit": OLD}
    recorder.trial(experiment, parent, RecordedTrial(spec.trials()[0].config.given(), tags=tags))
    results = Results("versions", tracking_uri=recorder.uri)
    there = r"there are: 0\.1\.0, commit 0123456789ab \(1 runs\).*--fresh"
    for unknown in ("0.2.0", NEW, OLD[:6]):
        with pytest.raises(InputError, match=f"no finished run is of version '{unknown}'; {there}"):
            results.compare_versions(unknown, OLD)
    with pytest.raises(InputError, match=r"1 runs are of '0\.1\.0' and of '01234567'"):
        results.compare_versions("0.1.0", OLD[:8])


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_the_command_prints_it(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SNN_SWEEP_DATABASE_URL", uri)
    monkeypatch.setenv("COLUMNS", "100")
    told = CliRunner().invoke(cli, ["compare", "versions", "--at", OLD[:8], NEW[:8]])
    assert told.exit_code == 0, told.output
    assert f"A is {OLD[:8]}, B is {NEW[:8]}" in told.stdout
    none = next(line for line in told.stdout.splitlines() if " none " in line)
    assert none.split()[2:] == ["60.00", "60.00", "0.00", "0.00", "to", "0.00", "3", "3", "–"]
    for arguments in (["versions"], ["versions", "versions", "--at", OLD, NEW]):
        refused = CliRunner().invoke(cli, ["compare", *arguments])
        assert refused.exit_code == 2
        assert "takes two sweeps, or one with --at" in refused.stderr
