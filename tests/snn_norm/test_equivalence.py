from __future__ import annotations

import itertools
import re

import pytest
import torch

from snn_norm.equivalence import compare, feature_maps, main


def test_equal_where_they_must_be_and_close_elsewhere() -> None:
    with torch.no_grad():
        found = {c.case: c for c in compare(feature_maps(16, 8, 8, seed=1), channels=8)}
    assert list(found) == [
        "training, batch 1",
        "training, batch 10",
        "training, batch 100",
        "training, batches 2 to 100",
        "evaluation, one state_dict",
        "evaluation, own statistics",
        "training, momentum 1",
    ]
    for comparison in found.values():
        if comparison.expected.startswith("equal"):
            assert comparison.largest_difference < 1e-5
            assert comparison.homeostatic == pytest.approx(comparison.standard, abs=1e-5)
        else:
            assert 1e-5 < comparison.largest_difference < 1
            assert comparison.homeostatic == pytest.approx(comparison.standard, abs=0.05)
    one, many = (
        found[f"training, batch{which}"].homeostatic[0] for which in (" 100", "es 2 to 100")
    )
    assert abs(many) < abs(one)


def test_moments_and_difference_are_those_of_the_outputs() -> None:
    # Two values a channel: any batch is normalized to -1 and 1.
    with torch.no_grad():
        first, *_ = compare(feature_maps(2, 3, 1, seed=1), channels=3)
    assert first.standard == pytest.approx((0, 1), abs=1e-3)
    assert first.homeostatic == pytest.approx((0, 1), abs=1e-3)


def test_channels_differ_and_batches_share_them() -> None:
    batches = list(itertools.islice(feature_maps(64, 5, 16, seed=1), 2))
    (var_0, mean_0), (var_1, mean_1) = (torch.var_mean(x, (0, 2, 3)) for x in batches)
    torch.testing.assert_close(mean_0, mean_1, atol=0.1, rtol=0)
    torch.testing.assert_close(var_0, var_1, atol=0, rtol=0.1)
    assert mean_0.std() > 0.5
    assert not torch.equal(*batches)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--batch-size", "4", "--channels", "2", "--size", "4"])
    title, *lines = capsys.readouterr().out.splitlines()
    assert "4 x 2 x 4 x 4" in title
    assert len(lines) == 2 + 7
    starts = {line.index(re.search(r"equal|close", line)[0]) for line in lines[2:]}  # type: ignore[index]
    assert len(starts) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "0"],
        ["--channels", "x"],
        ["--size", "1", "--batch-size", "1"],
        ["--seed", "99999999999999999999"],
        ["--seed", "-1"],
    ],
)
def test_wrong_input(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert arguments[0] in err.splitlines()[-1]
