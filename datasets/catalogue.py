"""Every data set by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.tasks import RECOGNITION, SEGMENTATION
from datasets import davis, stylized_sequences, stylized_videos, video_layouts
from datasets.dataset import DataRequest, DataSet


@dataclass(frozen=True)
class Entry:
    """How a data set is found.

    task: that of the networks that it is for.
    find: returns its videos, given its name and a request.
    """

    task: str
    find: Callable[[str, DataRequest], DataSet]


DATASETS = {
    **{name: Entry(RECOGNITION, stylized_videos.find) for name in video_layouts.LAYOUTS},
    **{name: Entry(SEGMENTATION, stylized_sequences.find) for name in davis.LAYOUTS},
}
# The data set to take where none is named, by task.
USUAL = {RECOGNITION: "StylizedActivityNet", SEGMENTATION: "StylizedDAVIS"}
