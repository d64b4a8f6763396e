"""A sweep goes from one server to another and is the same sweep there."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from recorded import RecordedTrial, Recorder
from searched import searched
from whole_sweep import record_digits

from orchestration import Results, SweepSpec
from orchestration.errors import InputError
from orchestration.record.archive import SweepArchive, read_archive, write_archive
from orchestration.record.client import connect
from orchestration.record.exchange import Imported, export_sweep, import_sweep
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.store.base import Storage
from orchestration.store.lease import LeaseTakenError, sweep_lease
from orchestration.store.open import open_storage
from orchestration.sweep.plan import make_plan

DAMAGED = b"""{"snn_sweep_archive": 1, "name": "x", "status": "completed", "spec": null}
{"tags": {}}
"""


HEAD = b'{"snn_sweep_archive": 1, "name": "%s", "status": "%s", "spec": null}\n'
PACKED = gzip.compress(HEAD % (b"a", b"stopped"), mtime=0)


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "store")).folder("digits")


@pytest.fixture
def archive(sqlite_database: Callable[[], str], tmp_path: Path) -> tuple[str, SweepArchive]:
    """The server that a sweep was recorded on, and its archive, which has been in a file."""
    uri = sqlite_database()
    record_digits(uri)
    path = tmp_path / "digits é.jsonl.gz"
    write_archive(export_sweep(connect(uri), "digits"), path)
    return uri, read_archive(path)


def answers(uri: str) -> list[pd.DataFrame]:
    """What a sweep says, but for the ids of its runs, which are another server's."""
    results = Results("digits", tracking_uri=uri)
    frames = [results.trials(), results.curves(), results.best_of_seeds(), results.by_seed()]
    return [frame.drop(columns="run_id", errors="ignore") for frame in frames]


def test_it_gives_the_same_answers_to_the_last_bit(
    archive: tuple[str, SweepArchive], postgres_database: Callable[[], str], store: Storage
) -> None:
    source, sweep = archive
    uri = postgres_database()
    assert import_sweep(connect(uri), sweep, store) == Imported(new=18, known=0)
    for here, there in zip(answers(source), answers(uri), strict=True):
        pd.testing.assert_frame_equal(here, there, check_exact=True)
    assert export_sweep(connect(uri), "digits").spec == sweep.spec


def test_nothing_of_it_is_trained_again(
    archive: tuple[str, SweepArchive], sqlite_database: Callable[[], str], store: Storage
) -> None:
    client = connect(sqlite_database())
    import_sweep(client, archive[1], store)
    assert archive[1].spec is not None
    spec = SweepSpec.from_json(archive[1].spec)
    recorded = SweepRecorder(client, "digits", store).recorded()
    plan = make_plan(spec.trials(), recorded, version="0.1.0")
    assert (len(plan.run), len(plan.reuse), plan.close) == (0, 18, ())


def test_importing_twice_adds_nothing_and_one_that_was_cut_short_goes_on(
    archive: tuple[str, SweepArchive],
    sqlite_database: Callable[[], str],
    store: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = connect(sqlite_database())
    add = SweepRecorder.add_finished

    def cut_short(books: SweepRecorder, trial: RecordedTrial) -> None:
        if trial is archive[1].trials[5]:
            raise KeyboardInterrupt
        add(books, trial)

    with monkeypatch.context() as patch:
        patch.setattr(SweepRecorder, "add_finished", cut_short)
        with pytest.raises(KeyboardInterrupt):
            import_sweep(client, archive[1], store)
    assert import_sweep(client, archive[1], store) == Imported(new=13, known=5)
    assert import_sweep(client, archive[1], store) == Imported(new=0, known=18)
    (parent,) = client.search_runs(["1"], "tags.`snn_sweep.role` = 'sweep'")
    assert (parent.info.status, parent.data.tags["snn_sweep.status"]) == ("FINISHED", "completed")
    assert len(client.search_runs(["1"], "tags.`snn_sweep.role` = 'trial'")) == 18


def test_the_pruned_settings_of_a_search_go_along(
    sqlite_database: Callable[[], str], store: Storage, tmp_path: Path
) -> None:
    spec, uri, other = searched(prune={"keep": 0.5, "at": 1}), sqlite_database(), sqlite_database()
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    for of_cell in spec.setting_trials([0]):
        for number, (trial,) in enumerate(of_cell):
            ended = ("completed", "FINISHED", 3) if number > 1 else ("pruned", "KILLED", 1)
            outcome, status, epochs = ended
            values = [0.5 + 0.1 * number] * epochs
            metrics = {"validation_accuracy": values, "epoch_seconds": [36.0] * epochs}
            config = trial.config.given()
            made = RecordedTrial(config, values, outcome, trial.key, status, metrics)
            recorder.trial(experiment, parent, made)
    path = tmp_path / "search.jsonl.gz"
    write_archive(export_sweep(connect(uri), spec.name), path)
    archive = read_archive(path)
    assert import_sweep(connect(other), archive, store) == Imported(new=8, known=0)
    assert import_sweep(connect(other), archive, store) == Imported(new=0, known=8)
    whole = Results(spec.name, tracking_uri=uri).search()
    assert whole["state"].tolist() == 2 * ["pruned", "pruned", "finished", "finished"]
    for results in (Results(str(path)), Results(spec.name, tracking_uri=other)):
        pd.testing.assert_frame_equal(results.search(), whole, check_exact=True)
        assert len(results.by_seed()) == len(Results(spec.name, tracking_uri=uri).by_seed())


def test_a_sweep_that_is_being_run_is_left_alone(
    archive: tuple[str, SweepArchive], sqlite_database: Callable[[], str], store: Storage
) -> None:
    uri = sqlite_database()
    with sweep_lease(store, "digits"), pytest.raises(LeaseTakenError):
        import_sweep(connect(uri), archive[1], store)
    assert connect(uri).get_experiment_by_name("digits") is None


def test_the_file_is_small_the_same_each_time_and_keeps_what_is_not_finite(
    archive: tuple[str, SweepArchive], tmp_path: Path
) -> None:
    sweep = archive[1]
    odd = sweep.trials[0].__class__(
        **{
            **vars(sweep.trials[0]),
            "points": [("train_loss", 1, 5, math.inf), ("x", 1, 5, math.nan)],
        }
    )
    sweep = SweepArchive(sweep.name, sweep.status, sweep.spec, (odd, *sweep.trials[1:]))
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.gz"
    write_archive(sweep, plain)
    write_archive(sweep, packed)
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert plain.stat().st_size < 18 * 4000
    again = read_archive(packed).trials[0].points
    assert [(name, str(value)) for name, _, _, value in again] == [
        ("train_loss", "inf"),
        ("x", "nan"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a sweep's archive"),
        (b"name: digits\n", "is not a sweep's archive"),
        (b'{"snn_sweep_archive": 9}\n', "an archive of version 9; this version reads 1"),
        (DAMAGED, "is damaged"),
        (b'{"snn_sweep_archive": true}\n', "is not a sweep's archive.*a whole number, got true"),
        (b'{"snn_sweep_archive": 1, "name": "a", "status": "stopped"}\n', "damaged.*spec is mis"),
        (b"[" * 100_000, "is not a sweep's archive"),
        (HEAD % (b"../a", b"stopped"), "damaged.*must not hold /"),
        (HEAD % (b"a", b"weird"), "damaged: line 1: status must be one of .*got 'weird'"),
        (PACKED[:-9], "is not a sweep's archive"),
        (PACKED[:12] + bytes(40), "cannot be read: "),
        (PACKED[:12] + b"\xff" * 40, "is not a sweep's archive"),
    ],
)  # fmt: skip
def test_another_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / ("file.jsonl.gz" if content.startswith(b"\x1f") else "file.jsonl")
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_archive(path)


def test_no_file_and_no_sweep(tmp_path: Path, sqlite_database: Callable[[], str]) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_archive(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="no sweep is named 'digits'"):
        export_sweep(connect(sqlite_database()), "digits")
