"""Objects in an S3 bucket: read, written, and replaced only if they have not changed.

The bucket must exist. Credentials, region and endpoint are boto3's: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import stamina

from orchestration.errors import InputError, SweepError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise InputError(
        f"SNN_SWEEP_STORAGE in S3 needs boto3 ({error}): pip install 'snn-norm[s3]'"
    ) from None

_ABSENT = {"404", "NoSuchKey"}
_CHANGED = {"412", "PreconditionFailed"}


def _is_conflict(error: Exception) -> bool:
    """Whether S3 asks to write again, because somebody else wrote at the same moment."""
    conflicts = {"409", "ConditionalRequestConflict"}
    return isinstance(error, ClientError) and _code(error) in conflicts


_retry = stamina.RetryingCaller(wait_jitter=0.1)


@functools.cache
def _client(*, quick: bool) -> Any:
    """This process's client, which threads may share."""
    config = Config(
        connect_timeout=3 if quick else 5,
        read_timeout=3 if quick else 20,
        retries={"mode": "standard", "total_max_attempts": 1 if quick else 4},
        # Not every server other than Amazon's supports the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", config=config)


class S3Error(SweepError, OSError):
    """S3 failed or cannot be reached; an ``OSError``, as a disk would raise."""


@contextmanager
def _os_errors(target: object) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise S3Error(f"{target}: {error}") from error


@dataclass(frozen=True)
class Version:
    """An object as it was read."""

    data: bytes
    etag: str
    age: float
    """Seconds since it was written, by the server's clock."""


@dataclass(frozen=True)
class S3Object:
    """One object, by its key."""

    bucket: str
    key: str
    quick: bool = False
    """Whether to give up within seconds instead of retrying."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def _client(self) -> Any:
        return _client(quick=self.quick)

    def read(self) -> Version | None:
        """The object as it is now; None if there is none."""
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
        return Version(data, answer["ETag"], (now - written).total_seconds())

    def write(self, data: bytes) -> None:
        """Write the object, and replace it if there is one."""
        with _os_errors(self):
            self._client.put_object(Bucket=self.bucket, Key=self.key, Body=data)

    def swap(self, data: bytes, etag: str | None) -> str | None:
        """Write the object if it still has this tag or, for None, if there is none.

        Returns:
            The new tag; None if somebody else has written the object.
        """
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        with _os_errors(self):
            try:
                reply = _retry(
                    _is_conflict,
                    self._client.put_object,
                    Bucket=self.bucket,
                    Key=self.key,
                    Body=data,
                    **condition,
                )
            except ClientError as error:
                if _code(error) not in _CHANGED | _ABSENT:
                    raise
                # If a reply was lost, boto3 repeats the request, which its own first write refuses.
                now = self.read()
                return now.etag if now and now.data == data else None
            return str(reply["ETag"])

    def copy_to(self, key: str) -> None:
        """Copy the object to another key of the bucket, if it exists."""
        source = {"Bucket": self.bucket, "Key": self.key}
        with _os_errors(self):
            try:
                self._client.copy_object(Bucket=self.bucket, Key=key, CopySource=source)
            except ClientError as error:
                if _code(error) not in _ABSENT:
                    raise


def pages(bucket: str, prefix: str, **options: str) -> Iterator[Any]:
    """The objects in lists of at most 1000, which is as many as can be deleted at once."""
    with _os_errors(f"s3://{bucket}/{prefix}"):
        listing = _client(quick=False).get_paginator("list_objects_v2")
        yield from listing.paginate(Bucket=bucket, Prefix=prefix, **options)


def delete_objects(bucket: str, keys: Sequence[str]) -> None:
    """Delete objects; those that do not exist are ignored."""
    if not keys:
        return
    objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    with _os_errors(f"s3://{bucket}"):
        answer = _client(quick=False).delete_objects(Bucket=bucket, Delete=objects)
    if failed := answer.get("Errors"):
        raise S3Error(f"s3://{bucket}/{failed[0]['Key']} was not deleted: {failed[0]['Message']}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
