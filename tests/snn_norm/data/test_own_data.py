"""Data sets that a user's own function returns, by ``package.module:function``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from snn_norm.data.dataset import DatasetError, load_dataset, normalize


class TestOwn:
    """A data set by ``package.module:function``."""

    count = itertools.count()

    GOOD = """
import torch
def images(root):
    train = torch.arange(6 * 2 * 8 * 8).reshape(6, 2, 8, 8).remainder(251).to(torch.uint8)
    return train, torch.tensor([0, 1, 2, 0, 1, 2]), train[:3] + 1, torch.tensor([0, 4, 2])
"""

    @pytest.fixture
    def own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
        """Write a module whose ``images`` is the good one but for the lines given."""
        monkeypatch.syspath_prepend(tmp_path)

        def write(lines: str = "") -> str:
            module = f"own_data_{next(self.count)}"
            (tmp_path / f"{module}.py").write_text(f"{self.GOOD}\ngood = images\n{lines}")
            return f"{module}:images"

        return write

    def test_what_the_function_returns_is_the_data_set(self, own: Callable[..., str]) -> None:
        name = own()
        got = load_dataset(name, Path("/nowhere"))
        expected = torch.arange(6 * 2 * 8 * 8).reshape(6, 2, 8, 8).remainder(251)
        assert torch.equal(got.train_images, expected.to(torch.uint8))
        assert got.test_labels.tolist() == [0, 4, 2]
        assert (got.name, got.in_channels, got.image_size) == (name, 2, 8)
        assert got.num_classes == 5  # the largest label is in the test half

    def test_images_are_resized_when_a_size_is_asked_for(self, own: Callable[..., str]) -> None:
        got = load_dataset(own(), Path("/nowhere"), image_size=5)
        assert got.train_images.shape == (6, 2, 5, 5)
        assert got.test_images.shape == (3, 2, 5, 5)

    def test_the_function_gets_the_folder(self, own: Callable[..., str], tmp_path: Path) -> None:
        root = tmp_path / "données d'été"
        root.mkdir()
        (root / "labels.txt").write_text("7 0 0 0 0 0")
        name = own("""
def images(root):
    labels = [int(n) for n in (root / "labels.txt").read_text().split()]
    return good(root)[0], torch.tensor(labels), *good(root)[2:]
""")
        assert load_dataset(name, root).train_labels.tolist() == [7, 0, 0, 0, 0, 0]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("good({}['key'])", "KeyError: 'key'"),
            ("__import__('sys').exit(3)", "SystemExit: 3"),
            ("torch.zeros(2, 3) @ torch.zeros(2)", "RuntimeError: size mismatch.*"),
        ],
    )
    def test_what_the_function_raises_is_told_with_its_line(
        self, own: Callable[..., str], line: str, said: str
    ) -> None:
        name = own(f"def images(root):\n    return {line}")
        where = rf"\({name.partition(':')[0]}\.py, line 9\)"
        with pytest.raises(
            DatasetError, match=rf"^data set '{name}' raised {said} {where}$"
        ) as got:
            load_dataset(name, Path("/nowhere"))
        assert got.value.__cause__ is not None

    @pytest.mark.parametrize("fault", ["MemoryError", "KeyboardInterrupt"])
    def test_what_is_not_the_functions_fault_comes_through(
        self, own: Callable[..., str], fault: str
    ) -> None:
        with pytest.raises((MemoryError, KeyboardInterrupt)):
            load_dataset(own(f"def images(root):\n    raise {fault}"), Path("/nowhere"))

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            ("no_such_module_here:images", "cannot import 'no_such_module_here'"),
            ("math:images", "module 'math' has no 'images'"),
            ("math:pi", "'math:pi' cannot be called"),
            ("shutil:copyfileobj", "'shutil:copyfileobj' must take .*missing a required argument"),
        ],
    )
    def test_a_bad_reference(self, reference: str, message: str) -> None:
        with pytest.raises(DatasetError, match=f"^data set '{reference}': .*{message}"):
            load_dataset(reference, Path("/nowhere"))

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ("None", "must return four tensors (train_images, train_labels, test_images, "
             "test_labels), got a NoneType"),
            ("a", "must return four tensors (train_images, train_labels, test_images, "
             "test_labels), got a Tensor"),
            ("a, b, c", "must return four tensors (train_images, train_labels, test_images, "
             "test_labels), got a tuple of 3"),
            ("[a, b, c, d, 10]", "must return four tensors (train_images, train_labels, "
             "test_images, test_labels), got a list of 5"),
            ("a.numpy(), b, c, d", "train_images must be a torch.Tensor, got a numpy.ndarray"),
            ("a, b, c, [0, 4, 2]", "test_labels must be a torch.Tensor, got a builtins.list"),
            ("a / 255, b, c, d", "train_images must be torch.uint8 of shape (N, C, H, W), or "
             "(N, T, C, H, W) for sequences, got torch.float32 of shape (6, 2, 8, 8)"),
            ("a, b, c[:, 0], d", "test_images must be torch.uint8 of shape (N, C, H, W), or "
             "(N, T, C, H, W) for sequences, got torch.uint8 of shape (3, 8, 8)"),
            ("a[..., 1:], b, c, d", "train_images must be square (H = W), got torch.uint8 of "
             "shape (6, 2, 8, 7): crop, pad or resize them in the function"),
            ("a, b.int(), c, d", "train_labels must be torch.int64 of shape (N,), "
             "got torch.int32 of shape (6,)"),
            ("a, b, c, d[:, None]", "test_labels must be torch.int64 of shape (N,), "
             "got torch.int64 of shape (3, 1)"),
            ("a[:0], b[:0], c, d", "train_images must not be empty, got torch.uint8 of shape "
             "(0, 2, 8, 8)"),
            ("a, b, c, d[:0]", "test_labels must not be empty, got torch.int64 of shape (0,)"),
            ("a, b - 1, c, d", "train_labels must number the classes from 0, at most "
             "100,000 of them, got the label -1"),
            ("a, b, c, d * 250_000_000", "test_labels must number the classes from 0, at most "
             "100,000 of them, got the label 1000000000"),
            ("a[1:], b, c, d", "train_labels must have one label for each of the 5 train_images, "
             "got 6"),
            ("a, b, c, d[1:]", "test_labels must have one label for each of the 3 test_images, "
             "got 2"),
            ("a, b, c[:, :1], d", "test_images must have the shape of train_images but for N, "
             "(2, 8, 8), got (1, 8, 8)"),
            ("a, b, c[..., 1:, 1:], d", "test_images must have the shape of train_images but "
             "for N, (2, 8, 8), got (2, 7, 7)"),
            ("a, b, c[:, None], d", "test_images must have the shape of train_images but for N, "
             "(2, 8, 8), got (1, 2, 8, 8)"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told(self, own: Callable[..., str], changed: str, message: str) -> None:
        name = own(f"def images(root):\n    a, b, c, d = good(root)\n    return {changed}")
        with pytest.raises(DatasetError) as caught:
            load_dataset(name, Path("/nowhere"))
        assert re.fullmatch(f"data set '{name}':? {re.escape(message)}", str(caught.value))

    def test_a_constant_channel_can_be_normalized(self, own: Callable[..., str]) -> None:
        got = load_dataset(
            own("def images(root):\n    a, *rest = good(root)\n    return a.fill_(7), *rest"),
            Path("/nowhere"),
        )
        assert torch.equal(got.std, torch.full((2,), 1 / 255))
        normalized = normalize(got.train_images, got.mean, got.std)
        assert normalized.abs().max() < 1e-4
