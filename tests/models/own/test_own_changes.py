"""What a user's network is made of: nothing of it changes unnoticed, from run to run or in one."""

from __future__ import annotations

from pathlib import Path

import pytest

import main
from common.process import run_script
from config import Config
from measure import folder as folders
from tests import helpers_runs
from tests.helpers_processes import forked, needs_fork
from tests.helpers_runs import notes
from tests.models.own.helpers import chosen
from utils import UserError

data = helpers_runs.videos
without_figures = helpers_runs.without_figures

CODE = """
import sys
import torch
from torch import nn
{imports}

class Net(nn.Module):
    calls = 0
    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.act = nn.Conv3d(3, 4, 3), act
    def forward(self, x):
        Net.calls += 1
        return self.act(self.a(x) + {added})

class Act(nn.Module):
    def __init__(self, name): super().__init__(); self.name = name
    def forward(self, x): return getattr(torch, self.name)(x)

def transform(frames):
    transform.calls += 1
    {does}
    return frames[:, :8, :8].permute(3, 0, 1, 2).float() / 255
transform.calls = 0

WANTED = {{"frames": 4, "crop": 8, "transform": transform, {name}}}
def one(): return Net(Act("relu")), WANTED
def two(): return Net(Act("cos")), WANTED
def third(): return Net(Act(helper.NAME)), WANTED
"""


@pytest.fixture
def network(tmp_path):
    """A function that writes a file with networks; returns its path."""

    def write(name='"name": "same"', does="pass", added="0", imports="") -> Path:
        code = CODE.format(name=name, does=does, added=added, imports=imports)
        (tmp_path / "changes_net.py").write_text(code)
        return tmp_path / "changes_net.py"

    return write


def scores(data: Path, place: Path, model: str, **more) -> tuple[str, str]:
    """The name of a run's folder, and its scores."""
    given = chosen(data, place, model, stg="act", batch_size=4, **more)
    folder = main.measure(Config(**given)).folder
    return folder.name, (folder / "layerwise.csv").read_text()


def test_functions_of_one_file_that_give_one_name_are_told_apart(network, data, tmp_path):
    file = network()
    first, second = (scores(data, tmp_path, f"{file}:{name}") for name in ("one", "two"))
    assert (first[0], second[0]) == ("same_plain_seed1", "same_plain_seed1-2")
    assert first[1] != second[1]
    assert scores(data, tmp_path, f"{file}:one") == first


@needs_fork
def test_file_that_is_imported_is_part_of_the_network(network, data, tmp_path):
    helper = tmp_path / "changes_helper.py"
    helper.write_text("NAME = 'relu'\n")
    file = network(imports="import changes_helper as helper", name="")

    def run() -> int:
        """The exit code of a run in a process of its own, which has not imported the file yet."""
        return forked(lambda: scores(data, tmp_path, f"{file}:third") and 0, tmp_path).code

    assert [run(), run()] == [0, 0]
    before = (tmp_path / "changes_net.py_third_plain_seed1" / "layerwise.csv").read_text()
    helper.write_text("NAME = 'cos'\n")
    assert run() == 0
    names = sorted(p.name for p in tmp_path.glob("changes_net.py_*"))
    assert names == ["changes_net.py_third_plain_seed1", "changes_net.py_third_plain_seed1-2"]
    assert (tmp_path / names[1] / "layerwise.csv").read_text() != before


def test_change_later_in_a_run_is_noticed_and_nothing_of_it_is_kept(network, data, tmp_path):
    file = network(added="0.5 * (Net.calls > 4)")  # three at the start, then batches
    with pytest.raises(UserError, match=r"stage .act.: .* others at each forward") as refusal:
        scores(data, tmp_path, f"{file}:one")
    assert notes(refusal.value).startswith("0 of 20 clips are kept")
    assert not helpers_runs.done(tmp_path / "same_plain_seed1").any()


class TestExit:
    """A transform that ends the process is an error of the network, not a run that is over."""

    def test_at_once(self, network, data, tmp_path):
        file = network(does="sys.exit(0)")
        with pytest.raises(UserError, match=r"'transform': SystemExit: 0"):
            scores(data, tmp_path, f"{file}:one")

    @pytest.mark.parametrize("workers", [0, 1])
    def test_later(self, network, data, tmp_path, workers):
        file = network(does="transform.calls > 3 and sys.exit(0)")
        with pytest.raises(UserError, match=r"own preprocessing fails: SystemExit: 0"):
            scores(data, tmp_path, f"{file}:one", num_workers=workers)


@needs_fork
def test_folder_is_held_until_the_last_file_is_written(network, data, tmp_path, monkeypatch):
    """Of two runs one would clear what the other has half written."""
    config = Config(**helpers_runs.options(data, tmp_path / "runs", stg="5"))
    write, codes = folders.write_tables, []

    def meanwhile(folder, results):
        ended = forked(lambda: run_script(lambda: main.measure(config) and None), tmp_path)
        codes.append((ended.code, "works there" in ended.err))
        write(folder, results)

    monkeypatch.setattr(folders, "write_tables", meanwhile)
    main.measure(config)
    assert codes == [(2, True)]
