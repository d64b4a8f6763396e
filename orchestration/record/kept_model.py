"""The tag in which a trial's run describes its kept model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MODEL_TAG = "snn_sweep.model"

MODEL_FOLDER = "model"
"""The folder with the model among a run's artifacts."""

_LONGEST_REASON = 500
"""The most characters of a reason. JSON may write each as twelve, and a tag has room for 8,000."""


@dataclass(frozen=True)
class KeptModel:
    """The model of a finished trial, or why there is none.

    Args:
        epoch: the epoch of its weights; None if there is no model.
        test_accuracy: the test accuracy in that epoch, a fraction; None if it was not a number.
        bytes: the size of its weights and their description.
        missing: why there is no model; None if there is one.
    """

    epoch: int | None = None
    test_accuracy: float | None = None
    bytes: int | None = None
    missing: str | None = None

    def to_tag(self) -> str:
        """The text of the tag, which is short enough for one; numbers keep every digit."""
        fields = {k: value for k, value in asdict(self).items() if value is not None}
        if self.missing is not None:
            fields["missing"] = self.missing[:_LONGEST_REASON]
        return json.dumps(fields)

    @classmethod
    def from_tag(cls, text: str) -> KeptModel:
        """Read what :meth:`to_tag` wrote."""
        return cls(**json.loads(text))
