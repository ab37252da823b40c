"""Networks whose features of a clip depend on more than the clip are not measured as if not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import main
from config import Config
from measure.loaded import LoadedNetwork
from measure.steady import require_steady
from models.network import HookPoint
from tests import helpers_runs
from tests.helpers_runs import options
from utils import UserError

data = helpers_runs.videos
without_figures = helpers_runs.without_figures


class BatchMean(nn.Module):
    """The mean of the batch is subtracted, as batch norms do without running statistics."""

    def forward(self, x):
        return x - x.mean(0, keepdim=True)


class Previous(nn.Module):
    """A little of the clip before is added."""

    before = 0.0

    def forward(self, x):
        found = x + 0.1 * self.before
        self.before = x[-1:].mean()
        return found


class Running(nn.Module):
    """A count of all forwards."""

    n = 0

    def forward(self, x):
        self.n += 1
        return x * self.n


class Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class Neighbour(nn.Module):
    """Frames are shifted across the batch: the end of a clip comes from the next."""

    def forward(self, x):
        b, c, t, h, w = x.shape
        flat = x.transpose(1, 2).reshape(b * t, c, h, w)
        return flat.roll(-1, 0).reshape(b, t, c, h, w).transpose(1, 2)


def network(part: nn.Module) -> LoadedNetwork:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv3d(3, 6, 3), part, nn.Conv3d(6, 4, 1)).eval()
    points = {"conv": (HookPoint("0"),), "after": (HookPoint("1"),)}
    return LoadedNetwork(module, points, torch.device("cpu"))


def check(part: nn.Module, clips: int) -> None:
    loaded = network(part)
    x = torch.randn(clips, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    loaded.require_steady([x], loaded.features([x]))


@pytest.mark.parametrize("clips", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "part",
    [
        nn.ReLU(),
        nn.BatchNorm3d(6),
        nn.InstanceNorm3d(6),
        nn.GroupNorm(2, 6),
        nn.Dropout(),
        nn.GELU(),
    ],
    ids=lambda part: type(part).__name__,
)
def test_networks_of_one_clip_pass(part, clips):
    check(part, clips)


@pytest.mark.parametrize("clips", [2, 3, 8])
@pytest.mark.parametrize(
    "part",
    [BatchMean(), nn.BatchNorm3d(6, track_running_stats=False), Neighbour()],
    ids=["batch mean", "batch norm", "neighbour"],
)
def test_batch_is_refused_with_the_stage_and_may_be_one_clip(part, clips):
    with pytest.raises(UserError, match=r"stage 'after': .* depend on the other .*`batch_size` 1"):
        check(part, clips)
    check(part, 1)


@pytest.mark.parametrize("clips", [1, 2, 8])
@pytest.mark.parametrize("part", [Previous, Running, Noise])
def test_state_and_chance_are_refused_with_any_batch(part, clips):
    with pytest.raises(UserError, match=r"stage 'after': .* others at each forward") as refusal:
        check(part(), clips)
    assert "`batch_size`" not in str(refusal.value)


def test_rounding_is_no_difference():
    x = torch.ones(3, 2)
    require_steady(lambda alone: {"5": (alone[0] * 1.00003).numpy()}, [x], {"5": x.numpy()})


def test_rows_of_two_frames_are_those_of_their_clip():
    x = torch.arange(3.0)[:, None]

    def forward(inputs):
        return {"5": torch.stack([inputs[0], inputs[0] + 0.5], 1).reshape(-1, 1).numpy()}

    require_steady(forward, [x], forward([x]))
    with pytest.raises(UserError, match="depend on the other clips"):
        require_steady(forward, [x], {"5": forward([x])["5"][::-1].copy()[[0, 1, 4, 5, 2, 3]]})


def test_run_is_refused_before_anything_is_stored(data, tmp_path):
    (tmp_path / "batch_net.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    norm = nn.BatchNorm3d(6, track_running_stats=False)\n"
        "    return nn.Sequential(nn.Conv3d(3, 6, 3), norm), {'frames': 4, 'crop': 32}\n"
    )
    given = options(data, tmp_path, model=f"{tmp_path}/batch_net.py:build", batch_size=4)
    given = {k: v for k, v in given.items() if k not in ("checkpoint", "image_size")}
    with pytest.raises(UserError, match="stage '1'"):
        main.measure(Config(**given))
    (folder,) = (path for path in Path(tmp_path).iterdir() if path.is_dir())
    assert not helpers_runs.done(folder).any()
    # What is advised works.
    assert main.measure(Config(**{**given, "batch_size": 1})).folder == folder
