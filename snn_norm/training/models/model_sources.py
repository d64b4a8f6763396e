"""Digests of the user's own code that a model uses, to detect whether it has changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from snn_norm.references import check_named, is_reference, source_digest


def source_digests(names: Iterable[str]) -> dict[str, str]:
    """The digest of each named module of the user's own, if its source can be read."""
    digests = {}
    for reference in filter(is_reference, names):
        try:
            digests[reference] = source_digest(reference)
        except ValueError:  # written in C, or generated, so it cannot be compared
            continue
    return digests


def check_code(
    named: Mapping[str, str], own_code: str | Iterable[str], trained_by: Mapping[str, str]
) -> None:
    """Check that the caller has named the code of a file; warn of changes since the training.

    Args:
        named: the names in the file, by their keys.
        own_code: those that the caller has given; see :func:`snn_norm.references.check_named`.
        trained_by: the result of :func:`source_digests` at the training.

    Raises:
        ValueError: the caller has not given one of the names.
    """
    check_named(named, own_code)
    for reference, digest in source_digests(named.values()).items():
        if trained_by.get(reference, digest) != digest:
            warnings.warn(
                f"the code of {reference} has changed since this model was trained: "
                "it may compute something else now",
                stacklevel=3,
            )
