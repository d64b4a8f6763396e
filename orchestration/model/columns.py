"""The columns of tables of trials, cells, pairs of cells and models, beside axes and metrics.

``orchestration.results`` builds its tables by them. The user's own keys and metrics are columns of
the same tables, so they must have other names.
"""

from __future__ import annotations

TRIAL = ("run_id", "trial_key", "outcome", "in_spec", "best_epoch", "started", "finished", "cell")

CURVE = ("epoch", "epoch_seconds")

CELL = (
    "best", "best_seed", "mean", "std", "ci_low", "ci_high",
    "n_seeds", "n_expected", "n_collapsed", "n_diverged", "expected_best", "n_common",
    "selected_on",
)  # fmt: skip

CHOICE = ("n", "expected_best", "selected_on", "cell")

PAIR = (
    "compared", "against", "difference", "ci_low", "ci_high", "n_pairs", "t", "p", "p_holm",
    "selected_on",
)  # fmt: skip

MODEL = ("seed", "run_id", "outcome", "epoch", "bytes", "missing")

DECISION = (
    "e_value", "verdict", "decided_at", "more_seeds", "more_hours", "hours_of", "bound",
    "n_uncounted", "n_failed", "n_failed_against", "null_hypothesis", "decided_by",
    "excluded_above", "unseen_share",
)  # fmt: skip
"""Further columns of declared comparisons, which exist only with the key ``compare``."""

AFTER_AXES = ("best", "none", "best_a")
"""The first column after the axes, in tables of cells, of gaps, and of two sweeps."""

ALL = frozenset({"train", "seed", *TRIAL, *CURVE, *CELL, *CHOICE, *PAIR, *MODEL, *AFTER_AXES})
