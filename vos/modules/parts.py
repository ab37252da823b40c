"""Small parts that the segmentation networks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet

# Elements of an affinity matrix that are in memory at once (256 MiB in float32).
_AT_ONCE = 1 << 26


def trunk(name: str, dilated: Sequence[bool] = (False, False, False)) -> ResNet:
    """torchvision's ResNet called `name` without its classifier, random weights.

    dilated: whether layer2, layer3 and layer4 dilate instead of striding; the first block of such
    a layer keeps the dilation of the layer before.
    """
    network = torchvision.models.get_model(
        name, weights=None, replace_stride_with_dilation=list(dilated)
    )
    del network.avgpool, network.fc
    return network


def conv_bn(inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias that keeps the size, batch norm, and ReLU."""
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution with bias that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def resize(x: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """`x` [B, C, H, W] bilinearly in another size (height, width)."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align_corners)


def in_portions(
    function: Callable[..., tuple[Tensor, ...]], elements: int, *batches: Tensor
) -> tuple[Tensor, ...]:
    """`function` of `batches`, of so many clips at a time that its matrices fit in memory.

    elements: of the largest matrix that it makes per clip.
    """
    count, step = len(batches[0]), max(1, _AT_ONCE // elements)
    if count <= step:
        return function(*batches)
    results = [
        function(*(x[start : start + step] for x in batches)) for start in range(0, count, step)
    ]
    return tuple(torch.cat(parts) for parts in zip(*results, strict=True))


class Squeeze(nn.Module):
    """Values in (0, 1) for channels from the means of all: two 1x1 convolutions, `fc1`, `fc2`."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.fc1 = nn.Conv2d(inputs, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, outputs, 1)

    def forward(self, *maps: Tensor) -> Tensor:
        means = torch.cat([x.mean((2, 3), keepdim=True) for x in maps], 1)  # [B, inputs, 1, 1]
        return torch.sigmoid(self.fc2(F.relu(self.fc1(means))))  # [B, outputs, 1, 1]


class Gates(nn.Module):
    """A map in (0, 1) for each of `maps` from all of them, by one 1x1 convolution."""

    def __init__(self, channels: int, maps: int):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(maps * channels, maps, 1), nn.Sigmoid())

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        return self.conv(torch.cat(maps, 1)).split(1, 1)  # [B, 1, H, W] each
