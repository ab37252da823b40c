"""misc/mean_var_analysis.py, for three and for four factors: the study's lines, t intervals."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from misc import mean_var_analysis, mean_var_analysis_4factors
from results.final_files import StageDims, write_final
from utils import UserError

ROOT = Path(__file__).parents[2]
STAGES = ("conv1,app_stream", "layer4,mot_stream", "layerf,sensor_fusion")

# Means 22.5 and 31.25; dynamic deviates by 1.5, 0.5, 0.5, 1.5, so its variance is 1.25 (ddof 0);
# static is constant.  1.96 * sqrt(1.25) / sqrt(4) = 1.0956733...
DYNAMIC = (21.0, 22.0, 23.0, 24.0)
EXPECTED = """\
app_stream , Stage  0   [22.5, 31.2, 46.2]
app_stream , Stage  0 : App :  31.25   0.0
app_stream , Stage  0 : Mot :  22.5   1.095673308974897
app_stream , Stage  0 : Residual :  46.25
mot_stream , Stage  4   [22.5, 31.2, 46.2]
mot_stream , Stage  4 : App :  31.25   0.0
mot_stream , Stage  4 : Mot :  22.5   1.095673308974897
mot_stream , Stage  4 : Residual :  46.25
sensor_fusion , Stage  5   [22.5, 31.2, 46.2]
sensor_fusion , Stage  5 : App :  31.25   0.0
sensor_fusion , Stage  5 : Mot :  22.5   1.095673308974897
sensor_fusion , Stage  5 : Residual :  46.25
"""


def save_final(path, *percents):
    """A file of three stages with the same percentages, exact ones where needed."""
    lines = [
        f"Stage: {stage} , Dimensions: {[1] * len(percents)} {list(percents)}\n" for stage in STAGES
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))


@pytest.fixture
def folder(tmp_path):
    """Four seeds of three factors."""
    for seed, dynamic in enumerate(DYNAMIC, 1):
        save_final(tmp_path / "m" / f"m_final_{seed:03d}.txt", dynamic, 31.25, 68.7 - dynamic)
    return tmp_path / "m"


def test_the_study_s_lines_come_first_word_for_word(folder, capsys):
    mean_var_analysis.main([str(folder)])
    out, err = capsys.readouterr()
    assert out.startswith(EXPECTED)
    assert not any(" , Stage " in line for line in out.splitlines()[12:])
    assert err == ""


def test_means_are_rounded_as_numpy_does(tmp_path, capsys):
    # 20.15 is stored a little below itself: Python rounds it to 20.1, NumPy to 20.2 (as the study).
    save_final(tmp_path / "m" / "a.txt", 20.15, 30.0, 49.9)
    mean_var_analysis.main([str(tmp_path / "m")])
    assert capsys.readouterr().out.startswith("app_stream , Stage  0   [20.2, 30.0, 49.8]\n")


def test_t_intervals_stand_below(folder, capsys):
    mean_var_analysis.main([str(folder)])
    lines = capsys.readouterr().out.splitlines()[12:]
    # Variance 5/3 (ddof 1), so 3.1824 * sqrt(5/3) / 2 = 2.054.
    assert lines[1].startswith("95 % t intervals over n = 4 files (t quantile 3.182")
    assert lines[2].split() == ["stage", "dynamic", "+-", "static", "+-", "residual", "+-"]
    assert lines[3].split() == [
        "conv1,app_stream",
        "22.50",
        "2.05",
        "31.25",
        "0.00",
        "46.20",
        "2.05",
    ]
    assert lines[6:] == [
        "",
        f"no intervals over the sequences: {folder.parent.parent} lacks the run of "
        + ", ".join(f"m_final_00{seed}.txt" for seed in range(1, 5)),
    ]


@pytest.mark.parametrize("n", [1, 2, 7])
def test_any_number_of_seeds(n, tmp_path, capsys):
    for seed in range(n):
        save_final(tmp_path / "m" / f"m_final_{seed:03d}.txt", 20.0 + seed, 30.0, 50.0 - seed)
    mean_var_analysis.main([str(tmp_path / "m")])
    out = capsys.readouterr().out
    assert f"app_stream , Stage  0 : Mot :  {20 + (n - 1) / 2}   " in out
    assert (f"n = {n} files" in out) == (n > 1)
    assert ("no t interval: one file" in out) == (n == 1)


def test_table_is_saved_and_a_replaced_one_is_marked(folder, tmp_path, capsys):
    table = tmp_path / "table.csv"
    mean_var_analysis.main([str(folder), "--save", str(table)])
    assert f"saved: {table}\n" in capsys.readouterr().out
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert rows[0] == {
        "model": "m",
        "stage": "conv1,app_stream",
        "factor": "dynamic",
        "percent": "22.5",
        "half_width_normal": "1.095673308974897",
        "half_width_t": rows[0]["half_width_t"],
        "files": "4",
    }
    assert float(rows[0]["half_width_t"]) == pytest.approx(3.1824463 * (5 / 3) ** 0.5 / 2)
    mean_var_analysis.main([str(folder), "--save", str(table)])
    assert f"saved: {table} (replaced)" in capsys.readouterr().out


def test_repeated_lines_and_other_files_are_reported_beside_the_output(folder, capsys):
    first = folder / "m_final_001.txt"
    first.write_text(first.read_text() * 2)
    (folder / "notes.md").touch()
    mean_var_analysis.main([str(folder)])
    out, err = capsys.readouterr()
    assert out.startswith(EXPECTED)
    assert err.splitlines() == [
        "note: m_final_001.txt: 3 repeated lines, identical, counted once",
        "note: not read, 1 without the suffix .txt: notes.md",
    ]


@pytest.mark.parametrize("script", [mean_var_analysis, mean_var_analysis_4factors])
def test_four_factors(script, tmp_path, capsys):
    for seed, dynamic in enumerate(DYNAMIC, 1):
        save_final(tmp_path / "m" / f"{seed}.txt", dynamic, 30.0, 60.0 - dynamic, 10.0)
    script.main([str(tmp_path / "m"), "--save", str(tmp_path / "t.csv")])
    out = capsys.readouterr().out
    assert out.startswith(
        "app_stream , Stage  0 : App :  30.0   0.0\n"
        "app_stream , Stage  0 : Mot :  22.5   1.095673308974897\n"
        "app_stream , Stage  0 : Res :  37.5   1.095673308974897\n"
        "mot_stream , Stage  4 : App :  30.0   0.0\n"
    )
    row = next(line.split() for line in out.splitlines() if "conv1,app_stream" in line)
    assert row[1:] == ["22.50", "2.05", "30.00", "0.00", "37.50", "2.05", "10.00", "0.00"]
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1 + 3 * 4


@pytest.mark.parametrize("percents", [(20.0, 80.0), (20.0, 30.0, 10.0, 10.0, 30.0)])
def test_other_numbers_of_factors_are_refused(percents, tmp_path, capsys):
    save_final(tmp_path / "m" / "a.txt", *percents)
    with pytest.raises(
        UserError, match=f"m has {len(percents)} factors per stage, expected 3 or 4"
    ):
        mean_var_analysis.main([str(tmp_path / "m")])
    assert capsys.readouterr().out == ""


def run_script(name, *options):
    command = [sys.executable, str(ROOT / "misc" / name), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_commands_from_another_folder(folder):
    done = run_script("mean_var_analysis.py", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(EXPECTED)
    assert run_script("mean_var_analysis_4factors.py", folder).stdout == done.stdout
    done = run_script("mean_var_analysis.py", folder / "absent")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_what_main_vos_writes_is_read(tmp_path, capsys):
    stages = [StageDims(stage, (13, 24, 27), (20.3, 37.5, 42.2)) for stage in STAGES]
    write_final(tmp_path / "m" / "m_final_001.txt", stages)
    mean_var_analysis.main([str(tmp_path / "m")])
    assert "app_stream , Stage  0   [20.3, 37.5, 42.2]" in capsys.readouterr().out
