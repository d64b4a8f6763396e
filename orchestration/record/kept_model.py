"""What a trial's run says of the model that lies beside it, in a tag."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MODEL_TAG = "snn_sweep.model"

MODEL_FOLDER = "model"
"""Of a run's artifacts."""

_LONGEST_REASON = 500
"""Characters, of which JSON writes some as twelve: of 8,000 in a tag."""


@dataclass(frozen=True)
class KeptModel:
    """The model of a finished trial, or why there is none.

    Args:
        epoch: whose weights it has; None where there is no model.
        test_accuracy: in that epoch, a fraction; None where that was no number.
        bytes: of its weights with their description.
        missing: why there is no model.
    """

    epoch: int | None = None
    test_accuracy: float | None = None
    bytes: int | None = None
    missing: str | None = None

    def to_tag(self) -> str:
        """The tag's text, which fits into a tag; numbers keep every digit."""
        said = {k: value for k, value in asdict(self).items() if value is not None}
        if self.missing is not None:
            said["missing"] = self.missing[:_LONGEST_REASON]
        return json.dumps(said)

    @classmethod
    def from_tag(cls, text: str) -> KeptModel:
        """What a tag's text says."""
        return cls(**json.loads(text))
