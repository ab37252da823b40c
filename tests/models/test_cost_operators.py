"""Cost of single operators, by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.helpers_cost import flops_of


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
