"""misc/extract_features.py on a network from a user's file."""

import sys

import numpy as np
import pytest
import torch

from misc.extract_features import main
from utils import UserError

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv3d(3, 4, 1, bias=False), nn.Conv3d(4, 2, 1, bias=False)

    def forward(self, clip):
        x = self.first(clip)
        if x.any() and {fails}:
            raise ValueError("no such clip")
        return self.second(x)

def build():
    return Net(), {{'frames': 8, 'crop': 32, 'name': 'mine'}}
"""


def extract(folder, model, *options):
    """Run the script in this process; the arrays it saved."""
    files = ["--clips", str(folder / "clips.npz"), "--save", str(folder / "features.npz")]
    main(["--model", model, *files, "--device", "cpu", *options])
    with np.load(folder / "features.npz") as arrays:
        return dict(arrays)


def own(folder, fails="False"):
    """Write the network, and two clips of channels 1, 2 and 4; the network's name."""
    video = np.ones((2, 3, 8, 32, 32), np.float32) * np.float32([1, 2, 4]).reshape(3, 1, 1, 1)
    (folder / "my_net.py").write_text(OWN.format(fails=fails))
    np.savez(folder / "clips.npz", video=video)
    return f"{folder / 'my_net.py'}:build"


@pytest.fixture
def path_restored(monkeypatch):
    """A file may import its neighbours, so its folder comes onto the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_features_of_a_network_of_ones_own_are_those_of_its_weights(tmp_path, path_restored):
    name, path = own(tmp_path), tmp_path / "weights.pth"
    state = {"first.weight": torch.ones(4, 3, 1, 1, 1), "second.weight": torch.ones(2, 4, 1, 1, 1)}
    torch.save(state, path)
    features = extract(tmp_path, name, "--checkpoint", str(path), "--logits", "--batch_size", "1")
    # Every unit of the first layer is 1 + 2 + 4, of the second 4 times that.
    assert {k: v.tolist() for k, v in features.items() if k != "logits"} == {
        "first": [[7.0] * 4] * 2,
        "second": [[28.0] * 2] * 2,
    }
    assert features["logits"].shape == (2, 2, 8, 32, 32)


def test_error_in_a_network_of_ones_own_is_the_users(tmp_path, path_restored):
    name = own(tmp_path, "True")
    with pytest.raises(
        UserError, match=r"take clips \[2, 3, 8, 32, 32\]: ValueError: no such"
    ) as e:
        extract(tmp_path, name, "--batch_size", "2")
    assert f"{tmp_path}/my_net.py, line 13, in forward: raise ValueError(" in str(e.value)
    assert not (tmp_path / "features.npz").exists()


def test_batch_that_a_network_of_ones_own_cannot_take(tmp_path, path_restored):
    """Zeros tell, before the clips."""
    name = own(tmp_path, "True")
    code = (tmp_path / "my_net.py").read_text().replace("x.any() and True", "len(x) > 1")
    (tmp_path / "my_net.py").write_text(code)
    with pytest.raises(UserError, match=r"take clips \[2, 3, 8, 32, 32\]: ValueError"):
        extract(tmp_path, name)
    assert list(extract(tmp_path, name, "--batch_size", "1")) == ["first", "second"]
