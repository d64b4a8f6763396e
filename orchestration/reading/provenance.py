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
from orchestration.sweep.recorded_spec import spec_fields
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
        server: the tracking server's address; empty if the runs were read without one.
        experiment_id: the sweep's experiment; empty if there is none.
        parent_run_id: the sweep's own run; None if it has none.
        spec: the spec as YAML; empty if none is recorded.
        facts: the values of each fact, such as ``machine``, with the number of runs that have it.
    """

    server: str
    experiment_id: str
    parent_run_id: str | None
    spec: str
    facts: dict[str, dict[str, int]]

    def run_url(self, run_id: str) -> str:
        """The address of a run's page in MLflow; empty without a server."""
        return self._url(f"experiments/{self.experiment_id}/runs/{run_id}")

    def runs_url(self, run_ids: Iterable[str]) -> str:
        """The address of MLflow's comparison of these runs; a single run's page for one run."""
        ids = list(run_ids)
        if len(ids) == 1:
            return self.run_url(ids[0])
        return self._url(
            f"compare-runs?runs={quote(json.dumps(ids))}"
            f"&experiments={quote(json.dumps([self.experiment_id]))}"
        )

    def experiment_url(self) -> str:
        """The address of the list of the experiment's runs in MLflow."""
        return self._url(f"experiments/{self.experiment_id}/runs")

    def _url(self, page: str) -> str:
        separator = "&" if "?" in page else "?"
        return f"{self.server}/#/{page}{separator}{TRAINING_PAGES}" if self.server else ""


def provenance_of(
    records: Records, tracking_uri: str | None, run_ids: Collection[str]
) -> Provenance:
    """Collect where the numbers of these trials of a sweep come from."""
    wanted = set(run_ids)
    counts: dict[str, Counter[str]] = {tag: Counter() for tag in _FACTS.values()}
    for run_id, tag, value in records.tag_rows(list(counts)):
        if run_id in wanted:
            counts[tag][value] += 1
    return Provenance(
        # The runs of an archive belong to no experiment.
        server=_server(tracking_uri or "") if records.experiment_id else "",
        experiment_id=records.experiment_id,
        parent_run_id=records.parent_run_id,
        spec=_yaml(records.spec) if records.spec else "",
        facts={
            fact: dict(sorted(counts[tag].items())) for fact, tag in _FACTS.items() if counts[tag]
        },
    )


def _yaml(spec: str) -> str:
    """A spec's JSON as YAML in the usual order of keys, with one line for each."""
    given = spec_fields(spec)
    order = [key for key in SweepSpec.model_fields if key in given]
    lines = [f"{key}: {json.dumps(given[key])}" for key in order if key != "grid"]
    grid = [f"  - {json.dumps(entry)}" for entry in given.get("grid", [])]
    return "\n".join([*lines, "grid:", *grid])


def _server(tracking_uri: str) -> str:
    """The address without its user and password, so that a page may show it."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
