"""Statistics over all processes of data-parallel training."""

from __future__ import annotations

import torch.distributed as dist
from torch import nn

from snn_norm.norms.base import StandsInForBatchNorm
from snn_norm.norms.static import HomeostaticNorm


def synchronize(model: nn.Module, process_group: dist.ProcessGroup | None = None) -> nn.Module:
    """Make the batch normalizations of a network take their statistics over all processes.

    This extends ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``: torch's own layers become
    ``SyncBatchNorm`` here too, and each :class:`snn_norm.HomeostaticNorm` is kept and becomes
    ``synchronized``. If it is used without ``torch.distributed`` later, it trains as one process.

    Args:
        model: the network, changed in place.
        process_group: the processes; default: all. As with ``SyncBatchNorm``, a network that holds
            a group of its own cannot be copied or saved as a whole; only its ``state_dict`` can.

    Returns:
        The network, or the layer that has replaced it.

    Raises:
        ValueError: the network has a norm for spiking networks, whose statistics can only be taken
            in each process by itself, or torch.distributed has not been initialized.
    """
    if not dist.is_initialized():
        raise ValueError("there are no processes yet; call torch.distributed.init_process_group")
    if isinstance(model, HomeostaticNorm):
        model.synchronized = True
        model.process_group = process_group
    elif isinstance(model, StandsInForBatchNorm):
        raise ValueError(
            f"a {type(model).__name__} cannot take its statistics over processes; leave it as it "
            "is: each process then keeps its own"
        )
    elif not list(model.children()):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model, process_group)
        return converted
    for name, child in model.named_children():
        setattr(model, name, synchronize(child, process_group))
    return model
