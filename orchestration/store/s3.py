"""The checkpoint store in S3, Amazon's or another that supports conditional writes.

Conditional writes take the place of file locks: an object is written only if it has not changed
since it was read (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from orchestration.store.base import Held, Journal, Lock, Storage, SupersededError
from orchestration.store.s3_objects import S3Error, S3Object, delete_objects, pages

LEASE_SECONDS = 20.0
"""A lock's holder counts as dead after so many seconds without a heartbeat."""
_HEARTBEAT_SECONDS = 5.0


@dataclass(frozen=True)
class S3Storage(Storage):
    """The objects of a bucket whose keys begin with a prefix.

    Args:
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

    def _below(self, name: str) -> Self:
        return type(self)(self.bucket, f"{self.prefix}{name}/")

    def folders(self) -> list[Self]:
        return [
            type(self)(self.bucket, folder["Prefix"])
            for page in pages(self.bucket, self.prefix, Delimiter="/")
            for folder in page.get("CommonPrefixes", [])
        ]

    def read(self, name: str) -> bytes | None:
        version = self._object(name).read()
        return version.data if version else None

    def write(self, name: str, data: bytes, *, previous: str | None = None) -> None:
        if previous is not None:
            self._object(name).copy_to(self.prefix + previous)
        self._object(name).write(data)

    def delete(self, *names: str) -> None:
        delete_objects(self.bucket, [self.prefix + name for name in names])

    def delete_all(self) -> None:
        for page in pages(self.bucket, self.prefix):
            delete_objects(self.bucket, [entry["Key"] for entry in page.get("Contents", [])])

    def size(self) -> int:
        found = (page.get("Contents", []) for page in pages(self.bucket, self.prefix))
        return sum(entry["Size"] for entries in found for entry in entries)

    def journal(self, name: str, first_line: bytes) -> Journal:
        return _S3Journal(self._object(name), first_line)

    def lock(self, name: str) -> Lock:
        return _S3Lock(S3Object(self.bucket, self.prefix + name, quick=True))

    def _object(self, name: str) -> S3Object:
        return S3Object(self.bucket, self.prefix + name)


class _S3Journal(Journal):
    """A journal in one object. Each line rewrites it whole: it is smaller than a checkpoint."""

    def __init__(self, target: S3Object, first_line: bytes) -> None:
        self._target = target
        etag = None
        while etag is None:
            version = target.read()
            self.lines = [*(version.data.splitlines(keepends=True) if version else []), first_line]
            etag = target.swap(b"".join(self.lines), version.etag if version else None)
        self._etag = etag

    def append(self, line: bytes) -> None:
        etag = self._target.swap(b"".join([*self.lines, line]), self._etag)
        if etag is None:
            raise SupersededError(f"another attempt has taken over {self._target}")
        self._etag = etag
        self.lines.append(line)

    def close(self) -> None:
        """Do nothing: no connection is kept open."""


@dataclass(frozen=True)
class _S3Lock(Lock):
    """A lock that its holder renews every few seconds; a holder that stops doing so loses it.

    A holder that finds the lock taken by another process gets SIGINT, as from Ctrl-C. A holder that
    cannot reach S3 continues: nobody else can write to the store from here either.
    """

    target: S3Object

    def take(self, owner: bytes) -> Held | None:
        first = latest = self.target.read()
        deadline = time.monotonic() + LEASE_SECONDS
        while latest is not None and _owner(latest.data) is not None:
            if first is not None and latest.etag != first.etag:
                return None
            if latest.age > LEASE_SECONDS or time.monotonic() > deadline:
                break
            time.sleep(1)
            latest = self.target.read()
        etag = self.target.swap(_heartbeat(owner, 0), latest.etag if latest else None)
        return _HeldS3(self.target, owner, etag) if etag else None

    def owner(self) -> bytes | None:
        version = self.target.read()
        return _owner(version.data) if version and version.age <= LEASE_SECONDS else None


class _HeldS3(Held):
    """Renews a lock from a thread, until it is released or lost."""

    def __init__(self, target: S3Object, owner: bytes, etag: str) -> None:
        self._target = target
        self._owner = owner
        self._etag = etag
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._ending.set()
        self._thread.join()
        if not self.lost:
            # If S3 cannot be reached, the lock expires by itself.
            with suppress(S3Error):
                self._target.swap(_heartbeat(None, 0), self._etag)

    def _run(self) -> None:
        count = 0
        while not self._ending.wait(_HEARTBEAT_SECONDS):
            count += 1
            with suppress(S3Error):  # the next heartbeat may arrive
                etag = self._target.swap(_heartbeat(self._owner, count), self._etag)
                if etag is None:
                    self.lost = True
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._etag = etag


def _heartbeat(owner: bytes | None, count: int) -> bytes:
    """The content of a lock; without an owner it is free."""
    text = owner.decode() if owner is not None else None
    return json.dumps({"owner": text, "sign": count}).encode()


def _owner(heartbeat: bytes) -> bytes | None:
    text = json.loads(heartbeat)["owner"]
    return text.encode() if text is not None else None
