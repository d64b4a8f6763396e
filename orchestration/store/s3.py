"""The checkpoint store in S3, Amazon's or another that knows conditional writes.

Where a folder has locks, S3 has conditional writes: an object is written only if it is still the
one that was read (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
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
"""After so long without a sign of life a lock's holder is taken for dead."""
_SIGN_EVERY = 5.0


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

    def _below(self, name: str) -> Self:
        return type(self)(self.bucket, f"{self.prefix}{name}/")

    def folders(self) -> list[Self]:
        listed = pages(self.bucket, self.prefix, Delimiter="/")
        found = [one["Prefix"] for page in listed for one in page.get("CommonPrefixes", [])]
        return [type(self)(self.bucket, prefix) for prefix in found]

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
            delete_objects(self.bucket, [one["Key"] for one in page.get("Contents", [])])

    def journal(self, name: str, first_line: bytes) -> Journal:
        return _S3Journal(self._object(name), first_line)

    def lock(self, name: str) -> Lock:
        return _S3Lock(S3Object(self.bucket, self.prefix + name, quick=True))

    def _object(self, name: str) -> S3Object:
        return S3Object(self.bucket, self.prefix + name)


class _S3Journal(Journal):
    """One object, written anew with each line: some hundred lines, and less than a checkpoint."""

    def __init__(self, place: S3Object, first_line: bytes) -> None:
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

    place: S3Object

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

    def __init__(self, place: S3Object, owner: bytes, etag: str) -> None:
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
