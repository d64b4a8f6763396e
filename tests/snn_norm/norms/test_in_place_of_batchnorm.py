"""torch's own tools, on a network whose BatchNorm a HomeostaticNorm has replaced."""

from __future__ import annotations

import copy
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import AveragedModel, update_bn

from snn_norm.norms import (
    BatchNormThroughTime2d,
    HomeostaticNorm,
    SharedHomeostaticNorm2d,
    TemporalHomeostaticNorm2d,
    synchronize,
)

C = 3


def images(seed: int, count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 6, 6, generator=generator, dtype=torch.float64) + seed


def network(norm: type[nn.Module] = HomeostaticNorm) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, C, 3), norm(C), nn.ReLU()).double()


def trained(training: bool = False) -> nn.Sequential:
    net = network()
    for seed in range(3):
        net(images(seed))
    return net.train(training)


def assert_same(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def test_update_bn() -> None:
    net = trained(training=True)
    batches = [images(seed) for seed in range(4)]
    update_bn(batches, net)
    seen = torch.cat([net[0](x) for x in batches])
    assert_same(net[1].running_mean, seen.mean((0, 2, 3)))
    assert_same(net[1].running_var, seen.var((0, 2, 3), correction=0))
    assert net[1].momentum == 0.1


@pytest.mark.parametrize(
    "kind", [TemporalHomeostaticNorm2d, BatchNormThroughTime2d, SharedHomeostaticNorm2d]
)
def test_update_bn_of_a_spiking_networks_norm(kind: Any) -> None:
    norm = kind(2, 3).double()
    norm(torch.randn(3, 6, 2, 6, 6).double())
    batches = [torch.stack([images(seed + t) for t in range(3)]) for seed in range(4)]
    update_bn(batches, norm)
    means = torch.stack(batches).mean((0, 2, 4, 5))
    assert_same(norm.running_mean, means if norm.each_step else means.mean(0))
    assert norm.momentum == 0.1


def test_convert_sync_batchnorm() -> None:
    for net in (network(), nn.Sequential(TemporalHomeostaticNorm2d(C, 2))):
        with pytest.raises(RuntimeError, match="which is another layer in training; call snn_norm"):
            nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert not hasattr(HomeostaticNorm(C), "qconfig")
    others = nn.SyncBatchNorm.convert_sync_batchnorm(network(nn.BatchNorm2d))
    assert isinstance(others[1], nn.SyncBatchNorm)


# torch says the same of its whole torch.jit.
@pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated")
def test_jit_script() -> None:
    with pytest.raises(RuntimeError, match=r"torch\.jit\.script does not work .* torch\.export"):
        torch.jit.script(trained())


@pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of the shapes that are checked
def test_jit_trace() -> None:
    net = trained()
    assert_same(torch.jit.trace(net, images(0))(images(5)), net(images(5)))


@pytest.mark.parametrize("training", [True, False])
def test_meta_device(training: bool) -> None:
    net = copy.deepcopy(trained(training)).to("meta")
    x = images(0).to("meta").requires_grad_()
    net(x).sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("training", [True, False])
def test_double_backward(training: bool) -> None:
    norm = trained(training)[1]
    x = network()[0](images(7, 2)).detach()

    def output(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        layer = copy.deepcopy(norm)  # whose statistics have not moved
        y: Tensor = torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))
        return y

    inputs = [v.detach().clone().requires_grad_() for v in (x, norm.weight, norm.bias)]
    if training:
        # The gradient is that of x̂·r + d with r and d constant, and its own gradient likewise.
        layer = copy.deepcopy(norm)
        layer(x)
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        r = ((var + 1e-5) / (layer.running_var + 1e-5)).sqrt()
        d = (mean - layer.running_mean) / (layer.running_var + 1e-5).sqrt()

        def expected(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return nn.functional.batch_norm(x, None, None, r * weight, d * weight + bias, True)

        assert_same(gradients_twice(output, inputs), gradients_twice(expected, inputs))
    else:
        assert torch.autograd.gradgradcheck(output, inputs)


def gradients_twice(function: Any, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    y = function(*inputs)
    first = torch.autograd.grad(y.pow(3).sum(), inputs, create_graph=True)
    return torch.autograd.grad(sum((g * g).sum() for g in first), inputs)


def test_fx_trace_and_fuse() -> None:
    net = trained()
    for traced in (torch.fx.symbolic_trace(net), fuse(net)):
        assert_same(traced(images(5)), net(images(5)))


def test_fuse_conv_bn_eval() -> None:
    net = trained()
    fused = fuse_conv_bn_eval(net[0], net[1])
    assert_same(fused(images(5)), net[1](net[0](images(5))))


# Dynamo itself makes an instance of an autograd function, and warns of it.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("training", [True, False])
def test_compile(training: bool) -> None:
    net = trained(training)
    compiled = torch.compile(copy.deepcopy(net), backend="aot_eager", fullgraph=True)
    for count in (6, 5, 4):  # then for any number of images
        assert_same(compiled(images(5, count)), net(images(5, count)))


@pytest.mark.parametrize("training", [True, False])
def test_func_grad_and_vmap(training: bool) -> None:
    nets, x = [trained(training) for _ in range(2)], images(5)
    expected = []
    for net in map(copy.deepcopy, nets):
        net(x).square().sum().backward()
        expected.append([parameter.grad for parameter in net.parameters()])
    parameters, buffers = torch.func.stack_module_state(nets)

    def loss(*state: Any) -> Tensor:
        y: Tensor = torch.func.functional_call(nets[0], state, (x,))
        return y.square().sum()

    of_both = torch.func.vmap(torch.func.grad(loss))(parameters, buffers)
    for gradient, wanted in zip(of_both.values(), zip(*expected, strict=True), strict=True):
        assert_same(gradient, torch.stack(wanted))


def test_evaluation_and_training_in_one_graph() -> None:
    """The gradient of evaluation is that by the statistics that it took."""
    net, x = trained(), images(5).requires_grad_()
    wanted = torch.autograd.grad(net(x).square().sum(), [x, *net.parameters()])
    y = net(x)
    net.train()(images(6))
    assert_same(torch.autograd.grad(y.square().sum(), [x, *net.parameters()]), wanted)


@pytest.mark.parametrize("training", [True, False])
def test_export(training: bool) -> None:
    net = trained(training)
    shapes = ({0: torch.export.Dim("images", min=2)},)
    exported = torch.export.export(copy.deepcopy(net), (images(0),), dynamic_shapes=shapes).module()
    for count in (6, 4):
        assert_same(exported(images(5, count)), net(images(5, count)))


def in_two_processes(run: Callable[[int], None], folder: Path) -> None:
    """Call a function with the rank in each of two processes that can speak to each other."""
    torch.multiprocessing.spawn(_in_process, (run, str(folder / "store")), nprocs=2)


def _in_process(rank: int, run: Callable[[int], None], store: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    run(rank)
    if dist.is_initialized():
        dist.destroy_process_group()


def test_distributed_data_parallel(tmp_path: Path) -> None:
    """On the first batch gradients are BatchNorm's; each process has its own statistics."""
    in_two_processes(_train_distributed, tmp_path)


def _train_distributed(rank: int) -> None:
    ours, theirs = (
        DistributedDataParallel(network(kind)) for kind in (HomeostaticNorm, nn.BatchNorm2d)
    )
    for net in (ours, theirs):
        net(images(rank)).square().sum().backward()
    for parameter, peer in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same(parameter.grad, peer.grad)
    assert_same(ours.module[1].running_mean, ours.module[0](images(rank)).mean((0, 2, 3)).detach())
    ours(images(rank + 5))  # after every process has got the first one's statistics
    means = [ours.module[0](images(seed)).mean((0, 2, 3)) for seed in (0, rank + 5)]
    assert_same(ours.module[1].running_mean, ((means[0] + means[1]) / 2).detach())


def test_synchronize(tmp_path: Path) -> None:
    """A batch spread over two processes gives the numbers that it gives in one."""
    in_two_processes(_train_synchronized, tmp_path)


def _train_synchronized(rank: int) -> None:
    alone, spread = network(), network()
    assert synchronize(spread) is spread
    mine = slice(0, 2) if rank == 0 else slice(2, 6)
    for seed in range(3):
        whole = images(seed).requires_grad_()
        part = images(seed)[mine].requires_grad_()
        expected, y = alone(whole), spread(part)
        assert_same(y, expected[mine])
        grads = torch.autograd.grad(
            (expected * expected.detach().cos()).sum(), [whole, *alone.parameters()]
        )
        found = torch.autograd.grad((y * y.detach().cos()).sum(), [part, *spread.parameters()])
        assert_same(found[0], grads[0][mine])
        for gradient, wanted in zip(found[1:], grads[1:], strict=True):
            dist.all_reduce(gradient)
            assert_same(gradient, wanted)
        assert_same(spread.state_dict(), alone.state_dict())
    assert_same(spread.eval()(images(5)), alone.eval()(images(5)))
    with pytest.raises(RuntimeError, match="no gradient of their gradient"):
        torch.autograd.grad(spread.train()(part).square().sum(), part, create_graph=True)
    others = synchronize(nn.Sequential(nn.BatchNorm2d(C), nn.Sequential(HomeostaticNorm(C))))
    assert isinstance(others[0], nn.SyncBatchNorm)
    assert others[1][0].synchronized
    with pytest.raises(ValueError, match="cannot take its statistics over processes"):
        synchronize(nn.Sequential(TemporalHomeostaticNorm2d(C, 2)))


def test_a_synchronized_network_is_copied_and_saved(tmp_path: Path) -> None:
    in_two_processes(_copy_synchronized, tmp_path)


def _copy_synchronized(rank: int) -> None:
    net = synchronize(network())
    stream = io.BytesIO()
    torch.save(net, stream)
    stream.seek(0)
    copies = [copy.deepcopy(net), AveragedModel(net).module, torch.load(stream, weights_only=False)]
    expected = network()(images(0))[3 * rank : 3 * rank + 3]
    for twin in (net, *copies):
        assert_same(twin(images(0)[3 * rank : 3 * rank + 3]), expected)
    dist.destroy_process_group()
    alone = copies[0].train()  # without processes, the copy trains as one
    alone[1].reset_parameters()
    assert_same(alone(images(0)), network()(images(0)))


def test_synchronized_with_one_value_a_channel_in_each_process(tmp_path: Path) -> None:
    in_two_processes(_train_on_one_value, tmp_path)


def _train_on_one_value(rank: int) -> None:
    whole = torch.tensor([[1.0, 2.0], [4.0, -2.0]], dtype=torch.float64, requires_grad=True)
    part = whole.detach()[rank : rank + 1].requires_grad_()
    alone, spread = HomeostaticNorm(2).double(), synchronize(HomeostaticNorm(2).double())
    for norm, x in ((alone, whole), (spread, part)):
        y = norm(x)
        (y * y.detach().cos()).sum().backward()
    assert_same(part.grad, whole.grad[rank : rank + 1])
    assert_same(spread.state_dict(), alone.state_dict())
    with pytest.raises(ValueError, match="more than one value a channel"):
        spread(part[:0])


def test_synchronize_without_processes() -> None:
    with pytest.raises(ValueError, match=r"call torch\.distributed\.init_process_group"):
        synchronize(network())


def test_each_row_of_the_table_is_a_test() -> None:
    page = (Path(__file__).parents[3] / "docs" / "in-place-of-batchnorm.md").read_text()
    tests = re.findall(r"^\|.*\| `(test_\w+)` \|$", page, re.MULTILINE)
    assert len(tests) == 14
    here = Path(__file__).read_text()
    assert all(f"def {test}(" in here for test in tests)
