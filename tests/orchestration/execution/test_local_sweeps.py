"""The sweeps of this machine, and who may stop them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestration.errors import InputError
from orchestration.execution.local_sweeps import LocalSweeps
from orchestration.store.lease import sweep_lease
from orchestration.store.open import sweep_storage
from services.settings import Settings


def test_a_sweep_of_another_user_cannot_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    monkeypatch.setattr(os, "kill", kill)
    message = rf"'digits' is run by another user, as process {os.getpid()} on .*: stop it as that"
    with (
        sweep_lease(sweep_storage(settings, "digits"), "digits"),
        pytest.raises(InputError, match=message),
    ):
        LocalSweeps(settings).stop("digits")


def test_a_sweep_that_ends_while_it_is_to_be_stopped_has_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    lease = sweep_lease(sweep_storage(settings, "digits"), "digits")

    def kill(_: int, number: int) -> None:
        if number:
            lease.__exit__(None, None, None)
            raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(os, "kill", kill)
    lease.__enter__()
    LocalSweeps(settings).stop("digits")
