"""A finished run started again: what is not needed for that is not even imported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from main import main
from measure.loaded import LoadedNetwork
from tests import helpers_runs
from tests.datasets.helpers_davis import write_trees
from tests.helpers_runs import VIDEOS, as_argv, contents, options, write_videos

ROOT = Path(__file__).parents[1]
without_figures = helpers_runs.without_figures
STAGE = "layer1,app_stream"


def again(argv: list[str]) -> str:
    """What a process prints that starts a run again, but for that it is finished, and what of some
    large packages it has imported."""
    code = (
        "import sys; from main import main; main(sys.argv[1:]);"
        "print('imported:', {'torch', 'torchvision', 'scipy.stats'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(r"nothing left to compute.*\n", "", done.stdout)


def test_finished_run_needs_no_pytorch(tmp_path, capsys):
    chosen = options(write_videos(tmp_path / "data", VIDEOS), tmp_path / "out", stg="1")
    del chosen["device"], chosen["checkpoint"]  # the best device, and weights from a file
    argv = as_argv(chosen)
    main(argv)
    before, said = contents(tmp_path / "out"), capsys.readouterr().out
    assert again(argv) == said + "imported: set()\n"
    after = contents(tmp_path / "out")
    assert {path: after[path] for path in before} == before
    figures = {path.name for path in set(after) - set(before)}
    names = ("joint_encoding", "layerwise", "parts")
    assert figures == {f"{name}.{suffix}" for name in names for suffix in ("pdf", "png")}


class Drawn(LoadedNetwork):
    """In place of a network, which would take long to build: features of noise."""

    def features(self, inputs: list[torch.Tensor], logits: bool = False) -> dict[str, np.ndarray]:
        seeds = [int(1000 * x.abs().sum()) for x in inputs[0]]
        rows = [np.random.default_rng(seed).normal(size=8) for seed in seeds]
        return {STAGE: np.array(rows, dtype=np.float32)}

    def require_steady(self, *_: object) -> None:
        pass


def drawn(_: object) -> tuple[Drawn, dict]:
    return Drawn(torch.nn.Identity(), {}, torch.device("cpu")), {}


def test_finished_run_of_segmentation_needs_no_pytorch(tmp_path, monkeypatch, capsys):
    write_trees(tmp_path)
    argv = as_argv(
        {
            "model": "matnet",
            "checkpoint": "random",
            "stg": STAGE,
            "nreps": "1",
            "way": "plain",
            "styles": "1,2,3",
            "original_data_root": str(tmp_path / "original"),
            "stylized_data_dir": str(tmp_path / "stylized"),
            "image_size": "32,32",
            "num_workers": "0",
            "save_dir": str(tmp_path / "out"),
        }
    )
    monkeypatch.setattr("measure.features.load_for", drawn)
    main(argv)
    assert again(argv) == capsys.readouterr().out + "imported: set()\n"
