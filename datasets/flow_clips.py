"""From clips of sequences to the inputs of segmentation networks: images and flow images.

Preprocessing is that of the study: bilinear to the crop without keeping the aspect ratio, /255, and
the same mean and standard deviation for image and flow. A jitter changes the colours of the flow.
Letters in shape comments: H and W pixels of the crop.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from datasets.batches import Shown, read_frame
from datasets.davis import SequenceSet
from datasets.flow_jitter import sample_jitters
from datasets.flow_plan import FlowClip
from datasets.geometry import FlowGeometry

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_input(pictures: Tensor) -> Tensor:
    """RGB pictures uint8 [N, H, W, 3] as a network sees them, float32 [N, 3, H, W]."""
    x = pictures.permute(0, 3, 1, 2).contiguous().float().div_(255)
    return F.normalize(x, MEAN, STD, inplace=True)


class FlowReader:
    """Reads images and flow images of clips, each once."""

    def __init__(self, data: SequenceSet, geometry: FlowGeometry):
        self.data, self.geometry = data, geometry

    def read(self, clips: Sequence[FlowClip], raw: bool = False) -> list[Any]:
        """The pictures of clips that show the same frames, each once, float32 [N, 3, H, W], and for
        each of the clips the places of its images and of its flows among them.

        raw: give the pictures as uint8 [N, H, W, 3].

        Raises FrameError for an unreadable file.
        """
        video = clips[0].video
        order = clips[0].frames
        frames = dict.fromkeys(order)
        styles = dict.fromkeys(clip.style for clip in clips)
        jitters = dict.fromkeys(clip.jitter for clip in clips)
        images = {(s, f): self._open(self.data.image(video, s, f)) for s in styles for f in frames}
        # A flow for every size of image: the other clips of the group must not matter.
        sizes = {key: image.size for key, image in images.items()}
        flows = {(f, z): self._flows(video, f, z) for f in frames for z in set(sizes.values())}
        shown: dict[Any, Sequence[Image.Image]] = {
            **{key: [self._resized(image)] for key, image in images.items()},
            **{(j, f, z): _jittered(flows[f, z], j, video, f) for j in jitters for f, z in flows},
        }
        pixels = [np.asarray(image) for own in shown.values() for image in own]
        pictures = torch.from_numpy(np.stack(pixels))
        count = itertools.count()
        place = {key: [next(count) for _ in own] for key, own in shown.items()}
        places = [
            [
                [i for f in order for i in place[clip.style, f]],
                [i for f in order for i in place[clip.jitter, f, sizes[clip.style, f]]],
            ]
            for clip in clips
        ]
        return [pictures if raw else to_input(pictures), places]

    def inputs(self, reading: list[Any], clips: Sequence[FlowClip]) -> Iterator[list[Shown]]:
        """Image and flow of each of the clips that were read.

        One frame: [3, H, W] each. Two: [2, 3, H, W] and [2, 6, H, W]; the channels are those of the
        forward flow, then of the backward flow.

        reading: of `read`, its pictures on the device where the inputs are made.
        """
        pictures, places = reading
        x = to_input(pictures) if pictures.dtype == torch.uint8 else pictures
        shapes = self.geometry.shapes.values()
        for own in places:
            yield [Shown(x, 0, torch.tensor(i), s) for i, s in zip(own, shapes, strict=True)]

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


def _jittered(
    flows: Sequence[Image.Image], jitter: int, video: str, frame: str
) -> Sequence[Image.Image]:
    """The flow images of a frame, jittered unless `jitter` is 0."""
    if not jitter:
        return flows
    drawn = sample_jitters(jitter, video, frame, len(flows))
    return [change(flow) for change, flow in zip(drawn, flows, strict=True)]
