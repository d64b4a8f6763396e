"""Where a sweep's numbers come from: its spec, versions, machines, and the runs in MLflow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from orchestration.reading.records import Records
from orchestration.record.machine import COMMIT_TAG, ENGINE_TAG, MACHINE_TAG, SOFTWARE_TAG
from orchestration.record.names import TRAINING_PAGES, VERSION_TAG
from orchestration.sweep.spec import SweepSpec

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
        experiment_id: the sweep's experiment; empty where there is none.
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


def provenance_of(
    records: Records, tracking_uri: str | None, run_ids: Collection[str]
) -> Provenance:
    """Give what a sweep's runs say of themselves.

    Args:
        records: the sweep's.
        tracking_uri: where people may look at its runs, if anywhere.
        run_ids: the trials whose tags count.
    """
    wanted = set(run_ids)
    said: dict[str, Counter[str]] = {tag: Counter() for tag in _FACTS.values()}
    for run_id, tag, value in records.tag_rows(list(said)):
        if run_id in wanted:
            said[tag][value] += 1
    return Provenance(
        # An archive's runs are in no experiment.
        server=_server(tracking_uri or "") if records.experiment_id else "",
        experiment_id=records.experiment_id,
        parent_run_id=records.parent_run_id,
        spec=_yaml(records.spec) if records.spec else "",
        facts={fact: dict(sorted(said[tag].items())) for fact, tag in _FACTS.items() if said[tag]},
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
