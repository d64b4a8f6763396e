from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import snn_norm.data.dataset
from snn_norm.data.dataset import (
    Dataset,
    DatasetError,
    batches,
    channel_statistics,
    crop_and_flip,
    load_dataset,
    normalize,
)
from snn_norm.data.hold_out import training_part
from snn_norm.data.table import DATASETS


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(seed))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", Path("/nowhere"))


class TestDigits:
    def test_facts(self, digits: Dataset) -> None:
        assert digits.train_images.shape == (1437, 1, 16, 16)
        assert digits.test_images.shape == (360, 1, 16, 16)
        assert digits.train_labels.shape == (1437,)
        assert digits.test_labels.shape == (360,)
        assert digits.train_images.dtype == digits.test_images.dtype == torch.uint8
        assert digits.train_labels.dtype == digits.test_labels.dtype == torch.int64
        assert (digits.num_classes, digits.in_channels, digits.image_size) == (10, 1, 16)
        assert (int(digits.train_images.min()), int(digits.train_images.max())) == (0, 255)

    def test_each_class_has_its_share_in_the_test(self, digits: Dataset) -> None:
        test = digits.test_labels.bincount(minlength=10)
        whole = test + digits.train_labels.bincount(minlength=10)
        assert (test - whole * 0.2).abs().max() < 1

    def test_the_split_never_changes(self, digits: Dataset) -> None:
        """A digest, so that another scikit-learn with another split does not go unnoticed."""
        content = digits.train_labels.numpy().tobytes() + digits.test_labels.numpy().tobytes()
        assert hashlib.sha256(content).hexdigest()[:16] == "7994555514f84aea"
        torch.manual_seed(5)
        again = load_dataset("digits", Path("/nowhere"))
        assert torch.equal(again.train_images, digits.train_images)
        assert torch.equal(again.test_images, digits.test_images)

    def test_no_image_is_in_both_halves(self, digits: Dataset) -> None:
        train, test = (
            {image.numpy().tobytes() for image in images}
            for images in (digits.train_images, digits.test_images)
        )
        assert not train & test

    def test_at_its_own_size_it_is_the_split_of_scikit_learn(self) -> None:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        scanned = load_digits()
        images = torch.from_numpy(scanned.images * 255 / 16).round().to(torch.uint8)[:, None]
        labels = torch.from_numpy(scanned.target)
        train, test = train_test_split(
            range(len(labels)), test_size=0.2, random_state=0, stratify=scanned.target
        )
        digits = load_dataset("digits", Path("/nowhere"), image_size=8)
        assert torch.equal(digits.train_images, images[train])
        assert torch.equal(digits.train_labels, labels[train])
        assert torch.equal(digits.test_images, images[test])
        assert torch.equal(digits.test_labels, labels[test])

    @pytest.mark.parametrize("size", [8, 16, 20])
    def test_image_size(self, size: int) -> None:
        digits = load_dataset("digits", Path("/nowhere"), image_size=size)
        assert digits.train_images.shape == (1437, 1, size, size)
        assert digits.test_images.shape == (360, 1, size, size)
        assert digits.image_size == size

    @pytest.mark.parametrize("size", [0, -8])
    def test_an_impossible_size_is_refused(self, size: int) -> None:
        with pytest.raises(DatasetError, match=f"at least 1 pixel, got {size}"):
            load_dataset("digits", Path("/nowhere"), image_size=size)

    def test_statistics_are_those_of_the_training_images(self, digits: Dataset) -> None:
        scaled = digits.train_images.double() / 255
        assert torch.equal(digits.mean, scaled.mean((0, 2, 3)).float())
        assert torch.equal(digits.std, scaled.std((0, 2, 3), correction=0).float())

    def test_moving_to_a_device_moves_every_tensor(self, digits: Dataset) -> None:
        moved = digits.to("meta")
        tensors = [value for value in vars(moved).values() if isinstance(value, Tensor)]
        assert len(tensors) == 6
        assert all(tensor.device.type == "meta" for tensor in tensors)
        assert (moved.name, moved.num_classes) == ("digits", 10)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"digits, mnist, .*module:function, got 'imagenet'"):
        load_dataset("imagenet", tmp_path)


def test_importing_and_loading_the_digits_is_cheap() -> None:
    code = (
        "import sys, pathlib; from snn_norm.data.dataset import load_dataset\n"
        "load_dataset('digits', pathlib.Path())\n"
        "print({'torchvision', 'sklearn', 'scipy', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_public_names_are_sorted() -> None:
    assert list(DATASETS) == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]


class TestSequences:
    """Samples of T time steps: each step as an image by itself, but for the crop and the flip."""

    @pytest.fixture
    def frames(self) -> Tensor:
        return random_images(6, 5, 2, 8, 8)

    @pytest.fixture
    def sequences(self, frames: Tensor, monkeypatch: pytest.MonkeyPatch) -> Dataset:
        labels = torch.tensor([0, 1, 2, 0, 1, 2])
        parts = (frames, labels, frames[:3] + 1, labels[:3])
        monkeypatch.setattr(snn_norm, "own_sequences", lambda _root: parts, raising=False)
        return load_dataset("snn_norm:own_sequences", Path("/nowhere"))

    def test_facts(self, sequences: Dataset, frames: Tensor) -> None:
        assert torch.equal(sequences.train_images, frames)
        assert (sequences.num_steps, sequences.in_channels, sequences.image_size) == (5, 2, 8)

    def test_images_have_no_steps(self, digits: Dataset) -> None:
        assert digits.num_steps is None
        digits.check_fits("ann", None)
        digits.check_fits("snn", 25)

    def test_statistics_and_size_are_those_of_the_single_frames(
        self, sequences: Dataset, frames: Tensor
    ) -> None:
        flat = frames.flatten(0, 1)
        mean, std = channel_statistics(flat)
        assert torch.equal(sequences.mean, mean)
        assert torch.equal(sequences.std, std)
        assert torch.equal(normalize(frames, mean, std).flatten(0, 1), normalize(flat, mean, std))
        resize = snn_norm.data.dataset._resize
        assert torch.equal(resize(frames, 12).flatten(0, 1), resize(flat, 12))

    def test_a_sequence_is_cropped_and_flipped_as_one(self, frames: Tensor) -> None:
        channels_NCHW = frames.flatten(1, 2)
        got = crop_and_flip(frames, seeded(3))
        assert torch.equal(got.flatten(1, 2), crop_and_flip(channels_NCHW, seeded(3)))
        assert not torch.equal(got, frames)

    def test_they_are_held_out_whole(self, sequences: Dataset, frames: Tensor) -> None:
        rest, (images, labels) = training_part(sequences, None, 0.5)
        assert (rest.num_steps, len(labels)) == (5, 3)
        both = torch.cat([rest.train_images, images]).flatten(1)
        assert torch.equal(both.unique(dim=0), frames.flatten(1).unique(dim=0))

    def test_what_does_not_fit_says_what_to_set(self, sequences: Dataset) -> None:
        sequences.check_fits("snn", 5)
        sequences.check_fits("module:own", None)
        with pytest.raises(DatasetError, match=r"of 5 time steps, got num_steps 25: set it to 5$"):
            sequences.check_fits("snn", 25)
        with pytest.raises(DatasetError, match=r"ann does not take: set architecture"):
            sequences.check_fits("ann", None)


class TestResize:
    def test_more_images_than_a_part_keep_their_order(self) -> None:
        images = random_images(2500, 1, 4, 4)
        whole = F.interpolate(images.float(), (6, 6), mode="bilinear", antialias=True).round()
        assert torch.equal(snn_norm.data.dataset._resize(images, 6), whole.to(torch.uint8))

    def test_shrinking_averages_over_all_pixels(self) -> None:
        stripes = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
        stripes[..., ::4] = 252  # without antialiasing, whole stripes fall between the samples
        small = snn_norm.data.dataset._resize(stripes, 8)
        assert (small[..., 1:-1].int() - 63).abs().max() <= 20

    def test_growing_is_plain_bilinear(self) -> None:
        images = random_images(3, 3, 8, 8)
        plain = F.interpolate(images.float(), (20, 20), mode="bilinear")
        assert (snn_norm.data.dataset._resize(images, 20) - plain).abs().max() < 0.5001


class TestBatches:
    @given(n=st.integers(1, 40), size=st.integers(1, 45), seed=st.none() | st.integers(0, 2**40))
    def test_they_part_the_data_set(self, n: int, size: int, seed: int | None) -> None:
        images = torch.arange(n).reshape(n, 1, 1, 1)
        generator = None if seed is None else seeded(seed)
        got = list(batches(images, 10 * torch.arange(n), size, generator))
        assert [len(part) for part, _ in got] == [size] * (n // size) + [n % size] * (n % size > 0)
        assert all(torch.equal(10 * part.flatten(), labels) for part, labels in got)
        order = torch.cat([part for part, _ in got]).flatten().tolist()
        assert sorted(order) == list(range(n))
        if generator is None:
            assert order == list(range(n))

    def test_a_seed_gives_an_order_of_its_own(self) -> None:
        numbers = torch.arange(1000)

        def order(seed: int) -> list[int]:
            parts = batches(numbers, numbers, 64, seeded(seed))
            return torch.cat([part for part, _ in parts]).tolist()

        assert order(1) == order(1)
        assert order(1) != order(2)
        assert order(1) != numbers.tolist()

    def test_the_next_epoch_has_another_order(self) -> None:
        numbers, generator = torch.arange(1000), seeded(0)
        first, second = (next(batches(numbers, numbers, 64, generator))[0] for _ in range(2))
        assert not torch.equal(first, second)

    def test_images_without_labels_are_refused(self) -> None:
        with pytest.raises(ValueError, match="each image needs a label, got 4 for 5 images"):
            next(batches(torch.zeros(5, 1, 8, 8), torch.zeros(4), 2))


class TestNormalize:
    def test_training_images_get_mean_0_and_deviation_1(self, digits: Dataset) -> None:
        normalized = normalize(digits.train_images, digits.mean, digits.std)
        assert normalized.dtype == torch.float32
        assert abs(normalized.mean().item()) < 1e-5
        assert abs(normalized.std(correction=0).item() - 1) < 1e-5

    def test_each_channel_has_its_own(self) -> None:
        images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
        mean, std = torch.tensor([0.5, 0.2, 0.0]), torch.tensor([0.5, 1.0, 0.25])
        got = normalize(images, mean, std).flatten()
        assert got.tolist() == pytest.approx([-1, 0, 4], abs=1e-7)
        assert images.flatten().tolist() == [0, 51, 255]


class TestCropAndFlip:
    @given(n=st.integers(1, 5), channels=st.integers(1, 3), size=st.integers(1, 12),
           seed=st.integers(0, 2**40))  # fmt: skip
    def test_each_is_a_window_of_the_padded_image(
        self, n: int, channels: int, size: int, seed: int
    ) -> None:
        images = random_images(n, channels, size, size, seed=seed)
        got = crop_and_flip(images, seeded(seed))
        assert (got.shape, got.dtype) == (images.shape, torch.uint8)
        padded = F.pad(images, (4, 4, 4, 4))
        for image, around in zip(got, padded, strict=True):
            windows = [
                around[:, top : top + size, left : left + size]
                for top in range(9)
                for left in range(9)
            ]
            assert any(torch.equal(image, w) or torch.equal(image, w.flip(2)) for w in windows)

    def test_every_shift_and_both_sides_are_equally_likely(self) -> None:
        """One bright pixel left of the middle tells shift and side of each image."""
        n = 40_000
        images = torch.zeros(n, 1, 32, 32, dtype=torch.uint8)
        images[:, :, 16, 10] = 255
        got = crop_and_flip(images, seeded(0))
        where = got.flatten(1).int().argmax(1)
        rows, columns = where // 32, where % 32
        mirrored = columns > 15
        down = rows - 16 + 4
        right = torch.where(mirrored, 31 - columns, columns) - 10 + 4
        counts = ((down * 9 + right) * 2 + mirrored).bincount(minlength=162)
        assert len(counts) == 162
        expected = n / 162
        chi_square = ((counts - expected).square() / expected).sum()
        assert chi_square < 161 + 5 * (2 * 161) ** 0.5

    def test_a_seed_gives_a_result_of_its_own(self) -> None:
        images = random_images(50, 3, 8, 8)
        assert torch.equal(crop_and_flip(images, seeded(1)), crop_and_flip(images, seeded(1)))
        assert not torch.equal(crop_and_flip(images, seeded(1)), crop_and_flip(images, seeded(2)))

    def test_height_and_width_may_differ(self) -> None:
        assert crop_and_flip(random_images(5, 3, 6, 9), seeded(0)).shape == (5, 3, 6, 9)

    def test_the_images_given_stay_as_they_are(self) -> None:
        images = random_images(20, 3, 8, 8)
        crop_and_flip(images, seeded(0)).fill_(0)
        assert torch.equal(images, random_images(20, 3, 8, 8))
