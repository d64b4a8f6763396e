"""The loader by which MLflow loads a trained model, as the model's file ``MLmodel`` names it.

It imports no MLflow. The module must keep its name, since recorded models refer to it.
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
    """Computes the logits of images through the interface of ``mlflow.pyfunc``.

    Args:
        model: the model in evaluation mode, on the CPU.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    @torch.no_grad()
    def predict(
        self,
        images: npt.NDArray[np.uint8],
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow passes it
    ) -> npt.NDArray[np.float32]:
        """Logits (N, K) of uint8 images (N, C, H, W), or of sequences (N, T, C, H, W)."""
        # The array is copied, since torch warns of one that is read-only.
        parts = torch.split(torch.tensor(images), self._model.description.config.batch_size)
        return torch.cat([self._model(part) for part in parts]).numpy()


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Predictor:
    """Load a model for MLflow, which passes the model's folder and its caller's configuration.

    Args:
        path: the folder.
        model_config: ``own_code``, as in ``load_model``.
    """
    return Predictor(load_model(Path(path), own_code=(model_config or {}).get("own_code", ())))
