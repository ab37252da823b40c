"""Costs of functions, and of networks by misc/estimate_flops_params.py."""

import csv

import torch
from torch import nn

from misc.estimate_flops_params import main
from models.cost import cost


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


def rows(folder, *options):
    """Run the script in this process; the rows it saved, numbers as numbers."""
    path = folder / "costs.csv"
    main([*options, "--save", str(path)])
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: int(v) if v.isdigit() else v for k, v in row.items()} for row in found]
