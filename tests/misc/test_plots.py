"""The plotting scripts of final files, unit scores and tables: panels, files and refusals."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from misc import (
    figure_files,
    plot_histogram,
    plot_iterations,
    plot_stages,
    plot_stats_fromtable,
)
from misc.plot_iterations import iteration
from results.final_files import StageDims, read_finals, write_final
from results.joint_files import read_joint, save_joint
from utils import UserError

ROOT = Path(__file__).parents[2]
STAGES = ("conv1,app_stream", "layer1,app_stream", "layer4,mot_stream", "layer4,sensor_fusion")


@pytest.fixture
def grids(monkeypatch):
    """The panels of every figure, without the pictures: they take a second."""
    kept = []
    monkeypatch.setattr(figure_files, "save_figure", lambda path, grid: kept.append(grid))
    return kept


def save_final(path, dynamic, static, stages=STAGES):
    percents = (dynamic, static, 100 - dynamic - static)
    write_final(path, [StageDims(stage, (1, 1, 1), percents) for stage in stages])


def values(panel):
    return {series.label: list(series.values) for series in panel.series}


# ---- plot_stages.py


def test_stages_of_several_networks(tmp_path, grids):
    for seed, dynamic in enumerate((20.0, 22.0)):
        save_final(tmp_path / "one" / f"{seed}.txt", dynamic, 30.0)
    save_final(tmp_path / "two.txt", 25.0, 35.0, STAGES[2:])
    out = ["--save", str(tmp_path / "s.png")]
    plot_stages.main([str(tmp_path / "one"), str(tmp_path / "two.txt"), *out])
    (((first, motion, fusion), (none, *others)),) = grids
    assert first.title == "one\nappearance stream, 2 seeds"
    assert values(first) == {"dynamic": [21.0, 21.0], "static": [30.0, 30.0]}
    # The t quantile of one degree of freedom, 12.706, times sqrt(2) / sqrt(2).
    assert first.series[0].lo == pytest.approx([21 - 12.7062] * 2, abs=1e-4)
    assert first.series[0].hi == pytest.approx([21 + 12.7062] * 2, abs=1e-4)
    assert first.series[1].lo == first.series[1].hi == [30.0, 30.0]
    assert list(first.positions) == [0, 1]
    assert [name for _, name in first.ticks] == ["conv1", "layer1", "layer4"]
    assert list(motion.positions) == list(fusion.positions) == [2]
    assert none is None
    assert [panel.title for panel in others] == [
        "two\nmotion stream, 1 seed",
        "two\nsensor fusion, 1 seed",
    ]
    assert all(not panel.series[0].lo for panel in others)
    assert {panel.limits for panel in (first, motion, fusion, *others)} == {(5.0, 40.0)}


def test_stages_of_chosen_streams(tmp_path, grids):
    save_final(tmp_path / "a.txt", 20.0, 30.0)
    out = ["--save", str(tmp_path / "s"), "--streams", "mot_stream"]
    plot_stages.main([str(tmp_path / "a.txt"), *out])
    assert [panel.title for row in grids[0] for panel in row] == ["a\nmotion stream, 1 seed"]
    with pytest.raises(UserError, match="--streams rgb is in none of the files; they hold app_str"):
        plot_stages.main([str(tmp_path / "a.txt"), "--streams", "rgb", *out[:2]])


# ---- plot_iterations.py


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net_20000.txt", 20000),
        ("net_20000_final_001.txt", 20000),
        ("20000_final_001.txt", 20000),
        ("matnet_final_003.txt", None),
        ("resnet101_5.txt", 5),
        ("net_1_2.txt", 2),
        ("resnet101.txt", None),
    ],
)
def test_iteration_in_a_name(name, expected):
    assert iteration(name) == expected


def test_iterations_are_in_order_and_seeds_become_means(tmp_path, grids, capsys):
    for name, dynamic in (("n_900", 20.0), ("n_1000_final_1", 25.0), ("n_1000_final_2", 27.0)):
        save_final(tmp_path / "n" / f"{name}.txt", dynamic, 30.0)
    plot_iterations.main([str(tmp_path / "n"), "--save", str(tmp_path / "i.png")])
    assert "iterations (files of each): 900 (1), 1000 (2)" in capsys.readouterr().out
    (((panel,),),) = grids
    assert (panel.title, list(panel.positions)) == ("layer4,sensor_fusion", [900, 1000])
    assert values(panel) == {"dynamic": [20.0, 26.0], "static": [30.0, 30.0]}
    ends = [np.nan, 26 + 12.7062]
    assert panel.series[0].hi == pytest.approx(ends, nan_ok=True, abs=1e-4)


def test_iterations_refuse_a_name_without_a_number_and_an_absent_stream(tmp_path, grids):
    save_final(tmp_path / "n" / "net.txt", 20.0, 30.0, STAGES[:1])
    with pytest.raises(UserError, match=r"net\.txt has no iteration in its name"):
        plot_iterations.main([str(tmp_path / "n"), "--save", str(tmp_path / "i.png")])
    (tmp_path / "n" / "net.txt").rename(tmp_path / "n" / "net_5.txt")
    with pytest.raises(UserError, match=r"--streams sensor_fusion is in none.*hold app_stream"):
        plot_iterations.main([str(tmp_path / "n"), "--save", str(tmp_path / "i.png")])
    assert grids == []


# ---- plot_histogram.py

SCORES = np.array([[1.0, 0.0, 0.5, np.nan], [0.0, 0.0, 1.0, 0.5], [1.0] * 4])


def test_histograms_of_scores_share_their_bins_and_leave_out_undefined_units(
    tmp_path, grids, capsys
):
    save_joint(tmp_path / "m" / "layer1,sensor_fusion.npz", SCORES)
    save_joint(tmp_path / "m" / "layer4,sensor_fusion.npz", SCORES[:, :2])
    out = ["--save", str(tmp_path / "h.png")]
    plot_histogram.main([str(tmp_path / "m"), "--scores", "--bins", "2", *out])
    assert "layer1,sensor_fusion: 1 of 4 units have no score" in capsys.readouterr().out
    (((one, two),),) = grids
    assert list(one.positions) == list(two.positions) == [0.0, 0.5, 1.0]
    assert values(one) == {"dynamic": [1, 2], "static": [2, 1]}
    assert values(two) == {"dynamic": [1, 1], "static": [2, 0]}
    assert one.title == "layer1,sensor_fusion\n3 units"


def test_histograms_of_shares(tmp_path):
    save_joint(tmp_path / "a.npz", SCORES)
    (file,) = read_joint(tmp_path).files
    shares = plot_histogram.unit_values(file, scores=False)
    e = np.e
    assert shares[:, 0] == pytest.approx([100 * e / (2 * e + 1), 100 / (2 * e + 1)])
    assert np.isnan(shares[:, 3]).all()


def test_histograms_refuse_an_absent_stage_and_undefined_scores(tmp_path, grids):
    save_joint(tmp_path / "m" / "layer1,sensor_fusion.npz", np.full((3, 2), np.nan))
    out = ["--save", str(tmp_path / "h.png")]
    with pytest.raises(UserError, match="no stage layer9; found layer1,sensor_fusion"):
        plot_histogram.main([str(tmp_path / "m"), "--stages", "layer9", *out])
    with pytest.raises(UserError, match="no unit has a score"):
        plot_histogram.main([str(tmp_path / "m"), *out])
    assert grids == []


# ---- plot_stats_fromtable.py

TABLE = "model,stage,factor,percent\nrtnet,layer4,dynamic,20\nrtnet,layer4,static,30.5\n"
PAIRS = "bear,0.4,0.6,0.1,0.9\ncow,0.6,0.6,0.3,0.9\n"


def test_tables_of_two_kinds_are_not_mixed(tmp_path, grids):
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "b.csv").write_text(PAIRS)
    with pytest.raises(UserError, match="one kind at a time"):
        plot_stats_fromtable.main([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    three = [str(tmp_path / "b.csv")] * 3
    plot_stats_fromtable.main([*three, "--save", str(tmp_path / "t.png")])
    assert [len(row) for row in grids[0]] == [2, 1]


def test_what_mean_var_analysis_saves_is_plotted(tmp_path, grids):
    from misc import mean_var_analysis

    save_final(tmp_path / "rtnet" / "a.txt", 20.0, 30.0, STAGES[:2])
    table = ["--save", str(tmp_path / "m.csv")]
    mean_var_analysis.main([str(tmp_path / "rtnet"), *table])
    plot_stats_fromtable.main([str(tmp_path / "m.csv"), "--save", str(tmp_path / "t.png")])
    (((panel,),),) = grids
    assert panel.title == "rtnet"
    assert values(panel) == {"dynamic": [20.0] * 2, "static": [30.0] * 2, "residual": [50.0] * 2}


# ---- The files of any of them.


def run_script(name, *options):
    command = [sys.executable, str(ROOT / "misc" / name), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_command_from_another_folder_writes_and_replaces_its_files(tmp_path):
    (tmp_path / "a.csv").write_text(TABLE)
    save = ["--save", tmp_path / "new" / "table_0.5.png", "--tex", tmp_path / "new" / "t.tex"]
    done = run_script("plot_stats_fromtable.py", tmp_path / "a.csv", *save)
    assert (done.returncode, done.stderr) == (0, "")
    names = ["table_0.5.png", "table_0.5.pdf", "t.tex"]
    lines = [f"saved: {tmp_path / 'new' / name}" for name in names]
    assert done.stdout.splitlines() == ["1 panels from 1 tables", *lines]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    assert re.search(r"coordinates \{\(20,0\)\}", (tmp_path / "new" / "t.tex").read_text())
    done = run_script("plot_stats_fromtable.py", tmp_path / "a.csv", *save)
    assert done.stdout.splitlines()[1:] == [f"{line} (replaced)" for line in lines]


@pytest.mark.parametrize(
    "script",
    ["plot_stages.py", "plot_iterations.py", "plot_histogram.py", "plot_stats_fromtable.py"],
)
def test_nothing_to_read_has_exit_code_2_and_writes_nothing(script, tmp_path):
    done = run_script(script, tmp_path / "absent", "--save", tmp_path / "figure.png")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "absent" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["folder", "picture"])
def test_output_that_cannot_be_written_is_refused_first(case, tmp_path):
    (tmp_path / "folder.png").mkdir()
    options = {
        "folder": ["--save", str(tmp_path / "folder.png")],
        "picture": ["--save", str(tmp_path / "a.png"), "--tex", str(tmp_path / "a.png")],
    }[case]
    with pytest.raises(UserError, match=r"`save`|--tex"):
        plot_stages.main([str(tmp_path / "absent"), *options])


def test_repeated_lines_are_reported(tmp_path, grids, capsys):
    save_final(tmp_path / "a.txt", 20.0, 30.0)
    (tmp_path / "a.txt").write_text((tmp_path / "a.txt").read_text() * 2)
    plot_stages.main([str(tmp_path / "a.txt"), "--save", str(tmp_path / "s.png")])
    assert "a.txt: 4 repeated lines" in capsys.readouterr().err
    assert len(read_finals(tmp_path / "a.txt").stages) == 4


def test_what_cannot_be_written_is_named_by_its_option(tmp_path):
    (tmp_path / "adir.tex").mkdir()
    save_final(tmp_path / "one.txt", 20.0, 30.0)
    command = [str(tmp_path / "one.txt"), "--tex", str(tmp_path / "adir.tex")]
    with pytest.raises(UserError, match=r"^`tex` .*adir\.tex cannot be written"):
        plot_stages.main([*command, "--save", str(tmp_path / "s.png")])
    with pytest.raises(UserError, match=r"^`save` .*s\.png cannot be written"):
        plot_stages.main([*command, "--save", "/dev/null/s.png"])


@pytest.mark.parametrize(
    ("script", "place"),
    [
        (plot_stats_fromtable, "a.txt"),
        (plot_stages, "a.txt"),
        (plot_stages, "."),
        (plot_iterations, "."),
        (plot_histogram, "."),
    ],
)
def test_what_is_read_is_not_replaced(tmp_path, script, place):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(UserError, match=r"`tex` .*a\.txt is a file that is read"):
        script.main([str(tmp_path / place), "--tex", str(tmp_path / "a.txt")])
    assert (tmp_path / "a.txt").read_text() == "mine"
