"""Killed at any point and started again, a run has the results of one that was left alone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

import main
from config import Config
from tests import helpers_runs, helpers_vos
from tests.helpers_processes import forked, killed_at_call, needs_fork
from tests.helpers_runs import options

data, without_figures = helpers_runs.videos, helpers_runs.without_figures
trees, tiny = helpers_vos.trees, helpers_vos.tiny

KILLS = 20
Measure = Callable[[Path], Path]


def results(folder: Path) -> dict[str, bytes]:
    """All that a run leaves, but for its record, which has the time in it."""
    left = helpers_runs.contents(folder)
    return {str(p.relative_to(folder)): x for p, x in left.items() if p.name != "config.json"}


def check_kills(measure: Measure, tmp_path: Path) -> None:
    """Kill a run at points anywhere in it, start it again, and compare all of its files."""
    folder = measure(tmp_path / "whole")
    whole, name = results(folder), folder.name
    traced = forked(killed_at_call(lambda: measure(tmp_path / "counted"), None), tmp_path)
    calls = int(traced.out.split()[-1])
    points = np.random.default_rng(0).integers(1, calls, KILLS)
    for number, point in enumerate(map(int, points)):
        place = tmp_path / f"killed{number}"
        ended = forked(killed_at_call(lambda place=place: measure(place), point), tmp_path)
        assert ended.code == -signal.SIGKILL, ended
        assert measure(place).name == name
        assert results(place / name) == whole, f"killed at call {point} of {calls}"
        assert list(place.rglob(".*")) == []


@needs_fork
def test_action_recognition(data, tmp_path):
    def measure(place: Path) -> Path:
        return main.measure(Config(**options(data, place, batch_size=4))).folder

    check_kills(measure, tmp_path)


@needs_fork
def test_segmentation(trees, tiny, tmp_path):
    def measure(place: Path) -> Path:
        return main.measure(helpers_vos.quick(trees, place, joint_encoding=True)).folder

    check_kills(measure, tmp_path)
