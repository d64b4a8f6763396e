"""The field's norms against SpikingJelly's layers, with the differences that are known."""

from __future__ import annotations

from typing import Any

import torch
from field_norms import C, T, assert_same, make, sequence
from spikingjelly.activation_based import layer as spikingjelly_layer
from spikingjelly.activation_based import neuron as spikingjelly_neuron
from torch import Tensor, nn

from snn_norm import norms


class TestAgainstSpikingJelly:
    """Over three batches; differences by design are made up for and named."""

    def compare(self, ours: Any, theirs: Any, parameters: dict[str, str]) -> None:
        theirs.double()
        with torch.no_grad():
            for name, its_name in parameters.items():
                theirs.get_parameter(its_name).copy_(ours.get_parameter(name))
        for seed in range(3):
            x = sequence(seed).requires_grad_()
            y, expected = ours(x), theirs(x)
            assert_same(y, expected)
            (grad_x,) = torch.autograd.grad((y * sequence(50)).sum(), x)
            (expected_x,) = torch.autograd.grad((expected * sequence(50)).sum(), x)
            assert_same(grad_x, expected_x)
        x = sequence(9)
        assert_same(ours.eval()(x), theirs.eval()(x))

    def test_tdbn_whose_weight_starts_at_the_threshold(self) -> None:
        theirs = spikingjelly_layer.ThresholdDependentBatchNorm2d(0.5, 0.6, C)
        ours = norms.ThresholdDependentBatchNorm2d(
            C, T, threshold=0.6, branches=4, dtype=torch.float64
        )
        nn.init.constant_(theirs.double().weight, 0.5 * 0.6)  # in double precision
        self.compare(ours, theirs, {})

    def test_tebn(self) -> None:
        theirs = spikingjelly_layer.TemporalEffectiveBatchNorm2d(T, C)
        self.compare(make("tebn"), theirs, {"weight": "weight", "bias": "bias", "p": "scale"})

    def test_bntt_with_its_own_eps(self) -> None:
        class EachSequence(nn.Module):
            """Theirs counts steps until it is reset."""

            def __init__(self) -> None:
                super().__init__()
                self.norm = spikingjelly_layer.BatchNormThroughTime2d(T, C, eps=1e-4, step_mode="m")

            def forward(self, x: Tensor) -> Tensor:
                self.norm.reset()
                y: Tensor = self.norm(x)
                return y

        theirs, ours = EachSequence(), make("bntt")
        with torch.no_grad():
            for peer, weight in zip(theirs.double().norm.bn_list, ours.weight, strict=True):
                peer.weight.copy_(weight)
        self.compare(ours, theirs, {})

    def test_mpbn_at_the_first_step_after_which_theirs_carries_the_normalized_membrane_on(
        self,
    ) -> None:
        theirs = spikingjelly_neuron.MPBNLIFNode(
            tau=2.0, decay_input=False, v_reset=None, out_channels=C, step_mode="s"
        ).double()
        ours = make("mpbn")
        with torch.no_grad():
            theirs.vbn.weight.copy_(ours.weight), theirs.vbn.bias.copy_(ours.bias)
        for seed in range(3):
            current = sequence(seed)[0]
            theirs.reset()
            assert_same(theirs(current), (ours(current, 0) >= 1).double())
        assert_same(theirs.vbn.running_mean, ours.running_mean)
        assert_same(theirs.vbn.running_var, ours.running_var)
