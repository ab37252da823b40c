"""What networks are trained for: the two kinds of networks that are measured."""

from __future__ import annotations

RECOGNITION = "action recognition"
SEGMENTATION = "segmentation"
TASKS = (RECOGNITION, SEGMENTATION)
