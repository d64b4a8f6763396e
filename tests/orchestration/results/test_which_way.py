"""Over which way a sweep's results come: its database, or MLflow's API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from six_cells import Sweep

from orchestration.errors import InputError
from orchestration.results.results import Results


def test_an_unknown_schema_falls_back_to_rest_with_one_warning(
    sqlite_database: Callable[[], str],
) -> None:
    sweep = Sweep(sqlite_database(), "SQL")
    sweep.fill()
    expected = sweep.results().best_of_seeds()
    other = sqlite_database()
    engine = sa.create_engine(other, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'new'"))
    with pytest.warns(UserWarning, match="schema version is new") as warned:
        results = Results("sweep", tracking_uri=sweep.url, database_url=other)
    assert len(warned) == 1
    found = results.best_of_seeds()  # a second warning would be an error here
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_the_settings_decide_unless_told(
    sqlite_database: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, empty = Sweep(sqlite_database(), "SQL"), sqlite_database()
    full.fill()
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SNN_SWEEP_DATABASE_URL", full.url)
    assert len(Results("sweep").trials()) == 18
    with pytest.raises(InputError, match="no sweep is named 'sweep'"):
        Results("sweep", tracking_uri=empty)
    monkeypatch.delenv("SNN_SWEEP_DATABASE_URL")
    with pytest.raises(InputError, match="nothing has been recorded on this machine yet"):
        Results("sweep")
    assert len(Results("sweep", tracking_uri=full.url).trials()) == 18
    assert len(Results("sweep", database_url=full.url).trials()) == 18
