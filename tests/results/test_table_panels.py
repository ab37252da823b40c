"""CSV tables become panels, number by number; what does not fit is refused."""

import math
import re

import pytest

from results.table_panels import read_table
from utils import DataError

SHARES = """\
task,measure,network,trained_on,stage,factor,percent,source
VOS,joint encoding,FusionSeg,DAVIS,"layer4,sensor_fusion",dynamic,8.8,figure
VOS,joint encoding,FusionSeg,DAVIS,"layer4,sensor_fusion",static,91.2,figure
VOS,joint encoding,FusionSeg,TAO-VOS,"layer4,sensor_fusion",dynamic,49.6,figure
VOS,joint encoding,FusionSeg,TAO-VOS,"layer1,sensor_fusion",static,18.6,figure
VOS,mIoU,RTNet,,output,,60.7,printed
VOS,mIoU,MATNet,,output,,67.3,printed
"""
# Dynamic, static, different, same; means 0.5, 0.6, 0.2, 0.9, deviations 0.1, 0, 0.1, 0.
PAIRS = "bear,0.4,0.6,0.1,0.9\ncow,0.6,0.6,0.3,0.9\n"


def save(path, text):
    path.write_text(text)
    return path


def shown(panel):
    """Values by series and tick."""
    names = [name for _, name in panel.ticks]
    return {s.label: dict(zip(names, s.values, strict=True)) for s in panel.series}


def test_a_panel_for_each_task_and_measure(tmp_path):
    first, second = read_table(save(tmp_path / "t.csv", SHARES))
    assert (first.kind, first.limits) == ("horizontal", (0, 100))
    assert first.title == "VOS, joint encoding, FusionSeg"
    values = shown(first)
    four, one = "(TAO-VOS) layer4,sensor_fusion", "(TAO-VOS) layer1,sensor_fusion"
    assert list(values) == ["dynamic", "static"]
    assert values["dynamic"]["(DAVIS) layer4,sensor_fusion"] == 8.8
    assert values["static"]["(DAVIS) layer4,sensor_fusion"] == 91.2
    assert values["dynamic"][four] == 49.6
    assert values["static"][one] == 18.6
    assert math.isnan(values["static"][four])
    assert second.title == "VOS, mIoU"
    assert shown(second) == {"value": {"RTNet": 60.7, "MATNet": 67.3}}


def test_the_tables_of_a_run_are_read(tmp_path):
    text = "model,path,dataset,stage,factor,score,share_percent\ni3d,,ssv2,5,dynamic,0.5,30.0\n"
    (panel,) = read_table(save(tmp_path / "layerwise.csv", text))
    assert shown(panel) == {"dynamic": {"i3d (ssv2) 5": 30.0}}
    text = "model,stage,threshold,class,percent\ni3d,5,0.3,joint,30.0\ni3d,5,0.5,joint,20.0\n"
    panels = read_table(save(tmp_path / "joint_encoding.csv", text))
    assert [panel.title for panel in panels] == ["0.3", "0.5"]


@pytest.mark.parametrize("head", ["", "video,dynamic,static,different,same\n"])
def test_pair_statistics_with_and_without_a_header(head, tmp_path):
    (panel,) = read_table(save(tmp_path / "layer1,mot_stream_1.csv", head + PAIRS))
    assert panel.kind == "bars"
    assert panel.title.endswith("layer1,mot_stream_1, 2 videos")
    assert shown(panel) == {
        "same appearance": {"different motion": pytest.approx(0.6), "same motion": 0.9},
        "different appearance": {"different motion": 0.2, "same motion": 0.5},
    }
    same, different = panel.series
    assert list(same.lo) == list(same.hi) == pytest.approx([0.6, 0.9])
    assert list(different.lo) == pytest.approx([0.1, 0.4])
    assert list(different.hi) == pytest.approx([0.3, 0.6])


def test_groups_of_the_appearance_stream_are_by_appearance(tmp_path):
    (panel,) = read_table(save(tmp_path / "layer1,app_stream_1.csv", PAIRS))
    assert shown(panel) == {
        "same motion": {"different appearance": 0.5, "same appearance": 0.9},
        "different motion": {"different appearance": 0.2, "same appearance": pytest.approx(0.6)},
    }


REFUSED = {
    "other columns": ("a,b\n1,2\n", "columns a, b; expected shares (network or model; factor"),
    "no rows": ("network,factor,percent\n", "has no rows"),
    "empty": ("", "has no rows"),
    "a missing cell": (SHARES + "VOS,mIoU\n", "line 8: 2 cells, expected 8"),
    "no number": (SHARES.replace("91.2", "n/a"), "line 3: percent is 'n/a', expected a number"),
    "nan": (SHARES.replace("91.2", "nan"), "line 3: percent is 'nan'"),
    "twice": (SHARES.replace("MATNet", "RTNet"), "line 7: RTNet  output  has a number already"),
    "pair statistics": ("video,dynamic,static,different,same\na,1,2,x,4\n", "different is 'x'"),
    "pairs, a short row": (PAIRS + "dog,1,2,3\n", "line 3: 4 cells, expected 5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_does_not_fit_is_refused_with_its_line(case, tmp_path):
    text, words = REFUSED[case]
    path = save(tmp_path / "t.csv", text)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe,\x00"], ids=["absent", "no text"])
def test_a_file_that_is_no_table_is_refused(content, tmp_path):
    if content:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.csv (does not exist|is not a readable CSV table)"):
        read_table(tmp_path / "t.csv")
