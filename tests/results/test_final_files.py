"""The text files of the segmentation study: what is written is read, what is broken is refused."""

import re

import numpy as np
import pytest

from results.final_files import (
    FinalFile,
    StageDims,
    parse_line,
    read_final,
    read_finals,
    write_final,
)
from utils import DataError

LINE = "Stage: conv1,app_stream , Dimensions: [13, 24, 27] [20.3, 37.5, 42.2]"
OTHER = "Stage: layer4,sensor_fusion , Dimensions: [1, 2, 5] [12.5, 25.0, 62.5]"
CONV1 = StageDims("conv1,app_stream", (13, 24, 27), (20.3, 37.5, 42.2))
LAYER4 = StageDims("layer4,sensor_fusion", (1, 2, 5), (12.5, 25.0, 62.5))


def save(path, *lines, end="\n"):
    path.write_text(end.join(lines) + end, newline="")
    return path


# ---- One line.


def test_numpy_numbers_are_written_as_plain_ones(tmp_path):
    dims, percents = np.array([13, 24, 27]), np.float32([20.3125, 37.5, 42.1875])
    write_final(tmp_path / "m.txt", [StageDims("conv1,app_stream", dims, percents)])
    assert (tmp_path / "m.txt").read_text() == LINE + "\n"


def test_a_line_is_read():
    assert parse_line(LINE + "\n") == CONV1
    assert (CONV1.layer, CONV1.stream) == ("conv1", "app_stream")


def test_a_line_of_four_factors_is_read():
    found = parse_line("Stage: layerf,sensor_fusion , Dimensions: [1, 1, 1, 1] [25.0, 25, 25, 25]")
    assert found == StageDims("layerf,sensor_fusion", (1, 1, 1, 1), (25.0,) * 4)


BROKEN = {
    "cut off": (LINE[:-3], "expected a line like"),
    "two lines in one": (LINE + LINE, "expected a line like"),
    "no percentages": (LINE.split(" [20")[0], "expected a line like"),
    "other text": ("Epoch 3: loss 0.2", "expected a line like"),
    "unknown layer": (LINE.replace("conv1", "layer5"), "stage 'layer5,app_stream' is not known"),
    "unknown stream": (LINE.replace("app_stream", "rgb"), "stage 'conv1,rgb' is not known"),
    "no stream": (LINE.replace(",app_stream", ""), "stage 'conv1' is not known"),
    "no number": (LINE.replace("24", "many"), "' many'"),
    "numbers of NumPy": (LINE.replace("20.3", "np.float64(20.3)"), "np.float64"),
    "empty lists": ("Stage: conv1,app_stream , Dimensions: [] []", "invalid literal"),
    "unequal lists": (LINE.replace("13, ", ""), "2 numbers of units and 3 percentages"),
    "one factor": ("Stage: conv1,app_stream , Dimensions: [8] [100.0]", "1 numbers of units"),
    "nan": (LINE.replace("20.3", "nan"), "percentages from 0 to 100"),
    "beyond 100": (LINE.replace("20.3", "203"), "percentages from 0 to 100"),
    "negative units": (LINE.replace("13", "-13"), "units of 0 or more"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_line_is_refused_with_file_and_line(case, tmp_path):
    line, words = BROKEN[case]
    path = save(tmp_path / "m_final_001.txt", OTHER, line)
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2: ")) as caught:
        read_final(path)
    assert words in str(caught.value)


# ---- One file.


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "m_final_001.txt"
    write_final(path, [CONV1, LAYER4])
    assert path.read_text() == f"{LINE}\n{OTHER}\n"
    assert read_final(path) == FinalFile(path, {s.stage: s for s in (CONV1, LAYER4)})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"], ids=["unix", "windows", "blank lines"])
def test_line_ends_do_not_matter(end, tmp_path):
    path = save(tmp_path / "a.txt", LINE, OTHER, end=end)
    assert list(read_final(path).stages.values()) == [CONV1, LAYER4]


def test_lines_doubled_by_a_second_run_count_once(tmp_path):
    path = save(tmp_path / "a.txt", LINE, OTHER, LINE, OTHER, LINE)
    file = read_final(path)
    assert list(file.stages.values()) == [CONV1, LAYER4]
    assert file.repeats == 3


def test_lines_that_contradict_each_other_are_refused_with_both_numbers(tmp_path):
    path = save(tmp_path / "a.txt", LINE, OTHER, LINE, OTHER.replace("[1, 2, 5]", "[1, 1, 6]"))
    with pytest.raises(DataError, match=r"a\.txt, lines 2 and 4 contradict .*layer4,sensor_fusion"):
        read_final(path)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"], ids=["empty", "blank", "b"])
def test_a_file_without_lines_is_refused(content, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt is (empty|not a readable text file)"):
        read_final(tmp_path / "a.txt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.txt does not exist"):
        read_final(tmp_path / "a.txt")


# ---- A folder.


def test_files_are_read_in_order_and_stages_stream_by_stream(tmp_path):
    save(tmp_path / "m_final_002.txt", OTHER, LINE.replace("20.3", "30.3"))
    save(tmp_path / "m_final_001.txt", OTHER, LINE)
    folder = read_finals(tmp_path)
    assert [file.path.name for file in folder.files] == ["m_final_001.txt", "m_final_002.txt"]
    assert folder.stages == (CONV1, LAYER4)
    assert folder.percents("conv1,app_stream", 0) == [20.3, 30.3]
    assert folder.percents("layer4,sensor_fusion", 1) == [25.0, 25.0]
    assert (folder.n_factors, folder.notes) == (3, ())


def test_one_file_is_a_folder_of_one_seed(tmp_path):
    path = save(tmp_path / "log", LINE)
    assert read_finals(path).percents("conv1,app_stream", 2) == [42.2]


def test_what_is_collapsed_or_not_read_is_noted(tmp_path):
    save(tmp_path / "a.txt", LINE, LINE)
    (tmp_path / "plot.png").touch()
    notes = read_finals(tmp_path).notes
    assert notes == (
        "a.txt: 1 repeated lines, identical, counted once",
        "not read, 1 without the suffix .txt: plot.png",
    )


def test_files_of_different_stages_are_never_mixed(tmp_path):
    save(tmp_path / "a.txt", LINE, OTHER)
    save(tmp_path / "b.txt", LINE, OTHER.replace("layer4", "layer1"))
    with pytest.raises(DataError, match=r"b\.txt and a\.txt have different stages") as caught:
        read_finals(tmp_path)
    assert "missing: layer4,sensor_fusion; more: layer1,sensor_fusion" in str(caught.value)


@pytest.mark.parametrize("names", [("a.txt", "a.txt"), ("a.txt", "b.txt")], ids=["one", "two"])
def test_files_of_different_numbers_of_factors_are_never_mixed(names, tmp_path):
    four = "Stage: layer4,sensor_fusion , Dimensions: [1, 1, 1, 1] [25.0, 25.0, 25.0, 25.0]"
    save(tmp_path / names[0], LINE, OTHER)
    save(tmp_path / names[1], LINE, four)
    with pytest.raises(DataError, match="layer4,sensor_fusion has 4 factors, the first stage"):
        read_finals(tmp_path)


@pytest.mark.parametrize("case", ["absent", "empty", "other files"])
def test_a_folder_without_files_is_refused(case, tmp_path):
    folder = tmp_path / "model"
    if case != "absent":
        folder.mkdir()
    if case == "other files":
        (folder / "layer1.pkl").touch()
    with pytest.raises(DataError, match=r"model (does not exist|holds no \.txt file)"):
        read_finals(folder)
