"""Runs of several seeds taken together."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from measure.finished import FinishedRun
from measure.pooled import estimated, require_alike
from misc import mean_var_analysis, re_estimate
from tests import helpers_runs, helpers_vos
from tests.helpers_estimation import estimate_pairs
from tests.helpers_vos import quick, run
from utils import UserError

trees, tiny, weights = helpers_vos.trees, helpers_vos.tiny, helpers_vos.weights
without_figures = helpers_runs.without_figures


@pytest.fixture
def out(trees, tmp_path, weights) -> Path:
    """Runs of two seeds of one network."""
    for seed in (1, 2):
        run(quick(trees, tmp_path / "out", checkpoint=weights, random_seed=seed))
    return tmp_path / "out"


def folders(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/config.json"))


def test_pairs_of_all_seeds_count(out):
    runs = [FinishedRun.read(folder) for folder in folders(out)]
    require_alike(runs)
    found = estimated(runs, runs[0].config({})).estimates
    for stage, estimate in found.items():
        columns = []
        for one in runs:
            x = np.array(one.features().features(stage))
            columns += [
                (x[i], x[j], pair.factor, pair.a.video, pair.a.style, pair.b.style)
                for pair in one.pairs
                for i, j in zip(one.rows[pair.a], one.rows[pair.b], strict=True)
            ]
        a, b, factor, video, style_a, style_b = map(np.array, zip(*columns, strict=True))
        shown = {"video": video, "style_a": style_a, "style_b": style_b}
        expected = estimate_pairs(a, b, factor, **shown)
        np.testing.assert_allclose(estimate.unit_scores, expected.unit_scores, rtol=0, atol=1e-9)
        for name in ("scores", "shares", "adjusted", "parts"):
            own, other = (getattr(e.inference, name) for e in (estimate, expected))
            for field in ("value", "corrected", "lo", "hi"):
                assert getattr(own, field) == pytest.approx(
                    getattr(other, field), rel=1e-9, abs=1e-9, nan_ok=True
                )
        assert estimate.n_pairs[0] == sum(p.factor == 0 for one in runs for p in one.pairs)


def test_tables_of_several_runs_are_saved_elsewhere(out, tmp_path, capsys):
    with pytest.raises(UserError, match="`save` is missing"):
        re_estimate.main(list(map(str, folders(out))))
    re_estimate.main([*map(str, folders(out)), "--save", str(tmp_path / "pooled")])
    assert "tables:" in capsys.readouterr().out
    with (tmp_path / "pooled/layerwise.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folders(out)[0] / "layerwise.csv").open(newline="") as file:
        one = list(csv.DictReader(file))
    assert [int(row["n_pairs"]) for row in rows] == [2 * int(row["n_pairs"]) for row in one]


def test_intervals_over_the_sequences_stand_below_those_over_seeds(out, capsys):
    (folder,) = (out / "final").iterdir()
    mean_var_analysis.main([str(folder)])
    text = capsys.readouterr().out
    table = text.partition("Shares in percent over the sequences, the seeds pooled")[2]
    stages = json.loads((folders(out)[0] / "config.json").read_text())["stages"]
    assert all(f" {stage} " in table for stage in stages)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("weights", "0" * 64, "other weights than"),
        ("dataset", ["StylizedDAVIS", "1", "2"], "another data set or other styles than"),
        ("random", {"seed": 2}, "other random weights than"),
    ],
)
def test_runs_that_are_not_alike_are_refused(out, key, value, words):
    path = folders(out)[1] / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(UserError, match=words):
        require_alike([FinishedRun.read(folder) for folder in folders(out)])


def test_one_run_given_twice_is_refused(out):
    with pytest.raises(UserError, match="have the same pairs"):
        require_alike([FinishedRun.read(folders(out)[0]) for _ in range(2)])
