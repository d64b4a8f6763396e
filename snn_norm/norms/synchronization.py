"""Statistics over all processes of data-parallel training."""

from __future__ import annotations

import torch.distributed as dist
from torch import nn

from snn_norm.norms.base import StandsInForBatchNorm
from snn_norm.norms.static import HomeostaticNorm


def synchronize(model: nn.Module, process_group: dist.ProcessGroup | None = None) -> nn.Module:
    """Let the batch normalizations of a network take their statistics over all processes.

    What ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` is to a network of torch's own layers,
    which become ``SyncBatchNorm`` here too: each :class:`snn_norm.HomeostaticNorm` stays itself and
    becomes ``synchronized``. Without ``torch.distributed`` it later trains as one process.

    Args:
        model: the network, changed in place.
        process_group: the processes; default: all. A network that holds a group of its own cannot
            be copied or saved as a whole, only its ``state_dict``; as with ``SyncBatchNorm``.

    Returns:
        The network, or what has replaced it.

    Raises:
        ValueError: it has a norm of a spiking network, whose statistics can only be each process's
            own, or torch.distributed has not been initialized.
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
