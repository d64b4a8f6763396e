"""MLflow's way to a trained model: the loader that the file ``MLmodel`` beside it names.

It imports no MLflow, and stays at this address: recorded models name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from snn_norm.training.models.saved_model import TrainedModel, load_model


class Predictor:
    """Logits of images, as ``mlflow.pyfunc`` asks for them.

    Args:
        model: in evaluation, on the CPU.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    @torch.no_grad()
    def predict(
        self,
        images: npt.NDArray[np.uint8],
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow gives it
    ) -> npt.NDArray[np.float32]:
        """Logits (N, K) of uint8 images (N, C, H, W), or of sequences (N, T, C, H, W)."""
        # Of an array that may not be written to torch warns.
        parts = torch.split(torch.tensor(images), self._model.description.config.batch_size)
        return torch.cat([self._model(part) for part in parts]).numpy()


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Predictor:
    """What MLflow calls with the model's folder, and with what its caller has configured.

    Args:
        path: the folder.
        model_config: ``own_code`` as of ``load_model``.
    """
    return Predictor(load_model(Path(path), own_code=(model_config or {}).get("own_code", ())))
