"""The optimizer that a configuration names, and its learning rate over the steps."""

from __future__ import annotations

import math

import torch
from torch import nn

from snn_norm.config import RunConfig


def make_optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Make an optimizer of all parameters, at the peak learning rate."""
    parameters, rate, decay = model.parameters(), config.learning_rate, config.weight_decay
    match config.optimizer:
        case "sgd":
            assert config.momentum is not None
            return torch.optim.SGD(parameters, rate, config.momentum, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(parameters, rate, weight_decay=decay)


def learning_rate_factor(config: RunConfig, step: int, steps_an_epoch: int) -> float:
    """The fraction of the peak learning rate to use after ``step`` steps."""
    warmup = config.warmup_epochs * steps_an_epoch
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    progress = (step - warmup) / (config.epochs * steps_an_epoch - warmup)
    return (1 + math.cos(math.pi * min(progress, 1.0))) / 2
