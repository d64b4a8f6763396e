"""The limits of users, in a file of the cluster's keeper."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.limits import Limits, limits_of
from services.settings import Settings, SettingsError

TEXT = """
default: {running: 4, gpu_hours: 100}
alice: {gpu_hours: 1000}
"""


def settings(file: Path | None, user: str = "") -> Settings:
    given = {"SNN_SWEEP_LIMITS": str(file)} if file else {}
    login = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": "x"} if user else {}
    return Settings.from_environment(given | login)


def test_everybody_has_the_limits_of_default_but_for_what_is_said_of_him(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(TEXT)
    assert limits_of(settings(file, "bob")) == Limits(running=4, gpu_hours=100)
    assert limits_of(settings(file)) == Limits(running=4, gpu_hours=100)
    assert limits_of(settings(file, "alice")) == Limits(running=4, gpu_hours=1000)
    assert limits_of(settings(None, "alice")) == Limits()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alice: {runing: 4}", "runing"),
        ("alice: {running: 0}", "greater than or equal to 1"),
        ("alice: many", "alice"),
        ("- alice", "valid dictionary"),
        ("alice: {", "expected the node content"),
        (None, "No such file"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_what_is_valid(
    text: str | None, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "limits.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=r"(?s)limits\.yaml.*Valid: a YAML file") as refused:
        limits_of(settings(file))
    assert why in str(refused.value)


def test_a_login_is_complete_or_none() -> None:
    name, password = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
    assert Settings.from_environment({name: "alice"}).login == ()
    whole = Settings.from_environment({name: "alice", password: "secret"})
    assert dict(whole.login) == {name: "alice", password: "secret"}
    assert "secret" not in repr(whole)
    token = Settings.from_environment({"MLFLOW_TRACKING_TOKEN": "secret"})
    assert (dict(token.login), token.user) == ({"MLFLOW_TRACKING_TOKEN": "secret"}, "")
