"""Makes text fit for MLflow and its database, and the client that does so for all its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from orchestration.record.names import LONGEST_TAG


def sendable(text: str) -> str:
    """The text with lone surrogates escaped and without NUL characters.

    A file name that is not UTF-8 holds lone surrogates, and the error that names the file holds
    them too; UTF-8 cannot encode them. PostgreSQL cannot store NUL.
    """
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode("utf-8")


class SendableTextClient(MlflowClient):  # type: ignore[misc] # MLflow has no types for mypy
    """MLflow's client, which makes the text of parameters, tags and names sendable.

    A tag that is longer than MLflow's limit keeps its end, because the end of a traceback says what
    happened. MLflow itself would keep the beginning.
    """

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, str] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """The same as in ``MlflowClient``."""
        return super().create_run(
            experiment_id,
            start_time,
            {key: _tag_text(text) for key, text in (tags or {}).items()},
            None if run_name is None else sendable(run_name),
        )

    def set_tag(self, run_id: str, key: str, value: str, synchronous: bool | None = None) -> Any:
        """The same as in ``MlflowClient``."""
        return super().set_tag(run_id, key, _tag_text(value), synchronous)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
        synchronous: bool | None = None,
    ) -> Any:
        """The same as in ``MlflowClient``."""
        return super().log_batch(
            run_id,
            metrics,
            [Param(param.key, sendable(param.value)) for param in params],
            [RunTag(tag.key, _tag_text(tag.value)) for tag in tags],
            synchronous,
        )


def _tag_text(text: str) -> str:
    return sendable(text)[-LONGEST_TAG:]
