"""The trials of a sweep that have failed or were stopped. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.page.drawing.text import last_lines
from orchestration.reading.records import Records
from orchestration.record.names import LABEL_TAG, REASON_TAG


@dataclass(frozen=True)
class Failure:
    """A trial that has failed or was stopped, with the last lines of its error."""

    run_id: str
    label: str
    state: str
    said: str


def failures_of(others: Records) -> list[Failure]:
    """The failed and stopped trials among the unfinished ones, the newest first."""
    states = {"FAILED": "failed", "KILLED": "stopped"}
    ended = others.runs[others.runs["status"].isin(list(states))]
    tags: dict[str, dict[str, str]] = {}
    for run_id, tag, value in others.tag_rows((REASON_TAG, LABEL_TAG)):
        tags.setdefault(run_id, {})[tag] = value
    newest = ended.sort_values("finished", ascending=False, na_position="last")
    return [
        Failure(
            run_id,
            tags.get(run_id, {}).get(LABEL_TAG, run_id),
            states[status],
            last_lines(tags.get(run_id, {}).get(REASON_TAG, "")),
        )
        for run_id, status in zip(newest.index.tolist(), newest["status"], strict=True)
    ]
