"""The digest of a module: equal for equal names and values, and for nothing else."""

import copy

import torch
from torch import nn

from models.digest import digest


def small(seed=0):
    """A convolution and a batch norm."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def test_digest_is_that_of_names_and_values():
    one = small()
    assert digest(one) == digest(small()) == digest(copy.deepcopy(one))
    assert len(digest(one)) == 64
    changed = copy.deepcopy(one)
    with torch.no_grad():
        changed[0].weight[0, 0] += 1e-6
    assert len({digest(x) for x in (one, changed, small(1), nn.Sequential(one))}) == 4


def test_digest_does_not_depend_on_the_mode():
    assert digest(small().train()) == digest(small().eval())


def test_digest_takes_every_kind_of_value():
    module = nn.BatchNorm1d(2).to(torch.bfloat16)
    module.register_buffer("flags", torch.tensor([True, False]))
    module.register_buffer("nothing", torch.zeros(0))
    before = digest(module)
    module.flags[1] = True
    assert digest(module) != before


class Extra(nn.Linear):
    """Keeps something beside its parameters."""

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        self.scale = state["scale"]


def test_digest_takes_a_module_s_extra_state():
    module = Extra(2, 2)
    module.scale = 1.5
    before = digest(module)
    assert digest(module) == before
    module.scale = 2.5
    assert digest(module) != before
