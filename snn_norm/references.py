"""Names in a configuration: imports the object that ``package.module:name`` refers to."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from snn_norm.imports import is_users_own, reached_files

METHODS_OF_A_RUN = ("run_epoch", "state_dict", "load_state_dict")
"""The methods of a user's own training code, besides the property ``done``."""

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_reference(name: str) -> bool:
    """Whether ``name`` has the form ``package.module:name``."""
    return _REFERENCE.fullmatch(name) is not None


def load_reference(reference: str) -> Any:
    """Import the object that ``package.module:name`` refers to.

    Raises:
        ValueError: the text has another form, the module cannot be imported (the exception that
            it raised is the cause), or it has no such name.
    """
    if not is_reference(reference):
        raise ValueError(f"{reference!r} does not have the form package.module:name")
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ValueError(
            f"cannot import {module_name!r} for {reference!r}: {type(error).__name__}: {error}; "
            "it must be installed, or lie in the folder that the command is started from"
        ) from error
    if not hasattr(module, name):
        known = ", ".join(n for n in vars(module) if not n.startswith("_")) or "nothing public"
        raise ValueError(f"module {module_name!r} has no {name!r}; it has {known}")
    return getattr(module, name)


def check_named(found: Mapping[str, str], own_code: str | Iterable[str]) -> None:
    """Check that the caller who loads a file has named all the code that the file names.

    A name in a table of this package refers to code of this package. Any other name would be
    imported and called, and a file from a stranger may name any function.

    Args:
        found: the names in the file, by their keys.
        own_code: the names ``package.module:name`` that the caller has given, one or several.

    Raises:
        ValueError: the caller has not given one of them.
    """
    given = {own_code} if isinstance(own_code, str) else set(own_code)
    if missing := {k: n for k, n in found.items() if is_reference(n) and n not in given}:
        names = list(dict.fromkeys(missing.values()))
        argument = repr(names[0] if len(names) == 1 else names)
        options = " ".join(f"--own-code {name}" for name in names)
        raise ValueError(
            f"{' and '.join(f'{key} {name!r}' for key, name in missing.items())} cannot be loaded: "
            "code that only the file names is never imported; if you trust that code, name it "
            f"yourself: own_code={argument} in Python, {options} in a command"
        )


def check_call(reference: str, *args: object, **kwargs: object) -> None:
    """Check that ``reference`` can be called with these arguments, without calling it.

    Raises:
        ValueError: it cannot be imported, is not callable, or has other parameters.
    """
    target = load_reference(reference)
    if not callable(target):
        raise ValueError(f"{reference!r} cannot be called: it is of type {type(target).__name__}")
    try:
        signature = inspect.signature(target)
    except ValueError:
        return  # some built-in callables have no readable signature
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        wanted = [repr(a) for a in args] + [f"{k}={v!r}" for k, v in kwargs.items()]
        raise ValueError(
            f"{reference!r} must take ({', '.join(wanted)}): {error}; its signature is {signature}"
        ) from error


def is_generator_function(target: object) -> bool:
    """Whether a call returns a generator; decorators with ``__wrapped__`` are unwrapped first."""
    return inspect.isgeneratorfunction(inspect.unwrap(target) if callable(target) else target)


def source_digest(reference: str) -> str:
    """Digest of the code that ``reference`` refers to, since changed code is another experiment.

    It covers the file that defines the object, and the user's own files that this file imports, as
    found by :func:`~snn_norm.imports.reached_files`. If the object was not defined but created (a
    ``functools.partial``, or the result of a function), it also covers the module that names it.

    Raises:
        ValueError: :func:`load_reference` raises it, or the source cannot be read.
    """
    target = load_reference(reference)
    naming = sys.modules[reference.partition(":")[0]]
    if isinstance(target, functools.partial):
        counted: list[Any] = [naming, target.func]
    elif _is_defined(target, naming):
        counted = [target]
    else:
        counted = [target, naming]
    digest = hashlib.sha256()
    reached: dict[str, Path] = {}
    for source in counted:
        path = _source_file(source, reference)
        digest.update(path.read_bytes())
        if is_users_own(path):
            reached |= reached_files(path, getattr(source, "__module__", naming.__name__))
    for name, path in sorted(reached.items()):
        digest.update(f"\0{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _is_defined(target: Any, naming: ModuleType) -> bool:
    """Whether the source of the naming module, or of one that it imports, defines the object."""
    home = sys.modules.get(getattr(target, "__module__", ""))
    defined: Any = getattr(home, getattr(target, "__name__", ""), None)
    return home is naming or inspect.unwrap(defined) is inspect.unwrap(target)


def _source_file(source: Any, reference: str) -> Path:
    try:
        # A decorator may be defined in a file that is not the user's.
        path = inspect.getsourcefile(inspect.unwrap(source))
    except TypeError as error:
        raise ValueError(f"{reference!r} is not a class or function written in Python") from error
    if path is None:
        raise ValueError(f"the source file of {reference!r} cannot be found")
    return Path(path)
