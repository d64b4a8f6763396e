"""The settings of a cell as a study of Optuna, which is imported only where it is used. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestration.sweep.dimension import Dimension

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import TPESampler
    from optuna.study import Study


def study_of(
    dimensions: Sequence[Dimension], settings: Sequence[Mapping[str, Any]], scores: Sequence[float]
) -> Study:
    """A study in memory, with these settings as its trials in this order.

    Args:
        dimensions: the dimensions of the cell.
        settings: the values of each setting, which may lack some keys.
        scores: the score of each; larger is better. A setting without a finite one is the worst.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for values, score in zip(settings, scores, strict=True):
        present = [dimension for dimension in dimensions if dimension.key in values]
        is_finite = math.isfinite(score)
        study.add_trial(
            create_trial(
                # For Optuna, a pruned trial without a value is the worst one.
                state=TrialState.COMPLETE if is_finite else TrialState.PRUNED,
                value=score if is_finite else None,
                params={
                    dimension.key: dimension.code(values[dimension.key]) for dimension in present
                },
                distributions={dimension.key: distribution_of(dimension) for dimension in present},
            )
        )
    return study


def distribution_of(dimension: Dimension) -> BaseDistribution:
    """The distribution of Optuna for a dimension. The values of a list are numbered."""
    from optuna import distributions

    low, high, is_log = dimension.low, dimension.high, dimension.is_log
    if dimension.values:
        return distributions.CategoricalDistribution(range(len(dimension.values)))
    if dimension.is_whole:
        return distributions.IntDistribution(int(low), int(high), log=is_log)
    return distributions.FloatDistribution(low, high, log=is_log)


def sampler(seed: str) -> TPESampler:
    """The sampler of a round. Its random numbers are derived from the text ``seed``."""
    from optuna.samplers import TPESampler

    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    return TPESampler(n_startup_trials=1, multivariate=True, constant_liar=True, seed=number)
