from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import snntorch
import torch
from slow_norms import SlowHomeostaticNorm
from torch import Tensor, nn

from snn_norm.norms import BatchNormThroughTime2d, HomeostaticNorm, TemporalHomeostaticNorm2d

T, N, C, H, W = 4, 3, 2, 3, 5

every_norm = pytest.mark.parametrize("kind", [TemporalHomeostaticNorm2d, BatchNormThroughTime2d])
every_momentum = pytest.mark.parametrize("momentum", [0.1, 1.0, None])


def sequence(seed: int, steps: int = T) -> Tensor:
    """(T, N, C, H, W), with another mean and deviation at each step and in each batch."""
    generator = torch.Generator().manual_seed(seed)
    x_TNCHW = torch.randn(steps, N, C, H, W, generator=generator, dtype=torch.float64)
    level = torch.arange(steps, dtype=torch.float64)[:, None, None, None, None]
    return x_TNCHW * (1 + 0.3 * level) + level + 0.5 * seed


def make(kind: Any, momentum: float | None = 0.1, **keys: Any) -> Any:
    norm = kind(C, T, momentum=momentum, dtype=torch.float64, **keys)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(torch.linspace(-0.4, 0.4, T * C, dtype=torch.float64).view(T, C))
    return norm


def assert_same(actual: Any, expected: Any, **tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, **{"rtol": 1e-9, "atol": 1e-11, **tolerance})


def gradients(norm: nn.Module, y: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    learned = [parameter for parameter in norm.parameters() if parameter.requires_grad]
    return torch.autograd.grad((y * weights).sum(), [x, *learned])


@every_norm
@every_momentum
@pytest.mark.parametrize("steps", [T, 2])
class TestSequence:
    def test_equals_its_steps(self, kind: Any, momentum: float | None, steps: int) -> None:
        at_once = make(kind, momentum)
        by_step = copy.deepcopy(at_once)
        for seed in range(3):
            x = sequence(seed, steps).requires_grad_()
            y_at_once = at_once(x)
            y_by_step = torch.stack([by_step(x[t], t) for t in range(steps)])
            assert_same(y_at_once, y_by_step)
            assert_same(gradients(at_once, y_at_once, x), gradients(by_step, y_by_step, x))
            assert_same(at_once.state_dict(), by_step.state_dict())
        at_once.eval(), by_step.eval()
        assert_same(at_once(x), torch.stack([by_step(x[t], t) for t in range(steps)]))

    def test_in_either_memory_order(self, kind: Any, momentum: float | None, steps: int) -> None:
        time_first = make(kind, momentum)
        image_first = copy.deepcopy(time_first)
        for seed in range(3):
            x = sequence(seed, steps).requires_grad_()
            view = x.transpose(0, 1).contiguous().transpose(0, 1)
            assert view.transpose(0, 1).is_contiguous()
            y_time, y_image = time_first(x), image_first(view)
            assert_same(y_time, y_image)
            assert_same(gradients(time_first, y_time, x), gradients(image_first, y_image, x))
        assert_same(time_first.state_dict(), image_first.state_dict())

    def test_leaves_later_steps_alone(self, kind: Any, momentum: float | None, steps: int) -> None:
        norm = make(kind, momentum)
        before = copy.deepcopy(norm.state_dict())
        norm(sequence(1, steps))
        assert norm.num_batches_tracked.tolist() == [1] * steps + [0] * (T - steps)
        for name in ("running_mean", "running_var"):
            after = norm.state_dict()[name]
            assert_same(after[steps:], before[name][steps:])
            assert ((after[:steps] - before[name][:steps]).abs() > 1e-3).all()


@every_momentum
class TestStepByStep:
    """Each step is a norm of its own, whatever the other steps saw."""

    def test_homeostatic_is_the_slow_one(self, momentum: float | None) -> None:
        norm = make(TemporalHomeostaticNorm2d, momentum)
        slow = [SlowHomeostaticNorm(C, norm.eps, momentum) for _ in range(T)]
        for seed in range(5):
            x = sequence(seed)
            for t in range(T - seed % 2):
                weight, bias = (p[t].detach().numpy() for p in (norm.weight, norm.bias))
                expected, _ = slow[t].train(x[t].numpy(), weight, bias)
                assert_same(norm(x[t], t).detach(), torch.from_numpy(expected))
        for name in ("mean", "var"):
            expected = torch.tensor([getattr(s, name) for s in slow], dtype=torch.float64)
            assert_same(getattr(norm, f"running_{name}"), expected)

    def test_homeostatic_has_the_static_ones_gradients(self, momentum: float | None) -> None:
        norm = make(TemporalHomeostaticNorm2d, momentum)
        static = [HomeostaticNorm(C, norm.eps, momentum, dtype=torch.float64) for _ in range(T)]
        for t in range(T):
            static[t].load_state_dict(
                {
                    "weight": norm.weight[t],
                    "bias": norm.bias[t],
                    "running_mean": norm.running_mean[t],
                    "running_var": norm.running_var[t],
                    "num_batches_tracked": norm.num_batches_tracked[t],
                }
            )
        for seed in range(3):
            x = sequence(seed).requires_grad_()
            grad_x, *of_parameters = gradients(norm, norm(x), x)
            y = torch.stack([static[t](x[t]) for t in range(T)])
            by_step = gradients(nn.ModuleList(static), y, x)
            assert_same(grad_x, by_step[0])
            assert_same(of_parameters[0], torch.stack(by_step[1::2]))
            assert_same(of_parameters[1], torch.stack(by_step[2::2]))

    def test_bntt_is_batchnorm_with_a_weight_alone(self, momentum: float | None) -> None:
        norm = make(BatchNormThroughTime2d, momentum)
        peers = [nn.BatchNorm2d(C, norm.eps, momentum, dtype=torch.float64) for _ in range(T)]
        for t, peer in enumerate(peers):
            peer.weight.data.copy_(norm.weight[t])
            peer.bias.requires_grad_(False)
        for seed in range(5):
            steps = T - seed % 2  # the last step sees fewer batches
            x = sequence(seed, steps).requires_grad_()
            used = nn.ModuleList(peers[:steps])
            y, expected = norm(x), torch.stack([peers[t](x[t]) for t in range(steps)])
            assert_same(y, expected)
            grad_x, grad_weight = gradients(norm, y, x)
            expected_x, *expected_weights = gradients(used, expected, x)
            assert_same(grad_x, expected_x)
            assert_same(grad_weight[:steps], torch.stack(expected_weights))
        assert_same(norm.running_mean, torch.stack([peer.running_mean for peer in peers]))
        assert_same(norm.running_var, torch.stack([peer.running_var for peer in peers]))
        x = sequence(9)
        norm.eval()
        assert_same(norm(x), torch.stack([peers[t].eval()(x[t]) for t in range(T)]))


@pytest.mark.parametrize(("momentum", "batches"), [(0.1, 1), (1.0, 4)])
def test_homeostatic_is_a_batchnorm_each_step_where_statistics_agree(
    momentum: float, batches: int
) -> None:
    norm = TemporalHomeostaticNorm2d(C, T, momentum=momentum, dtype=torch.float64)
    for seed in range(batches):
        x = sequence(seed)
        expected = torch.stack([nn.BatchNorm2d(C, 1e-4, dtype=torch.float64)(step) for step in x])
        assert_same(norm(x), expected)
    stored = torch.stack(
        [
            nn.functional.batch_norm(x[t], norm.running_mean[t], norm.running_var[t], eps=1e-4)
            for t in range(T)
        ]
    )
    assert_same(norm.eval()(x), stored)


@every_norm
def test_in_a_time_loop_before_snntorchs_neuron(kind: Any) -> None:
    conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
    norm = kind(4, 5)
    leaky = snntorch.Leaky(beta=0.9, spike_grad=snntorch.surrogate.fast_sigmoid())
    image = torch.rand(2, 1, 8, 8)
    membrane, spikes = leaky.init_leaky(), []
    for t in range(5):
        spike, membrane = leaky(norm(conv(image), t), membrane)
        spikes.append(spike)
    counts = torch.stack(spikes).sum(0)
    assert 0 < counts.mean() < 5
    counts.sum().backward()
    for parameter in (conv.weight, *norm.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    assert norm.weight.grad.abs().sum(1).count_nonzero() == 5


@pytest.mark.parametrize("silent_batches", [1, 10, 200])
def test_the_first_spike_of_a_silent_channel_is_bounded(silent_batches: int) -> None:
    norm = TemporalHomeostaticNorm2d(1, 1)
    silence = torch.zeros(8, 1, 8, 8)
    for _ in range(silent_batches):
        assert torch.equal(norm(silence, 0), silence)
    spike = silence.clone()
    spike[0, 0, 0, 0] = 1
    spike.requires_grad_()
    y = norm(spike, 0)
    # The newest batch is at least a tenth of the moving variance.
    bound = nn.BatchNorm2d(1)(spike).max() / 0.1**0.5
    assert y.isfinite().all()
    assert 1 < y.max() < bound
    y.square().sum().backward()
    assert spike.grad is not None
    assert spike.grad.isfinite().all()


@every_norm
def test_half_precision_input_keeps_statistics_in_full(kind: Any) -> None:
    half, full = kind(C, T), kind(C, T)
    for seed in range(3):
        x = sequence(seed).bfloat16()
        y, expected = half(x), full(x.float())
    assert y.dtype == torch.bfloat16
    assert half.running_mean.dtype == half.running_var.dtype == torch.float32
    assert_same(half.state_dict(), full.state_dict(), rtol=1e-5, atol=1e-6)
    assert_same(y.float(), expected, rtol=0.01, atol=0.02)


@every_norm
class TestConstruction:
    def test_what_it_learns_and_stores(self, kind: Any) -> None:
        learned = {"weight", "bias"} if kind is TemporalHomeostaticNorm2d else {"weight"}
        stored = {"running_mean", "running_var", "num_batches_tracked"}
        norm, plain = kind(C, T), kind(C, T, affine=False)
        assert norm.state_dict().keys() == learned | stored
        assert plain.state_dict().keys() == stored
        assert {name: tuple(value.shape) for name, value in norm.state_dict().items()} == {
            **dict.fromkeys(learned | stored, (T, C)),
            "num_batches_tracked": (T,),
        }
        assert_same(norm(sequence(0).float()), plain(sequence(0).float()))

    def test_text(self, kind: Any) -> None:
        text = f"{kind.__name__}(2, 4, eps=0.0001, momentum=0.1, affine=True)"
        assert repr(kind(C, T)) == text

    def test_on_another_device_in_another_type(self, kind: Any) -> None:
        norm = kind(C, T, device="meta", dtype=torch.float64)
        assert all(tensor.is_meta for tensor in norm.state_dict().values())
        norm.to_empty(device="cpu").reset_parameters()
        assert_same(norm.state_dict(), kind(C, T, dtype=torch.float64).state_dict())

    def test_reset_parameters_forgets_everything(self, kind: Any) -> None:
        norm = make(kind)
        norm(sequence(0))
        norm.reset_parameters()
        assert_same(norm.state_dict(), kind(C, T, dtype=torch.float64).state_dict())

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
    def test_a_copy_goes_on_like_the_original(self, kind: Any, copied: Any) -> None:
        norm = make(kind)
        norm(sequence(0))
        twin = copied(norm)
        assert torch.equal(norm(sequence(1)), twin(sequence(1)))
        assert_same(norm.state_dict(), twin.state_dict())

    # Dynamo itself makes an instance of an autograd function, and warns of it.
    @pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
    def test_it_compiles_as_one_graph(self, kind: Any) -> None:
        norm = make(kind)
        twin = copy.deepcopy(norm)
        compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
        for seed in range(2):
            x = sequence(seed).requires_grad_()
            y, expected = compiled(x), norm(x)
            assert_same(y, expected)
            assert_same(gradients(twin, y, x), gradients(norm, expected, x))
        assert_same(twin.state_dict(), norm.state_dict())


@every_norm
class TestErrors:
    def assert_refused(self, kind: Any, match: str, *arguments: Any) -> None:
        norm = make(kind)
        norm(sequence(0))
        before = copy.deepcopy(norm.state_dict())
        with pytest.raises(ValueError, match=match):
            norm(*arguments)
        assert_same(norm.state_dict(), before)

    @pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
    def test_momentum(self, kind: Any, momentum: float) -> None:
        with pytest.raises(ValueError, match=f"momentum must be from 0 to 1, .* got {momentum}"):
            kind(C, T, momentum=momentum)

    @pytest.mark.parametrize("t", [-1, T])
    def test_step_out_of_range(self, kind: Any, t: int) -> None:
        self.assert_refused(kind, rf"time step must be 0 to 3, got {t}", sequence(0)[0], t)

    @pytest.mark.parametrize("shape", [(N, C + 1, H, W), (N, C, H), (T, N, C, H, W)])
    def test_shape_of_a_step(self, kind: Any, shape: tuple[int, ...]) -> None:
        self.assert_refused(kind, r"\(N, C, H, W\) with C = 2, got \(", torch.zeros(shape), 0)

    @pytest.mark.parametrize("shape", [(N, C, H, W), (T, N, C + 1, H, W), (T + 1, N, C, H, W)])
    def test_shape_of_a_sequence(self, kind: Any, shape: tuple[int, ...]) -> None:
        match = r"\(T, N, C, H, W\) with T from 1 to 4 and C = 2, got .* give its index t"
        self.assert_refused(kind, match, torch.zeros(shape))

    def test_one_value_a_channel(self, kind: Any) -> None:
        self.assert_refused(kind, "more than one value a channel", torch.zeros(T, 1, C, 1, 1))
        self.assert_refused(kind, "more than one value a channel", torch.zeros(1, C, 1, 1), 1)
