"""The configuration of a trial of the user's own training code, beside our own's ``RunConfig``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from orchestration.model.section import Section
from snn_norm.config import RunConfig
from snn_norm.references import is_generator_function, load_reference

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")

RESERVED_NAMES = frozenset({
    # what this project's parameters and tables say of every trial
    "train", "seed", "run_id", "trial_key", "outcome", "in_spec", "started", "finished", "cell",
    "epoch", "epoch_seconds", "best_epoch",
    # of a cell, and of a pair of them
    "best", "best_seed", "best_a", "none", "mean", "std", "ci_low", "ci_high", "n_seeds",
    "n_expected", "n_common", "n_collapsed", "n_diverged", "selected_on", "n", "expected_best",
    "compared", "against", "difference", "n_pairs", "t", "p", "p_holm",
    # of a model
    "bytes", "missing",
})  # fmt: skip
"""Names that keys and metrics of the user's own may not have."""


def own_key(key: str) -> str:
    """Check a key of the user's own training code.

    Raises:
        ValueError: it has a form that MLflow refuses, or it is one of ``RESERVED_NAMES``.
    """
    if not _NAME.fullmatch(key):
        raise ValueError(
            f"must be letters, digits and _ . - from a letter on, at most 100, got {key[:120]!r}"
        )
    if key in RESERVED_NAMES:
        raise ValueError(
            "is a name that the sweep's own parameters and tables use: give your key another one"
        )
    return key


def text_of(value: Any) -> str:
    """A value as MLflow's parameters have it: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


class OwnConfig(Section):
    """Everything that decides the numbers of one run of the user's own training code.

    Equal configurations have equal texts: 1, 1.0 and true are different values to the user's code.
    A value may be a list, of values and lists.
    """

    train: str = Field(description="package.module:Name")
    params: tuple[tuple[str, Any], ...] = Field((), description="the user's own keys")
    epochs: int | None = Field(None, ge=1, description="the most; None is as many as it wants")
    seed: Annotated[int, RunConfig.model_fields["seed"]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnConfig) and self._text() == other._text()

    def __hash__(self) -> int:
        return hash(self._text())

    def _text(self) -> str:
        return json.dumps(self.given(), sort_keys=True)

    def passed(self) -> dict[str, Any]:
        """What the user's code is given: its own keys, ``epochs`` if there are any, the seed."""
        epochs = {} if self.epochs is None else {"epochs": self.epochs}
        params = {key: _as_lists(value) for key, value in self.params}
        return {**params, **epochs, "seed": self.seed}

    def given(self) -> dict[str, Any]:
        """What a record of the run holds."""
        return {"train": self.train, **self.passed()}

    def own_calls(self) -> dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]]:
        """How the user's code is called, as of ``RunConfig``; imports it."""
        try:
            has_state = is_generator_function(load_reference(self.train))
        except ValueError:  # which the call will say
            has_state = False
        if has_state:
            form = "a generator function is called with (config, device, state)"
            return {"train": (form, ("config", "device", "state"), {})}
        return {"train": ("a run is made with (config, device)", ("config", "device"), {})}

    @property
    def named_code(self) -> tuple[str, ...]:
        """The names that may be of the user's own code."""
        return (self.train,)

    @property
    def kind(self) -> str:
        """What trials of about the same cost share."""
        return self.train

    @property
    def epoch_cost(self) -> float:
        """How long an epoch takes, in no unit: nothing is known of it."""
        return 1.0


def _as_lists(value: Any) -> Any:
    """A value as YAML has it, to be changed by nobody else."""
    return list(map(_as_lists, value)) if isinstance(value, list | tuple) else value


Config = RunConfig | OwnConfig


def read_config(given: Mapping[str, Any]) -> Config:
    """A configuration from what its ``given()`` gave."""
    if "train" not in given:
        return RunConfig(**given)
    ours = {name: given[name] for name in ("train", "epochs", "seed") if name in given}
    return OwnConfig(**ours, params=tuple((k, v) for k, v in given.items() if k not in ours))
