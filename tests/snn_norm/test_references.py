from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snn_norm.references import check_call, is_reference, load_reference, source_digest

_COUNTER = itertools.count()

WriteModule = Callable[[str], str]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
    """Write a module of a name never used before, and give the name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        name = f"own_reference_{next(_COUNTER)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


@pytest.mark.parametrize("name", ["module:name", "package.module:name", "_m1:_n", "größe.b:Ç"])
def test_a_reference_has_a_module_and_a_name(name: str) -> None:
    assert is_reference(name)


@pytest.mark.parametrize(
    "name",
    ["", ":", "module", "module:", ":name", "a b:c", "a:b:c", "a..b:c", ".a:b", "a.:b", "a:b.c",
     "1a:b", "a:1b", "a/b:c", "a:b\n", "a-b:c", "../a:b", "a:b()"],
)  # fmt: skip
def test_other_forms_are_refused(name: str) -> None:
    assert not is_reference(name)
    with pytest.raises(ValueError, match=r"does not have the form package\.module:name"):
        load_reference(name)


def test_it_stands_for_the_object_in_the_module(write_module: WriteModule) -> None:
    module = write_module("answer = 42")
    assert load_reference(f"{module}:answer") == 42


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ValueError, match=r"cannot import 'no_such_module_here'.*must be installed"):
        load_reference("no_such_module_here:name")


def test_a_missing_name_lists_the_ones_there_are(write_module: WriteModule) -> None:
    module = write_module("first = second = 1\n_hidden = 2")
    with pytest.raises(ValueError, match=r"has no 'third'; it has first, second$"):
        load_reference(f"{module}:third")


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("raise RuntimeError('out of cheese')", "RuntimeError: out of cheese"),
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_what_a_module_raises_is_told(write_module: WriteModule, source: str, what: str) -> None:
    module = write_module(source)
    with pytest.raises(ValueError, match=f"cannot import '{module}'.*{what}") as caught:
        load_reference(f"{module}:name")
    assert caught.value.__cause__ is not None


def test_ctrl_c_during_the_import_gets_through(write_module: WriteModule) -> None:
    module = write_module("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_reference(f"{module}:name")


def test_check_call_does_not_call(write_module: WriteModule) -> None:
    module = write_module("def f(a, *, b): raise AssertionError('called')")
    check_call(f"{module}:f", 1, b=2)


def test_a_class_can_be_called(write_module: WriteModule) -> None:
    module = write_module("class Norm:\n    def __init__(self, num_features): pass")
    check_call(f"{module}:Norm", 64)
    with pytest.raises(ValueError, match="too many positional arguments"):
        check_call(f"{module}:Norm", 64, 25)


def test_what_cannot_be_called_is_refused(write_module: WriteModule) -> None:
    module = write_module("f = 3")
    with pytest.raises(ValueError, match="cannot be called: it is of type int"):
        check_call(f"{module}:f")


def test_a_wrong_signature_is_shown_with_the_right_one(write_module: WriteModule) -> None:
    module = write_module("def f(a, b): pass")
    with pytest.raises(ValueError, match=r"must take \(1, c=2\):.*its signature is \(a, b\)"):
        check_call(f"{module}:f", 1, c=2)


def test_what_has_no_signature_is_taken_on_trust() -> None:
    check_call("builtins:dict", 1, 2, 3)


def test_the_digest_follows_the_source(write_module: WriteModule) -> None:
    first = write_module("def f(): return 1")
    same = write_module("def f(): return 1")
    other = write_module("def f(): return 2")
    assert source_digest(f"{first}:f") == source_digest(f"{same}:f")
    assert source_digest(f"{first}:f") != source_digest(f"{other}:f")


def test_the_digest_is_of_the_file_that_defines_it(write_module: WriteModule) -> None:
    home = write_module("def f(): return 1")
    abroad = write_module(f"from {home} import f\nunrelated = 1")
    assert source_digest(f"{abroad}:f") == source_digest(f"{home}:f")


def test_the_digest_of_a_decorated_function_is_its_own(write_module: WriteModule) -> None:
    source = "from functools import cache\n@cache\ndef f(): return {}"
    one, same, two = (write_module(source.format(value)) for value in (1, 1, 2))
    assert source_digest(f"{one}:f") == source_digest(f"{same}:f")
    assert source_digest(f"{one}:f") != source_digest(f"{two}:f")


def test_the_digest_of_a_partial_is_of_what_it_binds_and_of_what_it_calls(
    write_module: WriteModule,
) -> None:
    one, other = (write_module(f"def f(a, b): return {value}") for value in (1, 2))
    partial = "from functools import partial\nimport {} as home\nf = partial(home.f, b={})"
    first = source_digest(f"{write_module(partial.format(one, 1))}:f")
    assert first != source_digest(f"{write_module(partial.format(one, 2))}:f")
    assert first != source_digest(f"{write_module(partial.format(other, 1))}:f")
    assert first != source_digest(f"{one}:f")
    assert first == source_digest(f"{write_module(partial.format(one, 1))}:f")


@pytest.mark.parametrize("reference", ["math:sin", "math:pi"])
def test_what_has_no_source_has_no_digest(reference: str) -> None:
    with pytest.raises(ValueError, match=f"'{reference}' is not a class or function written in"):
        source_digest(reference)


def test_the_digest_follows_what_the_module_imports_of_the_users_own(
    tmp_path: Path, write_module: WriteModule
) -> None:
    package = tmp_path / f"own_package_{next(_COUNTER)}"
    package.mkdir()
    helpers = {
        "direct": "from {0}.inner import x",
        "inner": "from . import sibling",
        "sibling": "def unused():\n    if 1 > 2:\n        import {0}.late",
        "late": "from .typed import T",
        "typed": "import json, torch, snn_norm.norms",
        "__init__": "",
        "stranger": "",
    }
    for name, source in helpers.items():
        (package / f"{name}.py").write_text(source.format(package.name))
    home = write_module(f"import {package.name}.direct as d\nf = lambda n: d.make(n)")
    (package / "inner.py").write_text("x = 1\nfrom . import sibling")
    before = source_digest(f"{home}:f")
    assert before == source_digest(f"{home}:f")
    for name in helpers:
        with (package / f"{name}.py").open("a") as file:
            file.write("\n# changed")
        after = source_digest(f"{home}:f")
        assert (after == before) == (name == "stranger"), name
        before = after


def test_the_digest_does_not_depend_on_where_the_users_own_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own_norm.py").write_text("from own_base import Base as Norm")
        (tmp_path / folder / "own_base.py").write_text("import own_eps\nclass Base: pass")
        (tmp_path / folder / "own_eps.py").write_text("")
        with monkeypatch.context() as patched:
            patched.syspath_prepend(tmp_path / folder)
            digests.append(source_digest("own_norm:Norm"))
            for name in ("own_norm", "own_base"):
                patched.delitem(sys.modules, name)
    assert digests[0] == digests[1]


def test_the_digest_of_a_module_by_itself_is_that_of_its_file(write_module: WriteModule) -> None:
    # Changing this makes every trial with code of a user's own a stranger to its spec.
    for source in (
        "import torch, snn_norm\nclass f: pass",
        "import json\nf = lambda n: json",
        "import functools\n@functools.cache\ndef f(): pass",
    ):
        expected = hashlib.sha256(source.encode()).hexdigest()[:16]
        assert source_digest(f"{write_module(source)}:f") == expected


def test_the_digest_of_what_a_function_made_is_also_of_who_called_it(
    write_module: WriteModule,
) -> None:
    factory = write_module("def make(n):\n    def norm(): return n\n    return norm")
    one, two = (write_module(f"import {factory} as home\nf = home.make({n})") for n in (1, 2))
    assert source_digest(f"{one}:f") != source_digest(f"{two}:f")
