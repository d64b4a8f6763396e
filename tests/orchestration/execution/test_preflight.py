"""What a sweep needs is looked at before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs import spec

from orchestration.errors import SpecError
from orchestration.execution.trials.preflight import check_data
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"training_images": [1000, 100_000]}, "images 100000 of data set 'digits': it has 1437;"),
        ({"training_images": [3]}, "training_images 3 of data set 'digits', which has 1437"),
        ({"validation_fraction": [0.2, 0.001]}, "validation_fraction 0.001 of the 1437 training"),
        ({"training_images": [20], "validation_fraction": [0.2]}, "_fraction 0.2 of the 20"),
        ({"training_images": [1000], "validation_fraction": [0.2, 0]}, None),
    ],
)  # fmt: skip
def test_a_part_that_its_data_set_does_not_give_is_refused(
    grid: dict[str, list[float]], message: str | None, tmp_path: Path
) -> None:
    wanted = SweepSpec.from_dict(spec(grid=[{"architecture": "ann", "norm": "none", **grid}]))
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path / "home")})
    if message is None:
        check_data(wanted, settings)
    else:
        with pytest.raises(SpecError, match=f"dataset: .*{message}"):
            check_data(wanted, settings)
