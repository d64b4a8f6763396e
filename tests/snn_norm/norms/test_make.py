from __future__ import annotations

import pickle

import pytest
from torch import nn

from snn_norm.norms.make import make_norm
from snn_norm.norms.table import NORMS, norms_of
from snn_norm.references import load_reference


def scaled(num_features: int, num_steps: int | None = None) -> nn.Module:
    """A user's norm, which remembers how it was made."""
    module = nn.Identity()
    module.made_with = (num_features, num_steps)
    return module


class TestMakeNorm:
    @pytest.mark.parametrize(("architecture", "made_with"), [("ann", (5,)), ("snn", (5, 3))])
    def test_every_name(self, architecture: str, made_with: tuple[int, ...]) -> None:
        for name in norms_of(architecture):
            norm = make_norm(name, *made_with)
            assert type(norm) is load_reference(NORMS[name].layers[architecture])
            assert getattr(norm, "num_features", 5) == 5
            assert getattr(norm, "num_steps", 3) == 3 or architecture == "ann"

    @pytest.mark.parametrize("steps", [None, 3])
    def test_a_users_own(self, steps: int | None) -> None:
        assert make_norm(f"{__name__}:scaled", 5, steps).made_with == (5, steps)

    def test_a_users_own_can_be_pickled(self) -> None:
        norm = make_norm(f"{__name__}:scaled", 5)
        assert pickle.loads(pickle.dumps(norm)).made_with == (5, None)

    def test_a_norm_of_the_other_network(self) -> None:
        with pytest.raises(ValueError, match=r"artificial .* none, batchnorm, .* got 'bntt'"):
            make_norm("bntt", 5)
        with pytest.raises(ValueError, match=r"spiking .* none, batchnorm, .* got 'batch'"):
            make_norm("batch", 5, 3)
