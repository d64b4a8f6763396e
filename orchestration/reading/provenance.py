"""Where a sweep's numbers come from: its spec, versions, machines, and the runs in MLflow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from mlflow import MlflowClient

from orchestration.record.client import runs_of_role
from orchestration.record.machine import COMMIT_TAG, ENGINE_TAG, MACHINE_TAG, SOFTWARE_TAG
from orchestration.record.names import TRAINING_PAGES, VERSION_TAG, spec_from_tags
from orchestration.sweep.spec import SweepSpec

__all__ = ["Provenance", "read_provenance"]

_FACTS = {
    "snn-norm": VERSION_TAG,
    "commit": COMMIT_TAG,
    "software": SOFTWARE_TAG,
    "machine": MACHINE_TAG,
    "spiking layers": ENGINE_TAG,
}


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from.

    Args:
        server: the tracking server's address; empty where the runs were read without one.
        experiment_id: the sweep's experiment.
        parent_run_id: the sweep's own run; None where it has none.
        spec: as YAML; empty where none is recorded.
        facts: what the runs say, such as ``machine``: each value, and how many runs say so.
    """

    server: str
    experiment_id: str
    parent_run_id: str | None
    spec: str
    facts: dict[str, dict[str, int]]

    def run_url(self, run_id: str) -> str:
        """A run's page in MLflow; empty where there is no server that could show it."""
        return self._url(f"experiments/{self.experiment_id}/runs/{run_id}")

    def runs_url(self, run_ids: Iterable[str]) -> str:
        """MLflow's comparison of these runs; the page of the one if there is one."""
        ids = list(run_ids)
        if len(ids) == 1:
            return self.run_url(ids[0])
        return self._url(
            f"compare-runs?runs={quote(json.dumps(ids))}"
            f"&experiments={quote(json.dumps([self.experiment_id]))}"
        )

    def experiment_url(self) -> str:
        """The list of the experiment's runs in MLflow."""
        return self._url(f"experiments/{self.experiment_id}/runs")

    def _url(self, page: str) -> str:
        separator = "&" if "?" in page else "?"
        return f"{self.server}/#/{page}{separator}{TRAINING_PAGES}" if self.server else ""


def read_provenance(client: MlflowClient, name: str, run_ids: Iterable[str]) -> Provenance:
    """Read what a sweep's runs say of themselves.

    Args:
        client: MLflow's client.
        name: the sweep's name, which is that of its experiment.
        run_ids: the trials whose tags count.
    """
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None, "the answers were read from it"
    parents = list(runs_of_role(client, [experiment.experiment_id], "sweep"))
    wanted = set(run_ids)
    trials = [
        run
        for run in runs_of_role(client, [experiment.experiment_id], "trial")
        if run.info.run_id in wanted
    ]
    spec = spec_from_tags(parents[0].data.tags) if parents else None
    facts = {}
    for fact, tag in _FACTS.items():
        values = Counter(run.data.tags[tag] for run in trials if tag in run.data.tags)
        if values:
            facts[fact] = dict(sorted(values.items()))
    return Provenance(
        server=_server(client.tracking_uri),
        experiment_id=experiment.experiment_id,
        parent_run_id=parents[0].info.run_id if parents else None,
        spec=_yaml(spec) if spec else "",
        facts=facts,
    )


def _yaml(spec: str) -> str:
    """A spec's JSON as its user would write it: from its name to its retries, a line a key."""
    given = json.loads(spec)
    order = [key for key in SweepSpec.model_fields if key in given]
    lines = [f"{key}: {json.dumps(given[key])}" for key in order if key != "grid"]
    grid = [f"  - {json.dumps(entry)}" for entry in given.get("grid", [])]
    return "\n".join([*lines, "grid:", *grid])


def _server(tracking_uri: str) -> str:
    """The address as a page may show it: a user and password in it stay out."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
