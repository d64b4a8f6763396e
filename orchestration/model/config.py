"""The configuration of a trial: this package's ``RunConfig``, or that of own training code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from orchestration.model import columns
from snn_norm.config import RunConfig
from snn_norm.references import is_generator_function, load_reference


class Section(BaseModel):
    """A section of a spec, whose values must have exactly their types; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def own_key(key: str) -> str:
    """Check a key of the user's own training code.

    Raises:
        ValueError: MLflow refuses keys of this form, or a column of tables has this name.
    """
    if not _NAME.fullmatch(key):
        raise ValueError(
            f"must be letters, digits and _ . - from a letter on, at most 100, got {key[:120]!r}"
        )
    if key in columns.ALL:
        raise ValueError(
            "is a name that the sweep's own parameters and tables use: rename your key"
        )
    return key


def text_of(value: Any) -> str:
    """A value as MLflow's parameters hold it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


class OwnConfig(Section):
    """Everything that decides the numbers of one run of the user's own training code.

    Two configurations are equal if their JSON is: 1, 1.0 and true are different values to the
    user's code. A value may be a list, and lists may be nested.
    """

    train: str = Field(description="package.module:Name")
    params: tuple[tuple[str, Any], ...] = Field((), description="the user's own keys")
    epochs: int | None = Field(None, ge=1, description="the most; None sets no limit")
    seed: Annotated[int, RunConfig.model_fields["seed"]]

    stop_when_collapsed_after: ClassVar[None] = None
    """Own training code decides itself when it is done."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnConfig) and self._text() == other._text()

    def __hash__(self) -> int:
        return hash(self._text())

    def _text(self) -> str:
        return json.dumps(self.given(), sort_keys=True)

    def passed(self) -> dict[str, Any]:
        """The arguments of the user's code: its own keys, ``epochs`` if set, and the seed."""
        epochs = {} if self.epochs is None else {"epochs": self.epochs}
        params = {key: _as_lists(value) for key, value in self.params}
        return {**params, **epochs, "seed": self.seed}

    def given(self) -> dict[str, Any]:
        """The configuration as a run records it."""
        return {"train": self.train, **self.passed()}

    def own_calls(self) -> dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]]:
        """How the user's code is called, in the form of ``RunConfig.own_calls``; imports it."""
        try:
            has_state = is_generator_function(load_reference(self.train))
        except ValueError:  # the check of the call reports it
            has_state = False
        if has_state:
            form = "a generator function is called with (config, device, state)"
            return {"train": (form, ("config", "device", "state"), {})}
        return {"train": ("a run is made with (config, device)", ("config", "device"), {})}

    @property
    def named_code(self) -> tuple[str, ...]:
        """The names in this configuration that may refer to the user's own code."""
        return (self.train,)

    @property
    def kind(self) -> str:
        """A label that trials of about the same cost share."""
        return self.train

    @property
    def epoch_cost(self) -> float:
        """The relative cost of an epoch: the same for all, as nothing is known about own code."""
        return 1.0


def _as_lists(value: Any) -> Any:
    """A copy of a value, with lists where the configuration holds tuples."""
    return list(map(_as_lists, value)) if isinstance(value, list | tuple) else value


Config = RunConfig | OwnConfig


def read_config(given: Mapping[str, Any]) -> Config:
    """The configuration whose ``given()`` returned these values."""
    if "train" not in given:
        return RunConfig(**given)
    fields = {name: given[name] for name in ("train", "epochs", "seed") if name in given}
    return OwnConfig(**fields, params=tuple((k, v) for k, v in given.items() if k not in fields))
