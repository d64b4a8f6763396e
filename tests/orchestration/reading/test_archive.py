"""A sweep in a file gives the answers that it gives on its server, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from whole_sweep import record_digits

from orchestration.errors import InputError
from orchestration.reading.archive import names_archive
from orchestration.record.archive import write_archive
from orchestration.record.client import connect
from orchestration.record.exchange import export_sweep
from orchestration.report.write import write_report
from orchestration.results.results import Results


@pytest.fixture(scope="module")
def exported(
    sqlite_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    """The database of a sweep, and its file."""
    uri = sqlite_database()
    record_digits(uri, trials=17)
    path = tmp_path_factory.mktemp("files é") / "of digits.jsonl.gz"
    write_archive(export_sweep(connect(uri), "digits"), path)
    return uri, str(path)


@pytest.mark.parametrize(
    "answer",
    ["trials", "curves", "best_of_seeds", "last_epoch", "by_seed", "expected_best",
     "norm_differences", "dependency_gap", "basin", "mean_ranks"],
)  # fmt: skip
def test_the_answers_are_the_databases(answer: str, exported: tuple[str, str]) -> None:
    uri, path = exported
    expected = getattr(Results("digits", database_url=uri), answer)()
    found = getattr(Results(path), answer)()
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_it_has_the_sweeps_name_and_spec(exported: tuple[str, str]) -> None:
    results = Results(exported[1])
    assert results.name == "digits"
    assert (results.best_of_seeds()["n_expected"] == 3).all()


def test_a_report_of_it_leads_to_no_server(exported: tuple[str, str], tmp_path: Path) -> None:
    page = write_report(exported[1], tmp_path / "report").read_text(encoding="utf-8")
    assert "2 × a &lt;fast&gt; &amp; good processor" in page
    assert "/#/experiments" not in page


def test_it_is_read_without_mlflow(exported: tuple[str, str]) -> None:
    program = (
        "import sys; from orchestration import Results; Results(sys.argv[1]).best_of_seeds(); "
        "print('mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", program, exported[1]]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "False\n"


def test_only_a_file_is_taken_for_one(exported: tuple[str, str]) -> None:
    assert [names_archive(name) for name in ("digits", "a.b", "x.jsonl", "y.jsonl.gz", "./z")] == [
        False, False, True, True, True,
    ]  # fmt: skip
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Results("./digits")
    with pytest.raises(InputError, match=r"no sweep is named 'x\.jsonl'"):
        Results("x.jsonl", database_url=exported[0])
