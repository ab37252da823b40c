"""misc/benchmark.py: the run is timed on the videos that the floor was timed on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from config import load_config
from datasets.synthetic import make
from misc import benchmark

OPTIONS = ("--dataset", "synthetic", "--model", "demo_motion", "--n_examples", "4")


@pytest.fixture
def timed(monkeypatch, tmp_path):
    """The options of main.py, for those of the benchmark; nothing is run."""
    commands = []

    def note(command, **_):
        commands.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(benchmark.subprocess, "run", note)
    monkeypatch.setattr(benchmark, "floor_seconds", lambda run: 1.0)
    make(tmp_path / "mine", 4)

    def call(*options):
        benchmark.main([*OPTIONS, "--save_dir", str(tmp_path / "out"), *options])
        ((_, script, *argv),) = commands
        assert Path(script).name == "main.py"
        return load_config(argv)

    return call


@pytest.mark.parametrize("spelling", ["--stylized_data_dir={}", "--stylized_data_root={}"])
def test_own_videos_however_they_are_given(spelling, timed, tmp_path):
    config = timed(spelling.format(tmp_path / "mine"))
    assert config.stylized_data_dir == tmp_path / "mine"
    assert config.save_dir != tmp_path / "out"


def test_usual_videos_are_those_of_the_floor(timed, tmp_path):
    assert timed().stylized_data_dir == tmp_path / "out/synthetic_videos"


def test_resuming_is_refused_before_anything_is_timed(timed, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "floor_seconds", None)
    with pytest.raises(SystemExit) as stopped:
        timed("--resume", "some_run")
    assert stopped.value.code == 2
    assert "error: --resume: what is timed is a whole run" in capsys.readouterr().err
