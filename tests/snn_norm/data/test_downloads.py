"""Downloads of data sets, from an HTTP server of this machine that has small ones."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from published import CLASSES, Published, Publisher, md5, publish_cifar, publish_mnist
from torchvision import datasets

import snn_norm.data.downloads
from snn_norm.data.dataset import DatasetError, load_dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "données d'été"


@pytest.fixture(autouse=True)
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Debian's package of Fashion-MNIST would lie: this machine may have it."""
    folder = tmp_path / "debian"
    monkeypatch.setattr(snn_norm.data.downloads, "_PACKAGED_FASHION", folder)
    return folder


@pytest.fixture(params=list(CLASSES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def published(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    publish = publish_cifar if name.startswith("cifar") else publish_mnist
    return publish(CLASSES[name], tmp_path / "published", monkeypatch)


@pytest.fixture
def point_to(name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let torchvision download from these addresses and no other."""

    def point(*urls: str) -> None:
        kind = CLASSES[name]
        if name.startswith("cifar"):
            monkeypatch.setattr(kind, "url", urls[-1] + kind.filename)
        else:
            monkeypatch.setattr(kind, "mirrors", list(urls))

    return point


@pytest.fixture
def publisher(published: Published, point_to: Callable[..., None]) -> Iterator[Publisher]:
    publisher = Publisher(published.archives)
    with publisher.server as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        point_to(publisher.url)
        yield publisher
        server.shutdown()
        thread.join()


@pytest.fixture
def no_network(point_to: Callable[..., None]) -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    point_to(address)
    return address


def check(name: str, root: Path, published: Published) -> None:
    got = load_dataset(name, root)
    assert torch.equal(got.train_images, published.train[0])
    assert torch.equal(got.train_labels, published.train[1])
    assert torch.equal(got.test_images, published.test[0])
    assert torch.equal(got.test_labels, published.test[1])
    assert got.train_labels.dtype == got.test_labels.dtype == torch.int64
    assert got.train_images.is_contiguous()
    assert got.num_classes == (100 if name == "cifar100" else 10)


def files(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file but the locks, with its time and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, md5(path))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_download_is_read_exactly(
    name: str, root: Path, published: Published, publisher: Publisher
) -> None:
    check(name, root, published)
    assert sorted(publisher.fetched) == sorted(files(published.archives))


def test_a_download_shows_its_progress(
    name: str, root: Path, publisher: Publisher, capfd: pytest.CaptureFixture[str]
) -> None:
    load_dataset(name, root)
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err
    assert publisher.fetched


def test_what_is_there_is_not_fetched_again_nor_touched(
    name: str, root: Path, published: Published, publisher: Publisher
) -> None:
    check(name, root, published)
    publisher.fetched.clear()
    before = files(root)
    check(name, root, published)
    assert publisher.fetched == []
    assert files(root) == before


@pytest.mark.usefixtures("no_network")
def test_copied_archives_are_enough(name: str, root: Path, published: Published) -> None:
    target = root if name.startswith("cifar") else root / published.inside
    shutil.copytree(published.archives, target)
    check(name, root, published)


def test_without_a_network_the_error_tells_the_way_out(
    name: str, root: Path, published: Published, no_network: str
) -> None:
    started = time.monotonic()
    with pytest.raises(DatasetError) as caught:
        load_dataset(name, root)
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert f"data set '{name}' cannot be read from {root / published.inside}" in message
    assert "is missing" in message
    assert "Connection refused" in message
    target = root if name.startswith("cifar") else root / published.inside
    for archive in files(published.archives):
        assert f"{no_network}{archive}  to  {target}" in message
    assert "SNN_SWEEP_DATA" in message


@pytest.mark.usefixtures("publisher")
def test_a_damaged_file_is_replaced(name: str, root: Path, published: Published) -> None:
    check(name, root, published)
    for path in (root / published.inside).iterdir():
        intact = path.read_bytes()
        path.write_bytes(intact[: len(intact) // 2])  # as when a download broke off
        check(name, root, published)
        assert path.read_bytes() == intact


@pytest.mark.usefixtures("publisher")
def test_a_damaged_file_without_a_network_is_named(
    name: str, root: Path, published: Published, point_to: Callable[..., None]
) -> None:
    check(name, root, published)
    point_to("http://127.0.0.1:1/")
    for archive in root.glob("*.tar.gz"):
        archive.unlink()
    damaged = min((root / published.inside).iterdir())
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"\({damaged.name} is damaged\), nor downloaded"):
        load_dataset(name, root)
    assert damaged.read_bytes() == content


@pytest.mark.usefixtures("publisher")
def test_what_the_server_has_must_be_intact(name: str, root: Path, published: Published) -> None:
    for archive in published.archives.iterdir():
        archive.write_bytes(b"<html>Log in to this network</html>")
    for _ in range(2):  # what was fetched is not taken for good the second time either
        with pytest.raises(DatasetError, match=r"nor downloaded.*corrupted"):
            load_dataset(name, root)


@pytest.mark.usefixtures("published", "no_network")
def test_a_folder_that_cannot_be_made_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"nor downloaded \((NotADirectory|FileExists)Error"):
        load_dataset(name, tmp_path / "file")


def test_two_that_start_at_once_download_once(
    name: str, root: Path, published: Published, publisher: Publisher
) -> None:
    together = threading.Barrier(2)

    def load() -> None:
        together.wait()
        check(name, root, published)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(load) for _ in range(2)]:
            done.result()
    assert len(publisher.fetched) == len(files(published.archives))


@pytest.mark.usefixtures("publisher")
def test_who_waited_for_the_other_leaves_the_files_alone(
    name: str, root: Path, tmp_path: Path, published: Published
) -> None:
    """They may be in use already."""
    check(name, tmp_path / "complete", published)
    root.mkdir()
    with (root / f".{name}.lock").open("w") as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = pool.submit(check, name, root, published)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        shutil.copytree(tmp_path / "complete", root, dirs_exist_ok=True)
        written = {path: path.stat().st_ctime_ns for path in (root / published.inside).iterdir()}
        fcntl.flock(lock, fcntl.LOCK_UN)
        waiting.result()
    assert {path: path.stat().st_ctime_ns for path in written} == written


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("answer", "cause"), [(b"220 FTP ready\r\n\r\n", "BadStatusLine"), (b"", "timed out")]
)
def test_a_server_that_speaks_nonsense_or_nothing_is_given_up(
    root: Path,
    name: str,
    answer: bytes,
    cause: str,
    point_to: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snn_norm.data.downloads, "_STALLED_AFTER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        point_to(f"http://127.0.0.1:{server.getsockname()[1]}/")
        loading = pool.submit(load_dataset, name, root)
        connection, _ = server.accept()
        with connection:
            connection.sendall(answer)
            with pytest.raises(DatasetError, match=cause):
                loading.result(timeout=10)


@pytest.mark.usefixtures("publisher")
def test_the_socket_timeout_is_put_back(name: str, root: Path) -> None:
    socket.setdefaulttimeout(77)
    try:
        load_dataset(name, root)
        assert socket.getdefaulttimeout() == 77
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"], indirect=True)
def test_the_second_mirror_stands_in_for_the_first(
    name: str,
    root: Path,
    published: Published,
    publisher: Publisher,
    point_to: Callable[..., None],
) -> None:
    point_to("http://127.0.0.1:1/", publisher.url)
    check(name, root, published)


@pytest.fixture
def install(packaged: Path, published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the published files as Debian has them: other gzip headers, the same content."""
    packaged.mkdir()
    digests = []
    for name, _ in datasets.FashionMNIST.resources:
        content = gzip.decompress((published.archives / name).read_bytes())
        (packaged / name).write_bytes(gzip.compress(content, mtime=1))
        digests.append(hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(snn_norm.data.downloads, "_FASHION_SHA256", digests)


@pytest.mark.parametrize("name", ["fashion-mnist"], indirect=True)
@pytest.mark.usefixtures("install")
class TestPackagedFashion:
    def test_it_is_read_where_nothing_was_downloaded(
        self, name: str, root: Path, published: Published, publisher: Publisher
    ) -> None:
        check(name, root, published)
        assert publisher.fetched == []
        assert not root.exists()

    def test_what_was_downloaded_goes_before(
        self, name: str, root: Path, packaged: Path, published: Published, publisher: Publisher
    ) -> None:
        packaged.rename(packaged.with_name("away"))
        check(name, root, published)
        packaged.with_name("away").rename(packaged)
        (packaged / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")
        publisher.fetched.clear()
        check(name, root, published)
        assert publisher.fetched == []

    @pytest.mark.parametrize("content", [b"", b"\0\0\10\1\0\0\0\12" + b"\1" * 10])
    def test_other_content_is_not_taken(
        self,
        name: str,
        root: Path,
        packaged: Path,
        published: Published,
        publisher: Publisher,
        content: bytes,
    ) -> None:
        damaged = gzip.compress(content) if content else b"\x1f\x8b\x08"
        (packaged / "t10k-labels-idx1-ubyte.gz").write_bytes(damaged)
        check(name, root, published)
        assert publisher.fetched


def test_the_installed_package_is_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.exists():
        pytest.skip("dataset-fashion-mnist is not installed")
    monkeypatch.setattr(snn_norm.data.downloads, "_PACKAGED_FASHION", folder)
    got = load_dataset("fashion-mnist", Path("/nowhere"))
    assert got.train_images.shape == (60_000, 1, 28, 28)
    assert got.test_labels.bincount().tolist() == [1000] * 10


def test_another_size_is_resized(name: str, root: Path, publisher: Publisher) -> None:
    got = load_dataset(name, root, image_size=16)
    channels = 3 if name.startswith("cifar") else 1
    assert got.train_images.shape == (30, channels, 16, 16)
    assert got.test_images.dtype == torch.uint8
    assert publisher.fetched
