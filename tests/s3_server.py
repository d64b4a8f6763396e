"""moto's S3 server, a process of its own, in place of Amazon's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
import requests
from commands import free_port, wait_until

BUCKET = "sweeps"


@contextmanager
def s3_server() -> Iterator[Mapping[str, str]]:
    """What processes need in their environment to use it; it has an empty bucket."""
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parent)
        try:
            wait_until(lambda: process.poll() is not None or _answers(port))
            client_of(environment).create_bucket(Bucket=BUCKET)
            yield environment
        finally:
            process.terminate()
            process.wait(timeout=30)


def client_of(environment: Mapping[str, str]) -> boto3.client:
    """boto3's own client for it."""
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/moto-api/", timeout=5).ok
    except requests.ConnectionError:
        return False
