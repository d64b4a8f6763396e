"""Loops on the threads of PyTorch's OpenMP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from snn_norm.neurons import threads
from snn_norm.neurons.threads import in_parallel


@pytest.fixture(params=["OpenMP", "a pool"], autouse=True)
def two_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "a pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("this PyTorch has no OpenMP with GNU's interface")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 7])
def test_each_part_is_called_once(parts: int) -> None:
    called: list[int] = []
    in_parallel(called.append, parts)
    assert sorted(called) == list(range(parts))


def test_two_parts_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2, timeout=20)
    in_parallel(lambda _: barrier.wait(), 2)  # one after the other would never pass it


def test_an_error_comes_after_all_parts_have_ended() -> None:
    ended = []

    def part(index: int) -> None:
        if index == 0:
            raise ZeroDivisionError("the first part")
        time.sleep(0.2)
        ended.append(index)

    with pytest.raises(ZeroDivisionError, match="the first part"):
        in_parallel(part, 2)
    assert ended == [1]
    in_parallel(ended.append, 2)
    assert sorted(ended) == [0, 1, 1]


def test_an_interrupt_is_not_lost() -> None:
    def part(index: int) -> None:
        if index == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_parallel(part, 2)
