"""Cost of a forward: values by hand, an independent count by hooks, the module left as it was."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.cost import cost
from models.registry import find
from tests.helpers import tiny_inputs, tiny_network


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def flops_of(function, *shapes):
    """FLOPs of a function of tensors of these shapes, all of whose operators are known."""
    found = cost(Apply(function), [torch.rand(shape) for shape in shapes])
    assert found.uncounted == {}
    assert found.flops == sum(found.by_operator.values())
    return found.flops


# ---- Operators, by hand.


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        # 4 x 4 positions of 8 channels, each a sum over 3 channels of 3 x 3 pixels.
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (1, 3, 8, 8), 4 * 4 * 8 * 3 * 9),
        (nn.Conv2d(3, 8, 3, padding="same"), (1, 3, 8, 8), 8 * 8 * 8 * 3 * 9),
        (nn.Conv3d(6, 6, (3, 1, 1), groups=6), (1, 6, 5, 2, 2), 3 * 2 * 2 * 6 * 3),
        # Every pixel of the input is spread over 2 x 2 pixels of 5 channels.
        (nn.ConvTranspose2d(4, 5, 2, stride=2), (1, 4, 3, 3), 3 * 3 * 4 * 5 * 4),
        (nn.Linear(7, 5), (2, 3, 7), 6 * 7 * 5),
        (nn.Linear(7, 5), (2, 7), 2 * 7 * 5),
        (nn.LayerNorm(4), (2, 3, 4), 24 * 5),
        (nn.GroupNorm(2, 4), (1, 4, 3), 12 * 5),
        (nn.AdaptiveAvgPool2d(1), (1, 2, 4, 4), 32),
        (nn.AdaptiveAvgPool3d(1), (1, 2, 3, 4, 4), 96),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 4, 4), 128 * 4),
    ],
    ids=[
        *("convolution", "same padding", "depthwise", "transposed", "linear", "linear 2-D"),
        *("layer norm", "group norm", "adaptive pool", "adaptive pool 3-D", "bilinear"),
    ],
)
def test_a_layer(layer, shape, expected):
    assert flops_of(layer, shape) == expected
    assert flops_of(layer, (3 * shape[0], *shape[1:])) == 3 * expected


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (torch.matmul, [(2, 3), (3, 4)], 24),
        (torch.matmul, [(4, 1, 3, 5), (2, 5, 6)], 4 * 2 * 3 * 6 * 5),
        (torch.matmul, [(2, 3), (3,)], 6),
        (torch.matmul, [(3,), (3,)], 3),
        (torch.mm, [(2, 3), (3, 4)], 24),
        (torch.bmm, [(5, 2, 3), (5, 3, 4)], 120),
        (torch.baddbmm, [(5, 2, 4), (5, 2, 3), (5, 3, 4)], 120),
        (torch.addmm, [(2, 4), (2, 3), (3, 4)], 24),
        (torch.mv, [(2, 3), (3,)], 6),
        (lambda a, b: torch.einsum("bij,bjk->bik", a, b), [(5, 2, 3), (5, 3, 4)], 120),
        (lambda a, b: torch.einsum("i,j->ij", a, b), [(3,), (4,)], 12),
        (lambda a, b: torch.einsum("...ij,jk->...ik", a, b), [(5, 2, 3), (3, 4)], 120),
    ],
    ids=[
        *("matmul", "broadcast", "vector", "two vectors", "mm", "bmm", "baddbmm", "addmm", "mv"),
        *("einsum", "outer product", "ellipsis"),
    ],
)
def test_a_product(function, shapes, expected):
    assert flops_of(function, *shapes) == expected


def by_matmul(query, key, value):
    weights = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(-1)
    return weights @ value


def by_einsum(query, key, value):
    weights = torch.einsum("bhle,bhse->bhls", query, key).softmax(-1)
    return torch.einsum("bhls,bhsv->bhlv", weights, value)


def by_bmm(query, key, value):
    query, key, value = (x.flatten(0, 1) for x in (query, key, value))
    return torch.bmm(torch.bmm(query, key.transpose(1, 2)).softmax(-1), value)


@pytest.mark.parametrize(
    "attention",
    [F.scaled_dot_product_attention, by_matmul, by_einsum, by_bmm],
    ids=["fused", "matmul", "einsum", "bmm"],
)
def test_attention_costs_the_same_however_it_is_written(attention):
    # 2 clips, 3 heads, 5 queries, 7 keys of 4 numbers, values of 6.
    shapes = [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)]
    assert flops_of(attention, *shapes) == 2 * 3 * 5 * 7 * (4 + 6)


# ---- Batch norm, parameters.


def small_network():
    """Convolution, batch norm, ReLU, pool, linear: clips of 4 x 4 pixels, 5 classes."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


CONV, LINEAR = 16 * 8 * 3 * 9, 8 * 5  # FLOPs of one sample


@pytest.mark.parametrize(("training", "each"), [(False, 2), (True, 5)], ids=["eval", "train"])
def test_batch_norm_is_counted_and_can_be_folded(training, each):
    found = cost(small_network().train(training), [torch.rand(2, 3, 4, 4)])
    norm = 2 * 8 * 16 * each
    assert dict(found.by_operator) == {"conv": 2 * CONV, "batch_norm": norm, "linear": 2 * LINEAR}
    assert found.flops == 2 * (CONV + LINEAR) + norm
    assert found.flops_folded == 2 * (CONV + LINEAR)


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm3d(6), nn.LayerNorm(6), nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True)],
    ids=lambda norm: type(norm).__name__,
)
def test_parameters_of_norms_are_told_apart(norm):
    network = nn.ModuleDict({"norm": norm, "linear": nn.Linear(6, 4)})
    network.forward = lambda x: network["linear"](x)
    found = cost(network.eval(), [torch.rand(1, 6)])
    assert (found.params, found.params_without_norm) == (12 + 28, 28)


def test_shared_parameters_count_once():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    found = cost(nn.Sequential(first, second), [torch.rand(1, 4)])
    assert found.params == 16 + 4 + 4
    assert [part.params for part in found.by_module.values()] == [20, 4]
    assert found.flops == 2 * 16  # both are computed


# ---- What is not counted.


def test_free_operators_are_listed_with_how_often_they_occur():
    def function(x):
        x = F.relu(x + 1).add_(2).reshape(2, 8)
        return F.max_pool1d(x, 2).sigmoid().softmax(1)

    found = cost(Apply(function), [torch.rand(4, 4)])
    assert found.free == {"add": 2, "max_pool1d": 1, "sigmoid": 1, "softmax": 1}
    assert (found.flops, found.uncounted) == (0, {})


class Doubled(torch.autograd.Function):
    """An operator that only this test knows."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.LSTM(3, 4), "lstm"),
        (Apply(torch.fft.rfft), "fft_rfft"),
        (Apply(Doubled.apply), "prim::PythonOp.Doubled"),
    ],
    ids=["lstm", "fft", "python"],
)
def test_an_operator_in_no_table_is_reported(module, name):
    found = cost(module, [torch.rand(2, 3)])
    assert found.uncounted == {name: 1}


# ---- By module.


class Wrapper(nn.Module):
    """A network below one name, as published files have it, with a token of its own."""

    def __init__(self, inner):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(8))
        self.model = inner

    def forward(self, x):
        return self.model(x @ x.transpose(-2, -1))


def test_modules_and_the_rest_add_up_to_the_whole():
    found = cost(Wrapper(small_network()).eval(), [torch.rand(1, 3, 4, 4)])
    parts = found.by_module
    names = [f"model.{index}" for index in range(6)]
    assert list(parts) == [*names, ""]
    assert parts["model.0"].flops == CONV
    assert (parts["model.1"].params, parts["model.1"].params_without_norm) == (16, 0)
    assert (parts["model.1"].flops, parts["model.1"].flops_folded) == (2 * 8 * 16, 0)
    assert (parts[""].flops, parts[""].params) == (3 * 4 * 4 * 4, 8)
    for field in ("flops", "flops_folded", "params", "params_without_norm"):
        assert sum(getattr(part, field) for part in parts.values()) == getattr(found, field)


def test_a_module_can_count_several_times():
    module, inputs = Wrapper(small_network()).eval(), [torch.rand(1, 3, 4, 4)]
    once, thrice = cost(module, inputs), cost(module, inputs, {"model.0": 3})
    assert thrice.by_module["model.0"].flops == 3 * CONV
    assert (once.repeated, thrice.repeated) == (0, 2 * CONV)
    assert thrice.flops == once.flops + 2 * CONV == sum(thrice.by_operator.values())
    assert thrice.params == once.params


def test_a_network_of_one_layer_is_its_own_part():
    found = cost(nn.Linear(4, 4), [torch.rand(1, 4)])
    assert {name: part.flops for name, part in found.by_module.items()} == {"": 16}


# ---- Real networks.


def by_hooks(module, inputs):
    """FLOPs of convolutions, linear layers and batch norms (2 per element), from forward hooks."""
    total = 0

    def count(layer, given, result):
        nonlocal total
        if isinstance(layer, nn.BatchNorm3d):
            total += 2 * result.numel()
        elif isinstance(layer, nn.Conv3d):
            per_output = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
            total += result.numel() * per_output
        elif isinstance(layer, nn.Linear):
            total += result.numel() * layer.in_features

    handles = [layer.register_forward_hook(count) for layer in module.modules()]
    with torch.inference_mode():
        module(*inputs)
    for handle in handles:
        handle.remove()
    return total


def test_a_network_costs_what_its_layers_cost():
    network = find("x3d_xs")
    module = network.module()
    inputs = [torch.zeros(1, 3, 4, 160, 160)]
    found = cost(module, inputs)
    assert found.flops == by_hooks(module, inputs)
    assert found.params == sum(p.numel() for p in module.parameters())
    assert found.uncounted == {}


@pytest.mark.parametrize("kind", ["two", "two published"])
def test_two_pathways_cost_what_their_layers_cost(kind):
    network = tiny_network(kind)
    module, inputs = network.module(), tiny_inputs(network)
    found = cost(module, inputs)
    assert found.flops == by_hooks(module, inputs)
    assert found.params == sum(p.numel() for p in module.parameters())


def test_nonlocal_attention_is_counted_beside_the_layers():
    network = tiny_network("one")
    module, inputs = network.module(), tiny_inputs(network)
    found = cost(module, inputs)
    attention = found.by_operator["scaled_dot_product_attention"]
    # Its block is in stage 3: 2 clips of 4 frames of 4x4 positions, keys pooled to 2x2, width 16.
    assert attention == 2 * (4 * 16) * (4 * 4) * 2 * 16
    assert found.flops == by_hooks(module, inputs) + attention


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_module_is_left_as_it_was(training):
    network = tiny_network("two")
    module = network.module().train(training)
    module.head.projection.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    learned = [parameter.requires_grad for parameter in module.parameters()]
    cost(module, tiny_inputs(network))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert [parameter.requires_grad for parameter in module.parameters()] == learned
    assert module.training is training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.is_grad_enabled()


def test_gradients_are_back_after_a_forward_that_fails():
    network = tiny_network("one")
    module = network.module()
    with pytest.raises(RuntimeError):
        cost(module, [torch.rand(1, 4, 8, 32, 32)])
    assert all(parameter.requires_grad for parameter in module.parameters())
