"""Cost of a network: parts, parameters, an independent count by hooks, the module as it was."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.catalogue import find
from models.cost import cost
from tests.helpers import tiny_inputs, tiny_network
from tests.helpers_cost import Apply, flops_of
from utils import UserError

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


# ---- What comes in and out.


def test_results_of_any_common_form_are_counted():
    def function(x):
        return {"logits": x[:2] @ x, "more": [(x @ x, None)], "name": "clip", "shape": (4,)}

    assert flops_of(function, (4, 4)) == (2 + 4) * 4 * 4


def test_what_the_result_does_not_depend_on_is_not_counted():
    assert flops_of(lambda x: (x @ x, x @ x @ x)[0], (4, 4)) == 4 * 4 * 4


def test_a_result_without_tensors_is_refused():
    with pytest.raises(UserError, match="returns dict without any tensor"):
        cost(Apply(lambda x: {"mask": x.numpy()}), [torch.rand(2)])


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
