"""The table of data sets."""

from __future__ import annotations

import pytest

from common.tasks import RECOGNITION, SEGMENTATION, TASKS
from datasets.catalogue import DATASETS, USUAL
from datasets.dataset import DataRequest
from tests.datasets.helpers import touch_styles
from tests.datasets.helpers_davis import write_trees


def test_every_data_set_is_there_once_and_for_one_task():
    assert {name: entry.task for name, entry in DATASETS.items()} == {
        "StylizedActivityNet": RECOGNITION,
        "ssv2": RECOGNITION,
        "Diving48": RECOGNITION,
        "plain": RECOGNITION,
        "synthetic": RECOGNITION,
        "StylizedDAVIS": SEGMENTATION,
        "StylizedDAVISCinematograms": SEGMENTATION,
        "StylizedDAVISStereograms": SEGMENTATION,
    }


@pytest.mark.parametrize("task", TASKS)
def test_what_is_meant_where_none_is_named_is_of_the_task(task):
    assert DATASETS[USUAL[task]].task == task


@pytest.mark.parametrize("dataset", ["plain", "StylizedDAVIS"])
def test_an_entry_finds_the_videos_of_a_request(tmp_path, dataset):
    write_trees(tmp_path)
    touch_styles(tmp_path / "stylized", {"bear": 9})
    request = DataRequest(tmp_path / "stylized", ("1", "2"), original=tmp_path / "original")
    data = DATASETS[dataset].find(dataset, request)
    assert data.listed.name == dataset
    assert "bear" in data.listed.videos
