"""Each way to the records gives the same ones: the contract, once, run on every way."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
import pytest
import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.utils.rest_utils import http_request
from recorded import START_MS, RecordedTrial, Recorder

from orchestration.errors import InputError
from orchestration.reading.provenance import provenance_of
from orchestration.reading.records import Source
from orchestration.reading.rest import RestSource
from orchestration.reading.sql import SqlSource
from orchestration.reading.sql_schema import KNOWN_SCHEMAS, UnknownSchemaError
from services.settings import SettingsError
from services.tracking import ServiceError

NAN = float("nan")
CONFIG = {"architecture": "ann", "norm": "none", "dataset": "digits", "seed": 1, "epochs": 2}


@dataclass
class Way:
    """A store to write into, and one way to read it."""

    recorder: Recorder
    url: str
    open: Callable[[], Source]


@pytest.fixture(params=["REST on SQLite", "REST on Postgres", "SQL on SQLite", "SQL on Postgres"])
def way(request: pytest.FixtureRequest) -> Way:
    protocol, _, database = request.param.partition(" on ")
    url = request.getfixturevalue(f"{database.lower()}_database")()
    source = {"REST": RestSource, "SQL": SqlSource}[protocol]
    return Way(Recorder(url), url, lambda: source(url))


class TestEveryWay:
    def test_a_finished_trial_is_read_whole(self, way: Way) -> None:
        experiment, parent = way.recorder.sweep("sweep", '{"a": 1}')
        trial = RecordedTrial(
            {**CONFIG, "learning_rate": 0.1 + 0.2, "augment": False},
            [0.1, 1 / 3],
            metrics={"train_loss": [NAN, 2.0], "spike_rate.lif1": [0.25], "other": [1.0]},
        )
        run = way.recorder.trial(experiment, parent, trial)
        records = way.open().read("sweep")
        assert records.spec == '{"a": 1}'
        assert records.runs.index.tolist() == [run]
        row = records.runs.loc[run]
        assert len(row["trial_key"]) == 16
        assert row["outcome"] == "completed"
        assert row["finished"] - row["started"] == 500
        assert records.params().loc[run].to_dict() == {
            "architecture": "ann",
            "augment": "false",
            "dataset": "digits",
            "epochs": "2",
            "learning_rate": "0.30000000000000004",
            "norm": "none",
            "seed": "1",
        }
        assert records.metrics.loc[run].to_dict() == {
            "best_epoch": 2.0,
            "best_test_accuracy": 1 / 3,
            "spike_rate.lif1": 0.25,
            "test_accuracy": 1 / 3,
            "train_loss": 2.0,
        }

    def test_only_finished_trials_that_are_not_deleted_are_read(self, way: Way) -> None:
        experiment, parent = way.recorder.sweep("sweep", "{}")
        wanted = way.recorder.trial(experiment, parent, RecordedTrial(CONFIG, [0.5]))
        for status in (None, "FAILED", "KILLED"):
            trial = RecordedTrial({**CONFIG, "seed": 2}, [0.9], status=status)
            way.recorder.trial(experiment, parent, trial)
        deleted = way.recorder.trial(
            experiment, parent, RecordedTrial({**CONFIG, "seed": 3}, [0.9])
        )
        way.recorder.client.delete_run(deleted)
        foreign = RecordedTrial(CONFIG, [0.9], tags={"snn_sweep.role": "something else"})
        way.recorder.trial(experiment, parent, foreign)
        other, _ = way.recorder.sweep("other", "{}")
        way.recorder.trial(other, None, RecordedTrial(CONFIG, [0.9]))
        assert way.open().read("sweep").runs.index.tolist() == [wanted]

    def test_a_long_spec_is_put_together_and_the_newest_counts(self, way: Way) -> None:
        experiment, _ = way.recorder.sweep("sweep", "old", parts=2)
        text = "".join(f"{i:03}" for i in range(100))
        way.recorder.parent(experiment, "sweep", text, parts=12)
        assert way.open().read("sweep").spec == text
        newer = way.recorder.parent(experiment, "sweep", "deleted")
        way.recorder.client.delete_run(newer)
        assert way.open().read("sweep").spec == text

    def test_a_sweep_without_finished_trials_is_empty(self, way: Way) -> None:
        way.recorder.sweep("sweep", "{}")
        records = way.open().read("sweep")
        assert (len(records.runs), len(records.params()), len(records.metrics)) == (0, 0, 0)
        assert way.open().points([], []).columns.tolist() == ["run_id", "metric", "epoch", "value"]

    def test_an_unknown_sweep_names_those_that_are_known(self, way: Way) -> None:
        with pytest.raises(InputError, match="nothing has been recorded here yet"):
            way.open().read("digits")
        way.recorder.sweep("digits", "{}")
        way.recorder.sweep("headline", "{}")
        way.recorder.sweep("somebody else's experiment")
        gone, _ = way.recorder.sweep("gone", "{}")
        way.recorder.client.delete_experiment(gone)
        _, deleted = way.recorder.sweep("emptied", "{}")
        way.recorder.client.delete_run(deleted)
        for name in ("digitz", "somebody else's experiment", "gone", "emptied"):
            with pytest.raises(InputError, match=f"{name}.*known are digits, headline") as error:
                way.open().read(name)
            assert error.value.exit_code == 2
        with pytest.raises(InputError, match="did you mean 'digits'"):
            way.open().read("digitz")

    def test_a_renamed_sweep_is_found_by_its_present_name_and_hinted_at_by_its_old_one(
        self, way: Way
    ) -> None:
        experiment, parent = way.recorder.sweep("old", "{}")
        way.recorder.client.rename_experiment(experiment, "new")
        records = way.open().read("new")
        assert (records.experiment_id, records.parent_run_id) == (experiment, parent)
        for ask in (way.open().read, way.open().check):
            with pytest.raises(InputError, match="'old' was renamed to 'new' in MLflow"):
                ask("old")
        way.recorder.sweep("old", "{}")  # another one, which may have that name
        assert way.open().read("old").experiment_id != experiment

    def test_tags_say_where_the_numbers_come_from(self, way: Way) -> None:
        experiment, parent = way.recorder.sweep("sweep", '{"name": "sweep"}')
        runs = [
            way.recorder.trial(experiment, parent, RecordedTrial(CONFIG, [0.5], tags=tags))
            for tags in (
                {"snn_sweep.machine": "é"}, {"snn_sweep.machine": "é"}, {"snn_sweep.engine": "x"}
            )
        ]  # fmt: skip
        records = way.open().read("sweep")
        found = provenance_of(records, "http://me:secret@host:1/a/", runs[1:])
        assert found.facts == {"machine": {"é": 1}, "spiking layers": {"x": 1}}
        assert (found.server, found.spec) == ("http://host:1/a", 'name: "sweep"\ngrid:')
        assert (found.experiment_id, found.parent_run_id) == (experiment, parent)

    def test_odd_names_are_names(self, way: Way) -> None:
        name = 'Ünïcode \'; DROP TABLE runs; -- %_"x"'
        experiment, parent = way.recorder.sweep(name, "{}")
        config = {**CONFIG, "norm": "my_module:Norm%'\"é"}
        run = way.recorder.trial(experiment, parent, RecordedTrial(config, [0.5]))
        assert way.open().read(name).params().loc[run, "norm"] == config["norm"]
        with pytest.raises(InputError):
            way.open().read(name.lower())

    def test_points_are_one_a_metric_and_epoch(self, way: Way) -> None:
        experiment, parent = way.recorder.sweep("sweep", "{}")
        trial = RecordedTrial(
            CONFIG, [0.1, 0.2], metrics={"train_loss": [NAN], "SPIKE_RATE.x": [1.0], "x": [1.0]}
        )
        run = way.recorder.trial(experiment, parent, trial)
        # The same epoch again, from a client that resent it at another time: the last counts.
        for value, at in ((0.7, 2), (0.6, 3), (0.8, 1)):
            way.recorder.client.log_metric(run, "test_loss", value, timestamp=at, step=1)
        points = way.open().points([run], ["train_loss", "test_loss", "test_accuracy"])
        assert points.to_dict("records")[:3] == [
            {"run_id": run, "metric": "test_accuracy", "epoch": 1, "value": 0.1},
            {"run_id": run, "metric": "test_accuracy", "epoch": 2, "value": 0.2},
            {"run_id": run, "metric": "test_loss", "epoch": 1, "value": 0.6},
        ]
        assert points["metric"].tolist()[3:] == ["train_loss"]
        assert pd.isna(points["value"].iloc[3])


def test_curves_over_rest_are_whole_however_many_points_a_reply_holds(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep("many points", "{}")
    runs = [
        recorder.trial(experiment, parent, RecordedTrial({**CONFIG, "seed": seed}, [seed / 10] * 3))
        for seed in range(5)
    ]
    recorder.client.log_metric(runs[2], "test_accuracy", NAN, step=3)
    every = RestSource(tracking_uri).points(runs, ["test_accuracy", "absent"])
    assert len(every) == 15
    for most in (1, 2, 3, 4, 14, 15, 16):
        source = RestSource(tracking_uri)
        monkeypatch.setattr(source, "points_a_reply", most)
        pd.testing.assert_frame_equal(source.points(runs, ["test_accuracy", "absent"]), every)
    # A server that has no pages, and not what they ask for.
    asked: list[str] = []

    def unknown(host_creds: Any, endpoint: str, method: str, **arguments: Any) -> Any:
        if "ajax" in endpoint:
            asked.append(endpoint)
            return SimpleNamespace(status_code=404)
        return http_request(host_creds, endpoint, method, **arguments)

    monkeypatch.setattr("orchestration.reading.rest.http_request", unknown)
    source = RestSource(tracking_uri)
    pd.testing.assert_frame_equal(source.points(runs, ["test_accuracy", "absent"]), every)
    assert 0 < len(asked) <= 2


@pytest.mark.parametrize("started", ["apart", "at once"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7])
def test_rest_reads_every_page(
    count: int,
    started: str,
    sqlite_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = sqlite_database()
    experiment, _ = Recorder(url).sweep("sweep", "{}")
    client = MlflowClient(url)
    runs = []
    for number in range(count):
        at = 1000 if started == "at once" else 1000 + number
        run = client.create_run(experiment, at, {"snn_sweep.role": "trial"})
        client.set_terminated(run.info.run_id)
        runs.append(run.info.run_id)
    monkeypatch.setattr(RestSource, "runs_a_page", 3)
    assert RestSource(url).read("sweep").runs.index.tolist() == sorted(runs)


class _Server(BaseHTTPRequestHandler):
    """Answers as MLflow's server does; a run's times and values may be left out or be text."""

    seen: ClassVar[list[str]] = []
    replies: ClassVar[dict[str, Any]] = {
        "GET": {"experiment": {"experiment_id": "1", "name": "sweep", "lifecycle_stage": "active"}},
        "POST": {
            "runs": [
                {
                    "info": {"run_id": "b", "experiment_id": "1", "start_time": "1700000000000"},
                    "data": {
                        "tags": [{"key": "snn_sweep.role", "value": "trial"}],
                        "metrics": [{"key": "train_loss", "value": "NaN"}],
                        "params": [{"key": "empty"}],
                    },
                },
                {"info": {"run_id": "a", "experiment_id": "1"}},
            ]
        },
    }

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append(self.headers["Authorization"])
        body = json.dumps(self.replies[self.command]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def test_rest_signs_in_and_reads_what_the_server_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        records = RestSource(f"http://127.0.0.1:{server.server_port}").read("sweep")
        server.shutdown()
    assert set(_Server.seen) == {"Bearer a-token"}
    assert records.runs.index.tolist() == ["b"]
    assert records.runs["started"].tolist() == [START_MS]
    assert records.runs["finished"].isna().all()
    assert records.metrics.isna().to_numpy().tolist() == [[True]]
    assert records.params().to_numpy().tolist() == [[""]]


class TestSqlSource:
    def test_the_schema_of_the_installed_mlflow_is_known(
        self, sqlite_database: Callable[[], str]
    ) -> None:
        with sqlite3.connect(sqlite_database().removeprefix("sqlite:///")) as connection:
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.close()
        assert version in KNOWN_SCHEMAS

    @pytest.mark.parametrize("kind", ["sqlite", "postgres"])
    def test_another_schema_is_refused(self, kind: str, request: pytest.FixtureRequest) -> None:
        url = request.getfixturevalue(f"{kind}_database")()
        engine = sa.create_engine(url, poolclass=sa.NullPool)

        def change(*statements: str) -> None:
            with engine.begin() as connection:
                for statement in statements:
                    connection.execute(sa.text(statement))

        change("ALTER TABLE alembic_version RENAME TO kept")
        with pytest.raises(UnknownSchemaError, match="no table alembic_version"):
            SqlSource(url)
        change("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        with pytest.raises(UnknownSchemaError, match="version is empty"):
            SqlSource(url)
        change("INSERT INTO alembic_version VALUES ('new')")
        with pytest.raises(UnknownSchemaError, match="version is new"):
            SqlSource(url)
        change("DROP TABLE alembic_version", "ALTER TABLE kept RENAME TO alembic_version")
        SqlSource(url)

    @pytest.mark.parametrize("kind", ["sqlite", "postgres"])
    def test_nothing_can_be_written(self, kind: str, request: pytest.FixtureRequest) -> None:
        source = SqlSource(request.getfixturevalue(f"{kind}_database")())
        with (
            pytest.raises(sa.exc.DBAPIError, match=r"(?i)read-?\s?only"),
            source.engine.begin() as connection,
        ):
            connection.execute(sa.text("DELETE FROM experiments"))

    def test_a_database_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(ServiceError, match=f"no database '{tmp_path / 'none.db'}'"):
            SqlSource(f"sqlite:///{tmp_path / 'none.db'}")
        assert list(tmp_path.iterdir()) == []

    def test_no_password_is_shown(self) -> None:
        with pytest.raises(ServiceError) as error:
            SqlSource("postgresql://me:secret@127.0.0.1:1/mlflow")
        assert "secret" not in str(error.value)
        assert "127.0.0.1" in str(error.value)

    def test_other_databases_are_refused(self) -> None:
        for url in ("mysql://me:secret@host/mlflow", "nonsense secret", "sqlite://"):
            with pytest.raises(SettingsError, match="SNN_SWEEP_DATABASE_URL") as error:
                SqlSource(url)
            assert "secret" not in str(error.value)
