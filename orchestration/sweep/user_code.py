"""Checks the names in a spec: architectures, norms, data sets, and the user's own code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestration.model.config import Config
from snn_norm.data.table import DATASETS
from snn_norm.norms.table import ARCHITECTURES, NORMS, norms_of
from snn_norm.references import (
    METHODS_OF_A_RUN,
    check_call,
    is_reference,
    load_reference,
    source_digest,
)
from snn_norm.wording import described, did_you_mean


def wrong_names(values: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the names in a configuration, by key; checks text values only."""
    architecture, norm = values.get("architecture"), values.get("norm")
    messages = {
        "architecture": _unless_known(architecture, ARCHITECTURES),
        "norm": _wrong_norm(norm, architecture),
        "dataset": _unless_known(values.get("dataset"), DATASETS),
    }
    return {key: message for key, message in messages.items() if message}


def _wrong_norm(name: object, architecture: object) -> str | None:
    if architecture not in ARCHITECTURES:
        # The user's own network gets the name and decides what to do with it: every norm is valid.
        return _unless_known(name, NORMS)
    assert isinstance(architecture, str)
    owners = ", ".join(NORMS[name].layers) if isinstance(name, str) and name in NORMS else ""
    hint = f", which belongs to architecture {owners}" if owners else None
    return _unless_known(name, norms_of(architecture), f" for architecture {architecture}", hint)


def _unless_known(
    name: object, known: Iterable[str], scope: str = "", hint: str | None = None
) -> str | None:
    valid = list(known)
    if not isinstance(name, str) or name in valid or is_reference(name):
        return None
    hint = did_you_mean(name, valid) if hint is None else hint
    return (
        f"must be one of {', '.join(valid)}{scope}, or package.module:name for your own, "
        f"got {described(name)}{hint}"
    )


class References:
    """The user's own code that trials name; each name is imported and checked once."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}
        self._wrong: dict[tuple[Any, ...], str | None] = {}

    def digests(self, config: Config) -> dict[str, str]:
        """The digest of the source of each of the user's modules that a checked trial names."""
        for name in filter(is_reference, config.named_code):
            if name not in self._digests:
                self._digests[name] = source_digest(name)
        return {name: self._digests[name] for name in config.named_code if name in self._digests}

    def wrong(self, config: Config) -> dict[str, str]:
        """What is wrong with this trial's own code, by the key that names it."""
        messages = {}
        for key, (form, args, kwargs) in config.own_calls().items():
            name = getattr(config, key)
            call = (name, *args, *kwargs.items())
            if call not in self._wrong:
                self._wrong[call] = _wrong_call(name, form, args, kwargs)
                if key == "train" and self._wrong[call] is None:
                    self._wrong[call] = _wrong_class(name)
            if message := self._wrong[call]:
                messages[key] = message
        return messages


def _wrong_class(name: str) -> str | None:
    """What a class lacks to be a run; a function cannot be checked without calling it."""
    referenced = load_reference(name)
    lacking = [part for part in METHODS_OF_A_RUN if not hasattr(referenced, part)]
    if not isinstance(referenced, type) or not lacking:
        return None
    return f"{name!r} lacks {', '.join(lacking)}: a run has {', '.join(METHODS_OF_A_RUN)} and done"


def _wrong_call(name: str, form: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    try:
        check_call(name, *args, **kwargs)
        source_digest(name)
    except (OSError, ValueError) as error:
        return f"{form}: {error}"
    return None
