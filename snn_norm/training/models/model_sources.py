"""Digests of the user's own code that a model uses, to detect whether it has changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from snn_norm.references import is_reference, source_digest


def source_digests(names: Iterable[str]) -> dict[str, str]:
    """The digest of each named module of the user's own, if its source can be read."""
    digests = {}
    for reference in filter(is_reference, names):
        try:
            digests[reference] = source_digest(reference)
        except ValueError:  # written in C, or generated, so it cannot be compared
            continue
    return digests


def tell_of_changes(trained_by: Mapping[str, str]) -> None:
    """Warn of code that has changed since the training.

    Args:
        trained_by: the result of :func:`source_digests` at the training.
    """
    now = source_digests(trained_by)
    for reference, digest in trained_by.items():
        if now.get(reference, digest) != digest:
            warnings.warn(
                f"the code of {reference} has changed since this model was trained: "
                "it may compute something else now",
                stacklevel=3,
            )
