"""The artificial network, and a function that makes either network from its name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from snn_norm.networks.initialization import initialize
from snn_norm.networks.spiking import SNNCNN
from snn_norm.networks.table import check_init, make_trunk
from snn_norm.networks.trunk import TrunkNetwork
from snn_norm.norms.make import check_own
from snn_norm.references import is_reference, load_reference


class ANNCNN(TrunkNetwork):
    """The artificial network, with rectified linear units.

    Args:
        norm: a norm of :data:`snn_norm.norms.table.NORMS` for ann, or ``package.module:name``,
            called as ``name(num_features)``.
        trunk: a name in :data:`snn_norm.networks.table.TRUNKS`.
        width: channels of the first convolution; default: the trunk's own, 64 for the reference.
        depth: for trunk resnet only, 6n + 2; default 20.
        shortcut: for trunk resnet only: none, spike (sums of activations) or membrane
            (pre-activation, the default).
        init: default (PyTorch's weights) or kaiming; see
            :mod:`snn_norm.networks.initialization`.
        in_channels: channels of an image.
        num_classes: K, the number of classes.
        image_size: height and width in pixels, at least 8.

    Shape:
        Images (N, C, H, W); output logits (N, K).

    Raises:
        ValueError: a name is unknown, a key belongs to another trunk, or a number is outside
            :data:`snn_norm.bounds.BOUNDS`.
    """

    def __init__(
        self,
        norm: str = "batchnorm",
        *,
        trunk: str = "reference",
        width: int | None = None,
        depth: int | None = None,
        shortcut: str | None = None,
        init: str = "default",
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: int = 32,
    ) -> None:
        super().__init__(
            make_trunk(trunk, width, depth, shortcut),
            norm,
            lambda _: nn.ReLU(),
            num_steps=None,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
        )
        check_init(init, spiking=False)
        initialize(self, init)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        if x_NCHW.dim() != 4:
            raise ValueError(
                f"an artificial network takes images (N, C, H, W), got {tuple(x_NCHW.shape)}; "
                "for sequences, take architecture snn"
            )
        return self._at_one_step(x_NCHW)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"ann": ANNCNN, "snn": SNNCNN}
"""Networks by name."""


def make_model(architecture: str, **keys: object) -> nn.Module:
    """Make a network from its name.

    Args:
        architecture: ann, snn, or ``package.module:name`` for your own, called with the same keys.
        keys: norm, in_channels, num_classes, image_size and the network's other arguments.

    Raises:
        ValueError: the name is unknown or cannot be imported, or a key's value is wrong.
    """
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture](**keys)
    if is_reference(architecture):
        model: nn.Module = load_reference(architecture)(**keys)
        check_own(architecture, model)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError(f"{architecture} has no parameters to train")
        return model
    raise ValueError(
        f"architecture must be one of {', '.join(ARCHITECTURES)}, or package.module:name, "
        f"got {architecture!r}"
    )
