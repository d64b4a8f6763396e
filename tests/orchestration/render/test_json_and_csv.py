from __future__ import annotations

import json

import pandas as pd

from orchestration.render.records import to_csv, to_json


def test_what_is_no_number_in_json_is_null() -> None:
    frame = pd.DataFrame(
        {
            "ci_low_pp": [float("-inf"), 0.5],
            "ci_high_pp": [float("inf"), float("nan")],
            "verdict": ["undecided", None],
        }
    )
    assert json.loads(to_json(frame)) == [
        {"ci_low_pp": None, "ci_high_pp": None, "verdict": "undecided"},
        {"ci_low_pp": 0.5, "ci_high_pp": None, "verdict": None},
    ]
    assert to_csv(frame).splitlines() == [
        "ci_low_pp,ci_high_pp,verdict", "-inf,inf,undecided", "0.5,,",
    ]  # fmt: skip
