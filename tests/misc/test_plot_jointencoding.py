"""misc/plot_jointencoding.py: the study's two lines per file, and what is not in them."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from misc import figure_files
from misc.plot_jointencoding import main, plot_folder
from results.joint_files import save_joint
from utils import UserError

ROOT = Path(__file__).parents[2]
# Of eight units one is dynamic, two are static, three joint, two neither at 0.5.
SCORES = np.array(
    [
        [0.9, 0.1, 0.2, 0.8, 0.7, 0.6, 0.1, -0.2],
        [0.2, 0.7, 0.9, 0.6, 0.8, 0.9, 0.1, 0.3],
        [1.0] * 8,
    ]
)
LABELS = "['Dynamic Dims', 'Static Dims', 'Joint Dims', 'None Dims']"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "joint_encoding" / "matnet"


@pytest.fixture
def plotted(monkeypatch):
    """The panels of every figure by its path, without the pictures: they take a second."""
    figures = {}

    def keep(path, grid):
        figures[path] = grid[0][0]

    monkeypatch.setattr(figure_files, "save_figure", keep)
    return figures


def save_raw(folder, stage, scores=SCORES):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"raw_{stage}.pkl").write_bytes(pickle.dumps(scores))


def test_two_lines_per_file_in_order(folder, plotted, capsys):
    save_raw(folder, "layer4,sensor_fusion")
    save_raw(folder, "layer1,sensor_fusion", SCORES[:, :6])
    main([str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        f"{folder}/raw_layer1,sensor_fusion.pkl",
        f"{LABELS}   [16.7, 33.3, 50.0, 0.0]",
        f"{folder}/raw_layer4,sensor_fusion.pkl",
        f"{LABELS}   [12.5, 25.0, 37.5, 25.0]",
    ]


def test_our_files_say_the_same(folder, plotted, capsys):
    save_joint(folder / "layer4,sensor_fusion.npz", SCORES)
    main([str(folder)])
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"{folder}/layer4,sensor_fusion.npz",
        f"{LABELS}   [12.5, 25.0, 37.5, 25.0]",
    ]


def test_a_slash_at_the_end_does_no_harm(folder, plotted, capsys):
    save_raw(folder, "layer4,sensor_fusion")
    main([f"{folder}/"])
    assert capsys.readouterr().out.startswith(f"{folder}/raw_layer4,sensor_fusion.pkl\n")


def test_units_in_no_class_are_counted_and_not_in_the_percentages(folder, plotted, capsys):
    scores = SCORES.copy()
    scores[0, 0] = np.nan
    scores[1, 1] = 0.5
    save_raw(folder, "layer4,sensor_fusion", scores)
    main([str(folder)])
    out, err = capsys.readouterr()
    assert f"{LABELS}   [0.0, 16.7, 50.0, 33.3]" in out
    assert "raw_layer4,sensor_fusion.pkl: 2 of 8 units are in no class" in err


def test_a_stage_without_any_class_is_zeros(folder, plotted, capsys):
    save_raw(folder, "layer4,sensor_fusion", np.full((3, 4), np.nan))
    main([str(folder)])
    out, err = capsys.readouterr()
    assert f"{LABELS}   [0.0, 0.0, 0.0, 0.0]" in out
    assert "4 of 4 units are in no class" in err


def test_another_threshold(folder, plotted, capsys):
    save_joint(folder / "layer4,sensor_fusion.npz", SCORES)
    main([str(folder), "--joint_encoding_thresh", "0.05"])
    assert f"{LABELS}   [0.0, 12.5, 87.5, 0.0]" in capsys.readouterr().out
    assert "above 0.05" in next(iter(plotted.values())).title


def test_classes_without_scores_have_one_threshold(folder, plotted, capsys):
    folder.mkdir(parents=True)
    classes = {"0": [0, 1], "1": [2], "2": [], "3": [3]}
    (folder / "layer4,sensor_fusion.pkl").write_bytes(pickle.dumps(classes))
    main([str(folder)])
    assert f"{LABELS}   [50.0, 25.0, 0.0, 25.0]" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"no scores but classes at 0\.5"):
        main([str(folder), "--joint_encoding_thresh", "0.9"])


def test_other_streams_are_counted_and_shown_on_request(folder, plotted, capsys):
    save_raw(folder, "layer4,sensor_fusion")
    save_raw(folder, "conv1,app_stream")
    main([str(folder)])
    out, err = capsys.readouterr()
    assert "app_stream" not in out
    assert "not shown, 1 files of other streams" in err
    main([str(folder), "--streams", "app_stream"])
    assert capsys.readouterr().out.startswith(f"{folder}/raw_conv1,app_stream.pkl\n")


def test_charts_show_the_percentages(folder, plotted, tmp_path):
    save_raw(folder, "layer1,sensor_fusion", SCORES[:, 1:3])
    save_raw(folder, "layer4,sensor_fusion")
    main([str(folder)])
    plots = tmp_path / "joint_encoding_plots" / "matnet"
    one = plotted[plots / "raw_layer4,sensor_fusion"]
    assert [series.values[k] for k, series in enumerate(one.series)] == [12.5, 25.0, 37.5, 25.0]
    overview = plotted[plots / "overview"]
    values = {series.label: list(series.values) for series in overview.series}
    assert values == {
        "dynamic": [0.0, 12.5],
        "static": [100.0, 25.0],
        "joint": [0.0, 37.5],
        "residual": [0.0, 25.0],
    }
    assert [name for _, name in overview.ticks] == ["layer1,sensor_fusion", "layer4,sensor_fusion"]


def test_the_last_part_of_that_name_is_replaced():
    assert plot_folder(Path("dim/joint_encoding/m")) == Path("dim/joint_encoding_plots/m")
    twice = Path("joint_encoding/vos/joint_encoding/my_joint_encoding")
    assert plot_folder(twice) == Path("joint_encoding/vos/joint_encoding_plots/my_joint_encoding")


def test_a_folder_within_is_recognised(folder, monkeypatch):
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert plot_folder(Path()).parts[-2:] == ("joint_encoding_plots", "matnet")


def test_without_such_a_part_a_folder_is_asked_for(tmp_path, plotted, capsys):
    save_raw(tmp_path / "scores", "layer4,sensor_fusion")
    with pytest.raises(UserError, match=r"has no part called joint_encoding.*--save_dir"):
        main([str(tmp_path / "scores")])
    assert capsys.readouterr().out == ""
    main([str(tmp_path / "scores"), "--save_dir", str(tmp_path / "plots")])
    assert set(plotted) == {
        tmp_path / "plots" / name for name in ("raw_layer4,sensor_fusion", "overview")
    }


def test_no_file_of_the_stream_is_refused(folder, plotted, capsys):
    save_raw(folder, "conv1,app_stream")
    with pytest.raises(UserError, match=r"no stage of sensor_fusion; found conv1,app_stream"):
        main([str(folder)])
    assert not folder.parent.with_name("joint_encoding_plots").exists()


def run_script(*options):
    command = [sys.executable, str(ROOT / "misc" / "plot_jointencoding.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_command_from_another_folder_writes_pictures(folder):
    save_joint(folder / "layer4,sensor_fusion.npz", SCORES)
    done = run_script(folder, "--tex")
    assert (done.returncode, done.stderr) == (0, "")
    plots = folder.parents[1] / "joint_encoding_plots" / "matnet"
    names = [
        f"{stem}{end}" for stem in ("layer4,sensor_fusion", "overview") for end in (".png", ".pdf")
    ]
    names.append("overview.tex")
    assert done.stdout.splitlines()[2:] == [f"saved: {plots / name}" for name in names]
    assert sorted(path.name for path in plots.iterdir()) == sorted(names)


def test_a_hostile_pickle_is_refused_without_a_traceback(folder):
    save_raw(folder, "layer4,sensor_fusion")
    made = folder / "made"
    attack = b"cposix\nsystem\n(S'touch " + str(made).encode() + b"'\ntR."
    (folder / "raw_layer1,sensor_fusion.pkl").write_bytes(attack)
    done = run_script(folder)
    assert done.returncode == 2
    assert "is refused: the pickle asks for posix.system" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not made.exists()


def test_folder_that_cannot_be_made_is_named_by_its_option(folder, plotted, tmp_path):
    save_raw(folder, "layer4,sensor_fusion")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^`save_dir` .*file/\S+ cannot be written"):
        main([str(folder), "--save_dir", str(tmp_path / "file"), "--tex"])
