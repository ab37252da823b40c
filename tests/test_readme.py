"""The example of the README runs, and prints what stands there."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import main
from tests import helpers_runs
from tests.helpers_runs import as_argv, options, read_rows

data = helpers_runs.videos
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(first: str) -> str:
    """The indented block of the README that begins with this line."""
    lines = README[README.index(f"    {first}") :].splitlines()
    end = next(i for i, line in enumerate(lines) if line and not line.startswith("    "))
    return textwrap.dedent("\n".join(lines[:end])).strip()


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The folder of the example, in which it is run."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(block("# my_net.py"))
    return tmp_path


def test_stages_of_the_adapter_are_those_shown(example, capsys):
    main.main(["--model", "my_net.py:build", "--list_stages"])
    shown = block("my_net.py:build (as built)").splitlines()
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        line.split() for line in shown
    ]


def test_adapter_is_measured(example, data, capsys):
    stages = "network.slow,network.fast,network#embedding"
    chosen = options(data, example, model="my_net.py:build", stg=stages, run_name="run")
    del chosen["checkpoint"], chosen["image_size"]
    main.main(as_argv({**chosen, "n_sample_frames": 9}))
    assert "BGR 0 to 255, mean 104 117 123, std 1 1 1" in capsys.readouterr().out
    rows = read_rows(example / "run" / "layerwise.csv")
    units = {row["stage"]: int(row["n_units"]) for row in rows}
    assert units == {"network#embedding": 24, "network.slow": 16, "network.fast": 8}
    # The embedding is that of both branches after their ReLU: nowhere below zero.
    (file,) = (example / "run" / "features").glob("*embedding*.npy")
    embedding = np.load(file)
    assert embedding.shape == (15, 24)
    assert embedding.min() >= 0 < embedding.max()
