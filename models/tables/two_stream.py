"""What the segmentation networks have in common: two streams, their fusion, and an archive."""

from __future__ import annotations

from typing import Any

from common.tasks import SEGMENTATION
from datasets.geometry import FlowGeometry

LAYERS = ("conv1", "layer1", "layer2", "layer3", "layer4")
APP, MOT, FUSED = "app_stream", "mot_stream", "sensor_fusion"
STREAMS = (APP, MOT)

ARCHIVE = "checkpoints_3models_staticdynamic_cvpr22"
ARCHIVE_URL = f"https://www.dropbox.com/s/20xfo150xbc8wde/{ARCHIVE}_final.zip"

# The size of the study's frames, in pixels.
SIZE = (480, 854)

# Fields that every one of them has. The study's files have no column that says "random".
TWO_STREAM: dict[str, Any] = {"task": SEGMENTATION, "clip": FlowGeometry(SIZE)}


def in_archive(path: str) -> str:
    """Where the study published weights, as advice."""
    return f"Unpack {ARCHIVE_URL} and give `checkpoint` {ARCHIVE}/{path}"
