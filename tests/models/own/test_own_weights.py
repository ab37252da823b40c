"""The weights of a network from a user's file: as built, untrained, or from a checkpoint."""

import gc
import random
import sys

import numpy as np
import pytest
import torch

import main
from config import Config
from measure.prepare import prepare
from models.catalogue import find
from models.checkpoints import load
from models.digest import digest
from models.network import BUILT
from tests import helpers_runs
from tests.models.own.helpers import built, chosen
from utils import UserError

data = helpers_runs.videos
without_figures = helpers_runs.without_figures

# A network whose weights are drawn by `{draw}`, of clips of four frames of one pixel.
DRAWN = """
import itertools, os, random
import numpy as np
import torch
from torch import nn

calls = itertools.count()
fresh = torch.Generator()
fresh.seed()

def build({parameter}):
    layer = nn.Conv3d(3, 1, 1, bias=False)
    nn.init.constant_(layer.weight, {draw})
    return nn.Sequential(layer), {{'frames': 4, 'crop': 1}}
"""


def drawn(draw, parameter=""):
    return DRAWN.format(draw=draw, parameter=parameter)


@pytest.mark.parametrize(
    "draw",
    ["random.random()", "np.random.rand()", "torch.rand(()).item()", "layer.weight[0].mean()"],
    ids=["Python", "NumPy", "PyTorch", "the layer's own"],
)
def test_draws_of_every_library_follow_the_seed_and_leave_others_alone(draw, written):
    name = written(drawn(draw))

    def draws():
        return random.random(), np.random.rand(), torch.rand(()).item()

    def seed_all():
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    seed_all()
    expected = draws()
    seed_all()
    one, same, other = (digest(built(name, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert draws() == expected


@pytest.mark.parametrize(
    "draw",
    ["next(calls)", "os.urandom(1)[0] + 300 * next(calls)", "torch.rand((), generator=fresh)"],
    ids=["counter", "system", "generator of its own"],
)
def test_weights_that_are_others_each_time_are_refused(draw, written, data, tmp_path):
    """Which of them were measured could not be told, and a resumed run would mix them."""
    model = written(drawn(draw))
    own = chosen(data, tmp_path, model, run_name="run")
    with pytest.raises(UserError, match="comes with other weights each time it is built: load tr"):
        main.measure(Config(**own))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("parameter", ["random=False", "*, random=False", "width=3, random=None"])
def test_untrained_weights_are_those_of_a_function_that_makes_them(
    parameter, written, data, tmp_path
):
    model = written(drawn("5.0 if random else 7.0", parameter))
    network = find(model)
    assert network.checkpoint("random") == "random"
    trained, untrained = (load(network, given)[0] for given in (BUILT, "random"))
    assert [x[0].weight.unique().item() for x in (trained, untrained)] == [7, 5]
    given = {"model": model, "checkpoint": "random", "stg": "0", "run_name": "run"}
    assert prepare(Config(**chosen(data, tmp_path, **given))).weights == "random"


def test_untrained_weights_follow_the_seed(written):
    draw = "torch.rand(()) if random else 7.0"
    network = find(written(drawn(draw, "random=False")))
    one, same, other = (digest(load(network, "random", seed=seed)[0]) for seed in (1, 1, 2))
    assert one == same != other


def test_checkpoint_goes_into_the_network_of_a_function_that_brings_weights(written, tmp_path):
    name = written(drawn("7.0", "random=False"))
    torch.save({"0.weight": torch.full((1, 3, 1, 1, 1), 2.0)}, tmp_path / "w.pth")
    module, loaded = load(find(name), str(tmp_path / "w.pth"))
    assert module[0].weight.unique().item() == 2
    assert loaded.source == str(tmp_path / "w.pth")


ALIVE = """
import weakref
from torch import nn
alive = []

def build():
    network = nn.Sequential(nn.Conv3d(3, 2, 1), nn.BatchNorm3d(2))
    alive.append(weakref.ref(network[0]))
    return network, {'frames': 2, 'crop': 4}
"""


def test_record_of_a_network_keeps_no_module_alive(written):
    """Else a large network would be in memory twice, and not all of it on the device."""
    name = written(ALIVE, "alive_net.py")
    network = find(name)
    gc.collect()
    alive = sys.modules.pop("alive_net").alive
    assert [part() for part in alive] == [None]
    module, _ = load(network, BUILT)
    gc.collect()
    assert [part() for part in alive] == [None, module[0]]
