"""From clips of sequences to the inputs of segmentation networks: images and flow images.

Preprocessing is that of the study: bilinear to the crop without keeping the aspect ratio, /255, and
the same mean and standard deviation for image and flow. A jitter changes the colours of the flow.
Letters in shape comments: H and W pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from datasets.batches import read_frame
from datasets.davis import SequenceSet
from datasets.flow_jitter import sample_jitters
from datasets.flow_plan import FlowClip
from datasets.geometry import FlowGeometry

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_input(image: Image.Image) -> Tensor:
    """An RGB image as a network input, float32 [3, H, W]."""
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255  # [3, H, W]
    return F.normalize(x, MEAN, STD, inplace=True)


class FlowReader:
    """Reads images and flow images of clips, each once."""

    def __init__(self, data: SequenceSet, geometry: FlowGeometry):
        self.data, self.geometry = data, geometry

    def read(self, clips: Sequence[FlowClip]) -> list[list[Tensor]]:
        """Image and flow of each of the clips, which show the same frames, float32.

        One frame: [3, H, W] each. Two: [2, 3, H, W] and [2, 6, H, W]; the channels are those of the
        forward flow, then of the backward flow. Raises FrameError for an unreadable file.
        """
        video = clips[0].video
        order = clips[0].frames
        frames = dict.fromkeys(order)
        styles = dict.fromkeys(clip.style for clip in clips)
        jitters = dict.fromkeys(clip.jitter for clip in clips)
        images = {(s, f): self._open(self.data.image(video, s, f)) for s in styles for f in frames}
        shown = {key: to_input(self._resized(image)) for key, image in images.items()}
        # A flow for every size of image: the other clips of the group must not matter.
        sizes = {key: image.size for key, image in images.items()}
        flows = {(f, z): self._flows(video, f, z) for f in frames for z in set(sizes.values())}
        shown_flows = {
            (j, f, z): _flow_input(flows[f, z], j, video, f) for j in jitters for f, z in flows
        }
        return [
            [
                self._stacked([shown[clip.style, f] for f in order]),
                self._stacked([shown_flows[clip.jitter, f, sizes[clip.style, f]] for f in order]),
            ]
            for clip in clips
        ]

    def inputs(self, reading: list[list[Tensor]], position: int, clip: FlowClip) -> list[Tensor]:
        """Image and flow of the clip at a position among those that were read."""
        return reading[position]

    def _stacked(self, frames: list[Tensor]) -> Tensor:
        return torch.stack(frames) if self.geometry.frames > 1 else frames[0]

    def _open(self, path: Path) -> Image.Image:
        return Image.fromarray(read_frame(path))

    def _flows(self, video: str, frame: str, size: tuple[int, int]) -> list[Image.Image]:
        """The flow images of a frame, in the crop's size."""
        images = []
        for flow in self.data.flows:
            image = self._open(self.data.flow(video, flow, frame))
            if self.geometry.fit_flow and image.size != size:
                image = image.resize(size, Image.Resampling.BICUBIC)
            images.append(self._resized(image))
        return images

    def _resized(self, image: Image.Image) -> Image.Image:
        height, width = self.geometry.size
        if image.size == (width, height):
            return image
        return image.resize((width, height), Image.Resampling.BILINEAR)


def _flow_input(flows: Sequence[Image.Image], jitter: int, video: str, frame: str) -> Tensor:
    """The flow images of a frame, jittered unless `jitter` is 0, float32 [3 n, H, W]."""
    if jitter:
        drawn = sample_jitters(jitter, video, frame, len(flows))
        flows = [change(flow) for change, flow in zip(drawn, flows, strict=True)]
    return torch.cat([to_input(flow) for flow in flows])  # [3 n, H, W]
