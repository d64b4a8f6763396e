"""What is of S3 alone: replies that are lost, holders that give no more signs of life."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from commands import wait_until
from proxy import Proxy
from s3_server import BUCKET, client_of

from orchestration.errors import SweepError
from orchestration.store import s3 as s3_store
from orchestration.store import s3_objects
from orchestration.store.base import Held
from orchestration.store.lease import sweep_lease
from orchestration.store.open import open_storage
from orchestration.store.s3 import S3Storage
from orchestration.store.s3_objects import S3Error


@pytest.fixture
def storage(s3: Mapping[str, str], request: pytest.FixtureRequest) -> S3Storage:
    assert s3  # it is there
    return S3Storage.at(BUCKET, request.node.name)


@pytest.fixture
def proxy(s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Stands between this process and S3; who finds it down gives up at once."""
    port = urlsplit(s3["AWS_ENDPOINT_URL_S3"]).port
    assert port is not None
    with Proxy(port) as between:
        address = f"http://127.0.0.1:{between.port}"
        config = Config(retries={"mode": "standard", "total_max_attempts": 2})
        client = boto3.client("s3", endpoint_url=address, config=config)
        monkeypatch.setattr(s3_objects, "_client", lambda *, quick: client)  # noqa: ARG005
        yield between


def taken(storage: S3Storage, owner: bytes) -> Held:
    held = storage.lock("l").take(owner)
    assert held is not None
    return held


def test_a_lost_reply_neither_loses_nor_supersedes(storage: S3Storage, proxy: Proxy) -> None:
    journal = storage.journal("j", b"first\n")
    for line in (b"1\n", b"2\n", b"3\n"):
        proxy.lose_replies(1)
        journal.append(line)
    assert storage.read("j") == b"first\n1\n2\n3\n"
    for data in (b"1", b"2"):
        proxy.lose_replies(1)
        storage.write("a", data, previous="b")
    assert (storage.read("a"), storage.read("b")) == (b"2", b"1")
    assert proxy.replies_left_to_lose == 0


@pytest.mark.usefixtures("proxy")
def test_a_write_that_met_another_is_made_again(storage: S3Storage) -> None:
    refusals = [AWSResponse("", 409, {}, None) for _ in range(2)]
    for refusal in refusals:
        refusal._content = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
    sends = s3_objects._client(quick=False).meta.events
    sends.register("before-send.s3.PutObject", lambda **_: refusals.pop() if refusals else None)
    journal = storage.journal("j", b"first\n")
    journal.append(b"1\n")
    assert (storage.read("j"), refusals) == (b"first\n1\n", [])


def test_a_store_that_is_away_gives_the_error_of_a_disk(storage: S3Storage, proxy: Proxy) -> None:
    journal = storage.journal("j", b"first\n")
    proxy.down()
    for act in (lambda: storage.write("a", b"1"), lambda: journal.append(b"1\n")):
        with pytest.raises(OSError, match=f"s3://{BUCKET}/.*/[aj]:") as caught:
            act()
        assert isinstance(caught.value, S3Error)
    proxy.up()
    journal.append(b"2\n")
    assert (storage.read("a"), storage.read("j")) == (None, b"first\n2\n")


def test_a_holder_that_cannot_reach_s3_for_a_moment_goes_on(
    storage: S3Storage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "_HEARTBEAT_SECONDS", 0.1)
    held = taken(storage, b"first")
    proxy.down()
    wait_until(lambda: proxy.refused > 1)
    proxy.up()
    before = storage.read("l")
    wait_until(lambda: storage.read("l") != before)
    assert not held.lost
    held.release()
    assert storage.lock("l").owner() is None


def test_a_holder_that_was_taken_for_dead_is_interrupted(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "_HEARTBEAT_SECONDS", 2.0)
    monkeypatch.setattr(s3_store, "LEASE_SECONDS", 0.0)
    first = taken(storage, b"first")
    second = taken(storage, b"second")
    monkeypatch.setattr(s3_store, "LEASE_SECONDS", 60.0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` would have it ignored
    with pytest.raises(KeyboardInterrupt):
        signal.pause()
    assert first.lost
    assert not second.lost
    first.release()
    assert storage.lock("l").owner() == b"second"
    second.release()


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_named() -> None:
    storage = open_storage("s3://no-such-bucket/x").folder("digits")
    match = r"the checkpoint store cannot be used: s3://no-such-bucket/x/digits.*NoSuchBucket"
    with pytest.raises(SweepError, match=match), sweep_lease(storage, "digits"):
        pass


def test_more_than_can_be_listed_at_once_is_deleted(
    storage: S3Storage, s3: Mapping[str, str]
) -> None:
    client = client_of(s3)
    pages = functools.partial(client.list_objects_v2, Bucket=BUCKET, Prefix=storage.prefix)
    for number in range(1001):
        client.put_object(Bucket=BUCKET, Key=f"{storage.prefix}{number}", Body=b"")
    assert pages()["IsTruncated"]
    storage.delete_all()
    assert pages()["KeyCount"] == 0


def test_without_boto3_it_is_said_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['boto3'] = None\n"
        "sys.argv = ['snn-sweep', 'run', 'digits']\n"
        "from orchestration import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "SNN_SWEEP_STORAGE": f"s3://{BUCKET}",
            "SNN_SWEEP_HOME": str(tmp_path),
            "PATH": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "pip install 'snn-norm[s3]'" in ended.stderr
    assert "Traceback" not in ended.stderr
