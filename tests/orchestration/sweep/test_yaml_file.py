from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import SpecError
from orchestration.sweep.yaml_file import MAX_BYTES, MAX_DEPTH, Document, read_yaml


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "Läufe von heute"
    folder.mkdir()
    return folder


def read(folder: Path, content: str | bytes) -> Document:
    path = folder / "größe 1.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_yaml(path, "größe 1.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("-2", -2),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-11-24", "2026-11-24"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("=", "="),
        ("-.inf", -math.inf),
        (".INF", math.inf),
    ],
)
def test_scalars_are_those_of_yaml_1_2(folder: Path, text: str, value: object) -> None:
    got = read(folder, f"key: {text}").data["key"]
    assert (got, type(got)) == (value, type(value))


def test_nan_is_read_as_the_number_that_later_checks_refuse(folder: Path) -> None:
    assert math.isnan(read(folder, "key: .nan").data["key"])


def test_keys_are_always_text(folder: Path) -> None:
    assert read(folder, "{on: 1, 2: 2, null: 3, <<: 4}").data == {
        "on": 1,
        "2": 2,
        "null": 3,
        "<<": 4,
    }


def test_lines_are_those_of_the_values(folder: Path) -> None:
    source = read(
        folder, "# comment\nname: x\ngrid:\n  - norm: [a,\n           b]\n    width:\n      16\n"
    )
    assert source.data == {"name": "x", "grid": [{"norm": ["a", "b"], "width": 16}]}
    assert source.line(("name",)) == 2
    assert source.line(("grid",)) == 3, "a list stands where its key does"
    assert source.line(("grid", 0, "norm", 0)) == 4
    assert source.line(("grid", 0, "norm", 1)) == 5
    assert source.line(("grid", 0, "width")) == 7
    assert source.line(("grid", 0, "width", 0)) == 7, "the nearest thing around it"
    assert source.line(("seeds",)) == 2, "the top mapping begins at its first key"


def test_byte_order_mark_and_windows_line_ends(folder: Path) -> None:
    source = read(folder, b"\xef\xbb\xbfname: caf\xc3\xa9\r\nepochs: 3\r\n")
    assert source.data == {"name": "café", "epochs": 3}
    assert source.line(("epochs",)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": is empty; a spec needs at least name, dataset, epochs, seeds and grid"),
        (b"# nothing\n", ": is empty; a spec needs at least name, dataset, epochs, seeds and grid"),
        (b"\n- a\n", ":2: must be a mapping of keys to values, got a list"),
        (b"text", ":1: must be a mapping of keys to values, got only 'text'"),
        (b"a: 1\n---\nb: 2\n", ":2: a second YAML document begins here; a spec is one document"),
        (b"a: 1\nb: 2\na: 3\n", ":3: the key 'a' is here twice, on lines 1 and 3; remove one"),
        (b'x:\n  a: 1\n  "a": 3\n', ":3: the key 'a' is here twice, on lines 2 and 3; remove one"),
        (b"a: &x 1\nb: *x\n", ":1: anchors (&x) are not allowed; write the value out"),
        (b"a: *x\n", ":1: aliases (*x) are not allowed; write the value out"),
        (
            b"a: 1\nb: !!python/object:os.system {}\n",
            ":2: tags (tag:yaml.org,2002:python/object:os.system) are not allowed; "
            "put text that begins with ! in quotes",
        ),
        (b"a: ! 1\n", ":1: tags (!) are not allowed; put text that begins with ! in quotes"),
        (b"? [a]\n: 1\n", ":1: a key must be text, got a mapping or a list"),
        (b"a: 1\nb: [1, 2\n", ":3: is not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (
            b"a: 1\nb:\t- 1\n",
            ":2: is not valid YAML: found character '\\t' that cannot start any token",
        ),
        (b"PK\x03\x04\x00\x00", ": is a binary file (it holds a zero byte); a spec is YAML text"),
        (
            b"a: 1\nb: \xff\xfe\n",
            ":2: is not text in UTF-8 (byte 0xff): save it as UTF-8, or is this a binary file?",
        ),
        (b"a: 1\nb: \x07\n", ":2: holds the control character '\\x07', which YAML forbids"),
        (b'a: "\\UFFFFFFFF"\n', ": is not valid YAML: "),
        (b"a: " + b"9" * 5000, ":1: the number 99999999999999999999… has too many digits"),
        (b"a: " + b"[" * 100_000, f":1: is nested more than {MAX_DEPTH} deep; a spec needs 4"),
        (
            b"#" * (MAX_BYTES + 1),
            ": is larger than 256,000 bytes; a spec is a few kilobytes: is this the right file?",
        ),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
def test_what_is_not_a_spec_is_refused(folder: Path, content: bytes, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(folder, content)
    # The text of a ValueError is Python's; ours ends where it begins.
    got = str(caught.value)
    assert got == f"größe 1.yaml{message}" or (
        message.endswith(": ") and got.startswith(f"größe 1.yaml{message}")
    )


def test_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"^Läufe: cannot be read: Is a directory$"):
        read_yaml(folder, "Läufe")


def test_nothing_beyond_the_limit_is_read() -> None:
    with pytest.raises(SpecError, match="is larger than"):
        read_yaml(Path("/dev/zero"), "endless")


@given(st.binary(max_size=200))
def test_bytes_are_data_or_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        source = read(folder, content)
    except SpecError:
        return
    assert isinstance(source.data, dict)


# Without digits: PyYAML leaves "1e3" unquoted, which is text to it and a number to YAML 1.2.
_text = st.text("aé #:-,'\"\\\n\t&*!?|>%@`{}[]~")
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(_text, _plain, min_size=1, max_size=4), st.booleans())
def test_what_pyyaml_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object], flow: bool
) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow)
    try:
        source = read(tmp_path_factory.getbasetemp(), text)
    except SpecError as error:
        assert "nested more than" in str(error)  # noqa: PT017
        return
    assert source.data == data
