from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.settings import (
    Settings,
    SettingsError,
    database_url,
    use_login,
    without_password,
)


def test_defaults_lie_under_the_home() -> None:
    settings = Settings.from_environment({})
    assert settings.home == Path("~/.snn-sweep").expanduser()
    assert settings.data == settings.home / "data"
    assert settings.storage == str(settings.home / "storage")
    assert settings.tracking_uri is settings.database_url is settings.ray_address is None


def test_a_login_by_token_takes_the_place_of_one_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client would prefer a name and a password to a token."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "sweeps")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of the nodes")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "")
    of_nodes = Settings.from_environment().login
    of_user = (("MLFLOW_TRACKING_TOKEN", "of a user"),)
    before = use_login(of_user)
    assert Settings.from_environment().login == of_user
    use_login(before.items())
    assert Settings.from_environment().login == of_nodes


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "SNN_SWEEP_HOME": str(tmp_path / "le foyer é"),
            "MLFLOW_TRACKING_URI": "https://tracking.example/mlflow/",
            "SNN_SWEEP_DATABASE_URL": "postgres://reader:pw@db/mlflow",
            "SNN_SWEEP_STORAGE": "s3://bucket/sweeps/",
            "SNN_SWEEP_DATA": str(tmp_path / "data"),
            "RAY_ADDRESS": "head:6379",
            "SNN_SWEEP_ARCHIVE_MB": "2000",
            "SNN_SWEEP_NOTIFY": " json://user:secret@host\nmailto://x ",
        }
    )
    assert settings == Settings(
        home=tmp_path / "le foyer é",
        tracking_uri="https://tracking.example/mlflow",
        database_url="postgresql+psycopg://reader:pw@db/mlflow",
        storage="s3://bucket/sweeps",
        data=tmp_path / "data",
        ray_address="head:6379",
        archive_mb=2000,
        notify=("json://user:secret@host", "mailto://x"),
    )
    assert "secret" not in repr(settings)


def test_the_process_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path))
    assert Settings.from_environment().home == tmp_path


def test_an_empty_variable_is_unset() -> None:
    names = ["SNN_SWEEP_HOME", "MLFLOW_TRACKING_URI", "SNN_SWEEP_DATABASE_URL"]
    names += ["SNN_SWEEP_STORAGE", "SNN_SWEEP_DATA", "RAY_ADDRESS", "SNN_SWEEP_ARCHIVE_MB"]
    names += ["SNN_SWEEP_NOTIFY"]
    assert Settings.from_environment(dict.fromkeys(names, "")) == Settings.from_environment({})


def test_local_is_the_same_as_no_ray_address() -> None:
    assert Settings.from_environment({"RAY_ADDRESS": "local"}).ray_address is None


def test_relative_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment({"SNN_SWEEP_HOME": "here", "SNN_SWEEP_STORAGE": "there"})
    assert settings.home == tmp_path / "here"
    assert settings.storage == str(tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db", "http://host:port"),
        ("MLFLOW_TRACKING_URI", "localhost:5000", "http://host:port"),
        ("MLFLOW_TRACKING_URI", "http://", "http://host:port"),
        ("MLFLOW_TRACKING_URI", "http://host:port", "http://host:port"),
        ("MLFLOW_TRACKING_URI", "http://[::1", "http://host:port"),
        ("SNN_SWEEP_ARCHIVE_MB", "0", "a whole number of megabytes"),
        ("SNN_SWEEP_ARCHIVE_MB", "1e9", "a whole number of megabytes"),
        ("SNN_SWEEP_DATABASE_URL", "mysql://u@h/db", "postgresql://"),
        ("SNN_SWEEP_DATABASE_URL", "sqlite:///relative.db", "sqlite:////absolute"),
        ("SNN_SWEEP_DATABASE_URL", "postgresql://host", "postgresql://"),
        ("SNN_SWEEP_STORAGE", "gs://bucket", "s3://bucket"),
        ("SNN_SWEEP_STORAGE", "s3://", "s3://bucket"),
        ("SNN_SWEEP_HOME", "~nobody-of-this-name/x", "absolute path"),
        ("SNN_SWEEP_HOME", "/" + "x" * 300, "a folder"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_valid(name: str, value: str, valid: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({name: value})
    message = str(caught.value)
    assert name in message
    assert value in message
    assert valid in message


@pytest.mark.parametrize("name", ["SNN_SWEEP_HOME", "SNN_SWEEP_DATA", "SNN_SWEEP_STORAGE"])
def test_a_file_in_the_way_of_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=f"{name}.*file"):
        Settings.from_environment({name: str(tmp_path / "file" / "sub")})


@pytest.mark.parametrize(
    "value",
    [
        "ftp://user:s3cret@host",
        "user:s3cret@host",
        "http://user:s3cret@host:notaport",
        "postgresql://user:s3/cret@@host:notaport/db",
        "mysql://user:s3cret@host/db",
        "host=db password=s3cret dbname=x",
    ],
)
@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "SNN_SWEEP_DATABASE_URL"])
def test_no_error_shows_a_password(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({name: value})
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None  # nor does a chained one


def test_repr_shows_no_password(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "SNN_SWEEP_HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": "https://user:s3cret@tracking.example",
            "SNN_SWEEP_DATABASE_URL": "postgresql://user:s3cret@db/mlflow?sslpassword=s3cret",
        }
    )
    assert "s3cret" not in f"{settings} {settings!r}"
    assert "tracking.example" in repr(settings)
    assert "s3cret" in (settings.tracking_uri or "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:5000/path", "http://127.0.0.1:5000/path"),
        ("https://token@host/path", "https://***@host/path"),
        ("postgresql://user:pw@host:5432/db", "postgresql://user:***@host:5432/db"),
        ("postgresql://user@host/db?password=pw&x=1", "postgresql://user@host/db?password=***&x=1"),
    ],
)
def test_without_password_keeps_the_rest(url: str, shown: str) -> None:
    assert without_password(url) == shown


@given(st.text("pqrs:/@?#%&= ", min_size=1))
def test_without_password_masks_whatever_the_password_holds(password: str) -> None:
    shown = without_password(f"postgresql+psycopg://user:{password}@host:1/db")
    assert shown == "postgresql+psycopg://user:***@host:1/db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "POSTGRES"])
def test_a_postgres_url_gets_the_driver_that_is_installed(scheme: str) -> None:
    assert database_url(f"{scheme}://u:p%40@h:1/db", "X") == "postgresql+psycopg://u:p%40@h:1/db"


def test_a_sqlite_url_stays_as_it_is() -> None:
    assert database_url("sqlite:////home/é x/m.db", "X") == "sqlite:////home/é x/m.db"
