"""Every data set by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.tasks import RECOGNITION, SEGMENTATION
from datasets import davis, layouts, stylized_sequences, stylized_videos
from datasets.dataset import DataRequest


@dataclass(frozen=True)
class Entry:
    """A data set.

    task: of the networks that it is for.
    find: from its name and a request, its videos: a `DataSet`.
    """

    task: str
    find: Callable[[str, DataRequest], Any]


DATASETS = {
    **{name: Entry(RECOGNITION, stylized_videos.find) for name in layouts.LAYOUTS},
    **{name: Entry(SEGMENTATION, stylized_sequences.find) for name in davis.LAYOUTS},
}
# What is meant where no data set is named, by task.
USUAL = {RECOGNITION: "StylizedActivityNet", SEGMENTATION: "StylizedDAVIS"}
