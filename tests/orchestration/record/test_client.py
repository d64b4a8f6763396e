"""Which of MLflow's answers are worth asking again for."""

from __future__ import annotations

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
