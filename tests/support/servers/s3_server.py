"""A real S3-speaking server on loopback, in a process of its own: moto's, which keeps all objects in memory.

Its clients are told of it by `env` alone, as they are told of any other S3: that is what femseg, s3fs, DVC, Ray and
MLflow read. It takes whatever credentials it is given.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

START_S = 120
SECRET_KEY = "only-for-tests-0123456789"  # looked for where no secret may stand


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """Where it answers, and the means to look into it past the code under test; `empty` is a file without settings."""

    url: str
    empty: Path
    process: subprocess.Popen[bytes]

    @property
    def env(self) -> dict[str, str]:
        """What a client's environment needs, and nothing of the machine's own AWS settings."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(self.empty),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.empty),
        }

    @property
    def client(self) -> Any:
        """boto3's, for a test's own eyes."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="tester",
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20),
        )

    def make_bucket(self, name: str) -> str:
        """Returns the bucket's URL."""
        self.client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Every object below a prefix, by key."""
        client = self.client
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def delete(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """While the block runs, the server takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def s3_server(folder: Path, *, port: int = 0, host: str = "127.0.0.1") -> Iterator[S3Server]:
    """Start one, its log in `folder`; it is gone when the block ends.

    Args:
        port: 0 takes a free one; another number brings a server back, empty, where one was.
        host: an address of this machine.
    """
    log = folder / "s3-server.log"
    command = [sys.executable, "-m", "moto.server", "--host", host, "--port", str(port)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=_quiet(os.environ), stdout=stream, stderr=stream)
    empty = folder / "aws-settings"  # a file indeed: DVC insists on it
    empty.touch()
    try:
        yield S3Server(url=_address(host, process, log), empty=empty, process=process)
    finally:
        process.kill()
        process.wait()


def _quiet(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith(("AWS_", "MOTO_"))}


def _address(host: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """What it says that it listens on, once it does."""
    limit = time.monotonic() + START_S
    while True:
        said = re.search(rf"Running on (http://{re.escape(host)}:\d+)", log.read_text(errors="replace"))
        if said:
            return said[1]
        assert process.poll() is None, f"ended with {process.returncode}:\n{log.read_text(errors='replace')[-3000:]}"
        assert time.monotonic() < limit, f"not up within {START_S} s:\n{log.read_text(errors='replace')[-3000:]}"
        time.sleep(0.05)
