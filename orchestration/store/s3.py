"""The checkpoint store in S3, Amazon's or another that knows conditional writes.

Where a folder has locks, S3 has conditional writes: an object is written only if it is still the
one that was read (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
The bucket must be there. Credentials, region and endpoint are boto3's: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import stamina

from orchestration.errors import InputError, SweepError
from orchestration.store.base import Held, Journal, Lock, Storage, SupersededError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise InputError(
        f"SNN_SWEEP_STORAGE in S3 needs boto3 ({error}): pip install 'snn-norm[s3]'"
    ) from None

__all__ = ["LEASE_SECONDS", "S3Error", "S3Storage"]

LEASE_SECONDS = 20.0
"""After so long without a sign of life a lock's holder is taken for dead."""
_SIGN_EVERY = 5.0

_ABSENT = {"404", "NoSuchKey"}
_OTHER_THERE = {"412", "PreconditionFailed"}


def _at_the_same_time(error: Exception) -> bool:
    """Whether S3 asks to write again, as another did so at this moment."""
    conflicts = {"409", "ConditionalRequestConflict"}
    return isinstance(error, ClientError) and _code(error) in conflicts


_insist = stamina.RetryingCaller(wait_jitter=0.1)


@functools.cache
def _client(*, quick: bool) -> Any:
    """This process's client, which threads may share."""
    config = Config(
        connect_timeout=3 if quick else 5,
        read_timeout=3 if quick else 20,
        retries={"mode": "standard", "total_max_attempts": 1 if quick else 4},
        # What newer checksums add, not every server but Amazon's knows.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", config=config)


class S3Error(SweepError, OSError):
    """Whatever S3 and the way to it have to say; an ``OSError``, as a disk would give."""


@contextmanager
def _os_errors(place: object) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise S3Error(f"{place}: {error}") from error


@dataclass(frozen=True)
class _Version:
    """An object as it was read."""

    data: bytes
    etag: str
    age: float
    """Seconds since it was written, by the server's clock."""


@dataclass(frozen=True)
class _Object:
    bucket: str
    key: str
    quick: bool = False
    """Whether to give up within seconds rather than to try again."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def _client(self) -> Any:
        return _client(quick=self.quick)

    def read(self) -> _Version | None:
        with _os_errors(self):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self.key)
                data = answer["Body"].read()
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise
        written: datetime = answer["LastModified"]
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return _Version(data, answer["ETag"], (now - written).total_seconds())

    def write(self, data: bytes) -> None:
        with _os_errors(self):
            self._client.put_object(Bucket=self.bucket, Key=self.key, Body=data)

    def swap(self, data: bytes, etag: str | None) -> str | None:
        """Write it if it is still the one with this tag, or, for None, if there is none.

        Returns:
            The new tag; None if there is another one now.
        """
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        with _os_errors(self):
            try:
                put = _insist(
                    _at_the_same_time,
                    self._client.put_object,
                    Bucket=self.bucket,
                    Key=self.key,
                    Body=data,
                    **condition,
                )
            except ClientError as error:
                if _code(error) not in _OTHER_THERE | _ABSENT:
                    raise
                # A reply that was lost was asked for again, and its own write stood in the way.
                now = self.read()
                return now.etag if now and now.data == data else None
            return str(put["ETag"])


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@dataclass(frozen=True)
class S3Storage(Storage):
    """What begins with a prefix in a bucket.

    Args:
        bucket: its name; it must be there.
        prefix: ends with a slash, or is empty.
    """

    bucket: str
    prefix: str

    @classmethod
    def at(cls, bucket: str, path: str) -> Self:
        """The store in a bucket, under a path."""
        path = path.strip("/")
        return cls(bucket, f"{path}/" if path else "")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def name(self) -> str:
        return self.prefix.rstrip("/").rpartition("/")[2]

    def folder(self, name: str) -> Self:
        return type(self)(self.bucket, f"{self.prefix}{name}/")

    def folders(self) -> list[Self]:
        pages = self._pages(Delimiter="/")
        found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
        return [type(self)(self.bucket, prefix) for prefix in found]

    def read(self, name: str) -> bytes | None:
        version = self._object(name).read()
        return version.data if version else None

    def write(self, name: str, data: bytes, *, previous: str | None = None) -> None:
        if previous is not None:
            source = {"Bucket": self.bucket, "Key": self.prefix + name}
            with _os_errors(self._object(name)):
                try:
                    _client(quick=False).copy_object(
                        Bucket=self.bucket, Key=self.prefix + previous, CopySource=source
                    )
                except ClientError as error:
                    if _code(error) not in _ABSENT:
                        raise
        self._object(name).write(data)

    def delete(self, *names: str) -> None:
        self._delete([self.prefix + name for name in names])

    def delete_all(self) -> None:
        for page in self._pages():
            self._delete([one["Key"] for one in page.get("Contents", [])])

    def journal(self, name: str, first_line: bytes) -> Journal:
        return _S3Journal(self._object(name), first_line)

    def lock(self, name: str) -> Lock:
        return _S3Lock(_Object(self.bucket, self.prefix + name, quick=True))

    def _object(self, name: str) -> _Object:
        return _Object(self.bucket, self.prefix + name)

    def _pages(self, **options: str) -> Iterator[Any]:
        """Lists of at most 1000 objects, which is as many as can be deleted at once."""
        with _os_errors(self):
            pages = _client(quick=False).get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self.bucket, Prefix=self.prefix, **options)

    def _delete(self, keys: list[str]) -> None:
        if not keys:
            return
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with _os_errors(self):
            answer = _client(quick=False).delete_objects(Bucket=self.bucket, Delete=objects)
        if failed := answer.get("Errors"):
            raise S3Error(f"{self}: {failed[0]['Key']} was not deleted: {failed[0]['Message']}")


class _S3Journal(Journal):
    """One object, written anew with each line: some hundred lines, and less than a checkpoint."""

    def __init__(self, place: _Object, first_line: bytes) -> None:
        self._place = place
        etag = None
        while etag is None:
            found = place.read()
            self.lines = [*(found.data.splitlines(keepends=True) if found else []), first_line]
            etag = place.swap(b"".join(self.lines), found.etag if found else None)
        self._etag = etag

    def append(self, line: bytes) -> None:
        etag = self._place.swap(b"".join([*self.lines, line]), self._etag)
        if etag is None:
            raise SupersededError(f"another attempt has taken over {self._place}")
        self._etag = etag
        self.lines.append(line)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class _S3Lock(Lock):
    """Its holder writes it anew every few seconds; one that no longer does has lost it.

    A holder that finds it taken by another is sent SIGINT, as by Ctrl-C. One that cannot reach S3
    goes on: nothing else here can be written meanwhile either.
    """

    place: _Object

    def take(self, owner: bytes) -> Held | None:
        first = seen = self.place.read()
        deadline = time.monotonic() + LEASE_SECONDS
        while seen is not None and _owner(seen.data) is not None:
            if first is not None and seen.etag != first.etag:
                return None
            if seen.age > LEASE_SECONDS or time.monotonic() > deadline:
                break
            time.sleep(1)
            seen = self.place.read()
        etag = self.place.swap(_sign(owner, 0), seen.etag if seen else None)
        return _SignsOfLife(self.place, owner, etag) if etag else None

    def owner(self) -> bytes | None:
        found = self.place.read()
        return _owner(found.data) if found and found.age <= LEASE_SECONDS else None


class _SignsOfLife(Held):
    """Writes a lock anew, from a thread, until it is let go of or lost."""

    def __init__(self, place: _Object, owner: bytes, etag: str) -> None:
        self._place = place
        self._owner = owner
        self._etag = etag
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._ending.set()
        self._thread.join()
        if not self.lost:
            # Where S3 is away, it is free after a while all the same.
            with suppress(S3Error):
                self._place.swap(_sign(None, 0), self._etag)

    def _run(self) -> None:
        count = 0
        while not self._ending.wait(_SIGN_EVERY):
            count += 1
            with suppress(S3Error):  # the next sign may arrive
                etag = self._place.swap(_sign(self._owner, count), self._etag)
                if etag is None:
                    self.lost = True
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._etag = etag


def _sign(owner: bytes | None, count: int) -> bytes:
    """What a lock says; without an owner it is free."""
    said = owner.decode() if owner is not None else None
    return json.dumps({"owner": said, "sign": count}).encode()


def _owner(sign: bytes) -> bytes | None:
    said = json.loads(sign)["owner"]
    return said.encode() if said is not None else None
