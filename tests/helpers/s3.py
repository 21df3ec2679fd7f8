"""An S3 server of our own for tests: moto, in memory, on a free port."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer


@contextlib.contextmanager
def s3_bucket(name: str) -> Iterator[str]:
    """Address of a new bucket; the usual AWS_* variables lead there meanwhile."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in {
                "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            }.items():  # fmt: skip
                patch.setenv(variable, value)
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
            yield f"s3://{name}"
    finally:
        server.stop()
