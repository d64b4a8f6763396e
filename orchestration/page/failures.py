"""The trials of a sweep that have failed or were stopped. Pure."""

from __future__ import annotations

from orchestration.model.status import TrialStatus
from orchestration.page.drawing.text import last_lines
from orchestration.reading.records import Records
from orchestration.record.names import LABEL_TAG, REASON_TAG


def failures_of(others: Records) -> list[tuple[str, TrialStatus]]:
    """The failed and stopped trials among the unfinished ones, the newest first, with labels."""
    states = {"FAILED": "failed", "KILLED": "stopped"}
    ended = others.runs[others.runs["status"].isin(list(states))]
    tags: dict[str, dict[str, str]] = {}
    for run_id, tag, value in others.tag_rows((REASON_TAG, LABEL_TAG)):
        tags.setdefault(run_id, {})[tag] = value
    newest = ended.sort_values("finished", ascending=False, na_position="last")
    return [
        (
            tags.get(run_id, {}).get(LABEL_TAG, run_id),
            TrialStatus(
                states[status],
                run_id=run_id,
                error=last_lines(tags.get(run_id, {}).get(REASON_TAG, "")),
            ),
        )
        for run_id, status in zip(newest.index.tolist(), newest["status"], strict=True)
    ]
