from __future__ import annotations

import pytest
import torch
from torch import nn

from snn_norm.norms.make import make_norm
from snn_norm.norms.table import norms_of


def scaled(num_features: int, num_steps: int | None = None) -> nn.Module:
    """A user's norm, which remembers how it was made."""
    module = nn.Identity()
    module.made_with = (num_features, num_steps)
    return module


class TestMakeNorm:
    def test_every_name_of_an_artificial_network(self) -> None:
        norms = {name: make_norm(name, 5) for name in norms_of("ann")}
        x = torch.randn(4, 5, 2, 2)
        assert {name: type(norm).__name__ for name, norm in norms.items()} == {
            "none": "Identity",
            "batchnorm": "BatchNorm2d",
            "homeostatic": "HomeostaticNorm",
        }
        assert all(norm(x).shape == x.shape for norm in norms.values())

    def test_every_name_of_a_spiking_network(self) -> None:
        norms = {name: make_norm(name, 5, 3) for name in norms_of("snn")}
        x = torch.randn(3, 4, 5, 2, 2)
        assert {name: type(norm).__name__ for name, norm in norms.items()} == {
            "none": "Identity",
            "bntt": "BatchNormThroughTime2d",
            "homeostatic": "TemporalHomeostaticNorm2d",
        }
        assert all(norm(x).shape == x.shape for norm in norms.values())

    @pytest.mark.parametrize("steps", [None, 3])
    def test_a_users_own(self, steps: int | None) -> None:
        assert make_norm(f"{__name__}:scaled", 5, steps).made_with == (5, steps)

    def test_a_norm_of_the_other_network(self) -> None:
        with pytest.raises(ValueError, match=r"artificial .* none, batchnorm, .* got 'bntt'"):
            make_norm("bntt", 5)
        with pytest.raises(ValueError, match=r"spiking .* none, bntt, .* got 'batchnorm'"):
            make_norm("batchnorm", 5, 3)
