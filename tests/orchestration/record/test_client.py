"""What MLflow's client does on its own, and which of its answers are worth asking again for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from mlflow.exceptions import MlflowException, RestException

from orchestration.record.client import is_refusal


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RestException({"error_code": "INVALID_PARAMETER_VALUE"}), True),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST"}), True),
        (RestException({"error_code": "PERMISSION_DENIED"}), True),
        (RestException({"error_code": "BAD_REQUEST"}), False),
        (RestException({"error_code": "REQUEST_LIMIT_EXCEEDED"}), False),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE"}), False),
        (MlflowException("no connection"), False),
        (ConnectionError(), False),
        (UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"), True),
    ],
)
def test_a_refusal_is_what_would_be_refused_again(error: Exception, expected: bool) -> None:
    assert is_refusal(error) is expected


def test_mlflows_telemetry_is_off_where_orchestration_is_imported() -> None:
    program = (
        "import orchestration; from mlflow.telemetry.utils import is_telemetry_disabled; "
        "print(is_telemetry_disabled())"
    )
    # Under these variables alone, MLflow does not take the process for a test or for CI.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environment, text=True).split() == ["True"]
