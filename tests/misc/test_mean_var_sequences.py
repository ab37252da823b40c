"""misc/mean_var_analysis.py: intervals over the sequences, from the runs that wrote the files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from misc import mean_var_analysis, re_estimate
from results.tables import with_interval
from tests import helpers_vos
from tests.helpers_runs import read_rows
from tests.helpers_vos import quick, run

trees, tiny, weights = helpers_vos.trees, helpers_vos.tiny, helpers_vos.weights


@pytest.fixture
def place(trees, tmp_path, weights) -> Path:
    """Where two seeds of one network were measured."""
    for seed in (1, 2):
        run(quick(trees, tmp_path / "out", checkpoint=weights, random_seed=seed))
    return tmp_path / "out"


def final(place: Path) -> Path:
    (folder,) = (place / "final").iterdir()
    return folder


def below(capsys) -> str:
    """What is printed about the sequences."""
    return capsys.readouterr().out.partition("drew:\n")[2].partition("\n\n")[2]


def test_shares_are_those_of_the_pooled_runs(place, tmp_path, capsys):
    runs = sorted(str(path.parent) for path in place.glob("*/config.json"))
    re_estimate.main([*runs, "--save", str(tmp_path / "pooled")])
    capsys.readouterr()
    mean_var_analysis.main([str(final(place))])
    title, columns, *lines = below(capsys).splitlines()
    assert title.startswith("Shares in percent over the sequences, the seeds pooled")
    assert columns.split() == ["stage", "dynamic", "static", "residual"]
    rows = read_rows(tmp_path / "pooled" / "layerwise.csv")
    for k, line in enumerate(lines[: len(rows) // 3]):
        cells = [
            with_interval(
                *(float(row[f"share_percent{end}"] or "nan") for end in ("", "_lo", "_hi"))
            )
            for row in rows[3 * k : 3 * k + 3]
        ]
        assert line.split() == [rows[3 * k]["stage"], *" ".join(cells).split()]


def test_without_its_runs_there_are_none(place, capsys):
    for path in place.glob("*_seed2"):
        shutil.rmtree(path)
    mean_var_analysis.main([str(final(place))])
    assert below(capsys) == (
        f"no intervals over the sequences: {place} lacks the run of tiny_davis_final_002.txt\n"
    )


def test_untrained_networks_of_two_seeds_are_two_networks(trees, tmp_path, capsys):
    for seed in (1, 2):
        run(quick(trees, tmp_path / "out", random_seed=seed))
    mean_var_analysis.main([str(final(tmp_path / "out"))])
    assert "no intervals over the sequences: " in (text := below(capsys))
    assert "has other random weights than " in text
