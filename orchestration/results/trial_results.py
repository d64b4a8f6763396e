"""The tables of a sweep with a row for each trial, epoch or layer."""

from __future__ import annotations

import json

import pandas as pd

from orchestration.reading.records import DIAGNOSTICS
from orchestration.record.names import LAYERS_TAG, SAMPLE_TAG
from orchestration.results import frames
from orchestration.results.effects.diagnostics import by_layer
from orchestration.results.effects.energy import energy, operations_of, samples_of
from orchestration.results.sweep_reader import SweepReader, named_cells, with_or_without_cell


class TrialResults(SweepReader):
    """The part of ``Results`` that is about single trials."""

    def trials(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return one row per finished trial, by architecture, norm, other axes and seed.

        Columns: ``run_id``, ``trial_key``, ``outcome`` (completed, collapsed, diverged),
        ``in_spec`` (False if the sweep's current spec does not want this trial), every parameter
        by its name, ``best_test_accuracy``, ``best_epoch``, ``last_<metric>`` (each epoch metric's
        value in the last epoch), ``started``, ``finished`` (UTC).

        Args:
            numbered: add the number of each trial's ``cell``, which is a row of best of seeds.
        """
        return with_or_without_cell(frames.all_trials(*self._read()), numbered)

    def curves(self, trials: pd.DataFrame | None = None, *, numbered: bool = False) -> pd.DataFrame:
        """Return one row per finished trial and epoch.

        Columns: ``run_id``, ``trial_key``, ``in_spec``, the grid's axes, ``seed``, ``epoch`` (from
        1), then one column per epoch metric, NaN if nothing was recorded.

        Args:
            trials: the numbered trials to read; by default all.
            numbered: see ``trials``.
        """
        once = self.snapshot()
        wanted = once.trials(numbered=True) if trials is None else trials
        by_epoch = frames.metrics_by_epoch(once.cells, map(str, once.records.metrics))
        recorded = [name for name in by_epoch if name in once.records.metrics]
        points = once.points(wanted["run_id"].tolist(), recorded)
        return with_or_without_cell(frames.curves_of(points, once.cells, wanted), numbered)

    def diagnostics(
        self, trials: pd.DataFrame | None = None, *, numbered: bool = False
    ) -> pd.DataFrame:
        """Return one row per finished trial, epoch and layer, with the layer's diagnostics.

        Epoch 0 is before the first step. Columns: ``run_id``, ``trial_key``, ``in_spec``, the
        grid's axes, ``seed``, ``epoch``, ``layer`` (in the network's order), then those of
        ``orchestration.results.effects.diagnostics``. A trial without diagnostics has no row.

        Args:
            trials: only these numbered trials.
            numbered: see ``trials``.
        """
        once = self.snapshot(DIAGNOSTICS)
        wanted = once.trials(numbered=True) if trials is None else trials
        recorded = once._diagnostics
        run_ids = wanted["run_id"].tolist() if recorded else []
        tags = once.records.tag_rows([LAYERS_TAG]) if recorded else ()
        orders = {run_id: json.loads(text) for run_id, _, text in tags}
        layers = by_layer(once.points(run_ids, recorded), orders)
        return with_or_without_cell(frames.with_trials(layers, once.cells, wanted), numbered)

    def operations(
        self, trials: pd.DataFrame | None = None, curves: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Return one row per trial and layer: the synaptic operations per image at its best epoch.

        Columns: ``run_id``, ``layer`` (in the network's order), ``accumulates``,
        ``multiply_accumulates``, ``energy_nj``, ``folded_energy_nj``;
        :mod:`snn_norm.networks.operations` says how they are counted. A trial of the user's own
        network has no row.

        Args:
            trials: the numbered trials to read; by default all.
            curves: the curves of these trials, if they have been read.
        """
        once = self.snapshot()
        wanted = once.trials(numbered=True) if trials is None else trials
        rates = once.curves(wanted) if curves is None else curves
        recorded = {run_id: text for run_id, _, text in once.records.tag_rows([SAMPLE_TAG])}
        return operations_of(wanted, rates, samples_of(wanted, recorded))

    def energy(
        self,
        trials: pd.DataFrame | None = None,
        curves: pd.DataFrame | None = None,
        *,
        numbered: bool = False,
    ) -> pd.DataFrame:
        """Return one row per cell: the operations and energy per image, and the accuracy.

        ``docs/analyses.md`` describes the columns.

        Args:
            trials: only these numbered trials.
            curves: their curves, if they have been read.
            numbered: make the number of each cell the index.
        """
        once = self.snapshot()
        once.cells.kind.check_networks("energy()")
        wanted = once.trials(numbered=True) if trials is None else trials
        wanted = wanted[wanted["cell"].notna()].astype({"cell": "int64"})
        table = energy(wanted, once.operations(wanted, curves), named_cells(once.cells))
        return table if numbered else table.reset_index(drop=True)
