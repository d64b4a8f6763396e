from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from specs import spec

from orchestration import SweepSpec
from orchestration.cluster.bundle import (
    _slug,
    digest,
    forget,
    keep,
    pack,
    sweep_of,
    unpacked,
    user_modules,
)
from orchestration.cluster.supervisor import decide_action
from orchestration.store.base import Storage
from services.jobs import Job

SPEC = SweepSpec.from_dict(spec(name="of a user"))
JOB = Job("sweep-x-1", "x", "", 1, "RUNNING", 100.0, None, None, "")


def test_the_users_modules_are_found_with_what_they_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_a.py").write_text("import mine_b.part, mine_space.inner, json\n")
    (tmp_path / "mine_late.py").write_text("")
    (tmp_path / "mine_b").mkdir()
    (tmp_path / "mine_b" / "__init__.py").write_text("")
    (tmp_path / "mine_b" / "part.py").write_text("def late():\n    import mine_late\n")
    (tmp_path / "mine_b" / "table.csv").write_text("1,2")
    (tmp_path / "mine_b" / "__pycache__").mkdir()
    (tmp_path / "mine_space").mkdir()
    (tmp_path / "mine_space" / "inner.py").write_text("")
    (tmp_path / "mine_not_imported.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("mine_a")
    try:
        found = user_modules(tmp_path)
    finally:
        for name in [name for name in sys.modules if name.startswith("mine_")]:
            del sys.modules[name]
    assert sorted(found) == ["mine_a", "mine_b", "mine_late", "mine_space"]
    packed = tmp_path / "packed"
    packed.mkdir()
    pack(SPEC, packed, found)
    assert sorted(str(p.relative_to(packed)) for p in packed.rglob("*") if p.is_file()) == [
        "mine_a.py",
        "mine_b/__init__.py",
        "mine_b/part.py",
        "mine_b/table.csv",
        "mine_late.py",
        "mine_space/inner.py",
        "spec.json",
    ]
    assert SweepSpec.load(packed / "spec.json") == SPEC
    assert sweep_of(packed) == "of a user"


def test_this_package_is_not_sent_from_its_own_checkout() -> None:
    root = Path(__file__).parents[3]
    assert not {"orchestration", "services", "snn_norm"} & set(user_modules(root))


def test_a_submission_is_kept_replaced_and_forgotten(storage: Storage, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    (sent / "package" / "__pycache__").mkdir(parents=True)
    (sent / "package" / "__init__.py").touch()
    (sent / "package" / "__pycache__" / "x.pyc").touch()
    pack(SPEC, sent, {})
    with unpacked(storage) as folder:
        assert folder is None
    for name in ("old.py", "new.py"):
        for path in sent.glob("*.py"):
            path.unlink()
        (sent / name).touch()
        keep(sent, storage)
    with unpacked(storage) as folder:
        assert folder is not None
        files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        assert sorted(files) == ["new.py", "package/__init__.py", "spec.json"]
        assert sweep_of(folder) == "of a user"
    assert not folder.exists()
    forget(storage)
    with unpacked(storage) as folder:
        assert folder is None
    forget(storage)


@pytest.mark.parametrize("name", ["a b", "é", "x" * 128, "a%2f", "sweep?#"])
def test_an_odd_name_gives_an_id_that_fits_an_address(name: str) -> None:
    slug = _slug(name)
    assert slug.isascii()
    assert len(slug) < 60
    assert not set(slug) & set(" %?#/\\")
    assert slug != _slug(name + "x")
    assert _slug("digits-2") == "digits-2"


def test_equal_specs_have_equal_digests() -> None:
    changed = SweepSpec.from_dict({**json.loads(SPEC.to_json()), "retries": 4})
    assert digest(SPEC.to_json()) == digest(SweepSpec.from_json(SPEC.to_json()).to_json())
    assert digest(SPEC.to_json()) != digest(changed.to_json())
    sorted_keys = json.dumps(json.loads(SPEC.to_json()), sort_keys=True)
    assert sorted_keys != SPEC.to_json()
    assert digest(sorted_keys) == digest(SPEC.to_json())


@pytest.mark.parametrize(
    ("jobs", "now", "what"),
    [
        ([], 0.0, "resubmit"),  # the head was lost, and all it knew
        ([replace(JOB, status="PENDING")], 1e9, "leave"),
        ([JOB], 1e9, "leave"),
        ([replace(JOB, status="STOPPED", ended=110.0)], 1e9, "forget"),
        ([replace(JOB, status="FAILED", ended=110.0)], 111.0, "leave"),  # not at once
        ([replace(JOB, status="FAILED", ended=110.0)], 121.0, "resubmit"),
        ([replace(JOB, status="FAILED", ended=110.0), JOB], 1e9, "leave"),
        ([replace(JOB, status="FAILED", ended=110.0)] * 3, 149.0, "leave"),  # later each time
        ([replace(JOB, status="FAILED", ended=110.0)] * 3, 151.0, "resubmit"),
        ([replace(JOB, status="FAILED", ended=110.0)] * 6, 1e9, "leave"),  # and not for ever
        # A tracking server that is away for long is no reason to give up.
        ([replace(JOB, status="FAILED", exit_code=3, ended=110.0)] * 50, 116.0, "resubmit"),
    ],
)
def test_when_a_sweep_is_taken_up_again(jobs: list[Job], now: float, what: str) -> None:
    assert decide_action(jobs, now) == what
