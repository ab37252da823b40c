"""The modules of X3D (Feichtenhofer, CVPR 2020), with PySlowFast's parameter names."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.modules.resnet import ResBlock, conv, initialise
from models.tables.x3d import X3DSpec
from utils import UserError


def build(spec: X3DSpec, num_classes: int) -> nn.Module:
    """An X3D network with He-initialised weights."""
    return initialise(X3D(spec, num_classes))


class Stem(nn.Module):
    """Spatial, then depthwise temporal convolution, batch norm, ReLU; no pool."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_xy = conv(3, width, (1, 3, 3), (1, 2, 2))
        self.conv = conv(width, width, (5, 1, 1), groups=width)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.bn(self.conv(self.conv_xy(x))))  # [B, C, T, H/2, W/2]


class SqueezeExcite(nn.Module):
    """Every channel scaled by a gate in (0, 1) that all channels' means decide."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.fc1 = nn.Conv3d(channels, squeezed, 1)
        self.fc2 = nn.Conv3d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(F.relu_(self.fc1(x.mean((2, 3, 4), keepdim=True))))  # [B, C, 1, 1, 1]
        return x * torch.sigmoid(gate)


class Transform(nn.Module):
    """1x1x1, depthwise 3x3x3 (with the spatial stride), squeeze-excite, swish, and 1x1x1."""

    def __init__(self, channels_in: int, inner: int, channels_out: int, stride: int, excite: bool):
        super().__init__()
        self.a = conv(channels_in, inner, (1, 1, 1))
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = conv(inner, inner, (3, 3, 3), (1, stride, stride), groups=inner)
        self.b_bn = nn.BatchNorm3d(inner)
        self.se = SqueezeExcite(inner, round_width(inner / 16)) if excite else nn.Identity()
        self.c = conv(inner, channels_out, (1, 1, 1))
        self.c_bn = nn.BatchNorm3d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.a_bn(self.a(x)))
        x = F.silu(self.se(self.b_bn(self.b(x))))
        return self.c_bn(self.c(x))


def round_width(width: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one, and not below 90 % of `width`."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


class Head(nn.Module):
    """Widening convolutions around an average pool, linear layer, mean over positions."""

    def __init__(self, channels: int, inner: int, num_classes: int, frames: int, crop: int):
        super().__init__()
        self.crop = crop
        self.kernel = (frames, math.ceil(crop / 32), math.ceil(crop / 32))
        self.conv_5 = conv(channels, inner, (1, 1, 1))
        self.conv_5_bn = nn.BatchNorm3d(inner)
        self.lin_5 = conv(inner, 2048, (1, 1, 1))
        self.projection = nn.Linear(2048, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if any(have < need for have, need in zip(x.shape[2:], self.kernel, strict=True)):
            raise UserError(
                f"the classifier pools {self.kernel[0]} frames of {self.kernel[1]}x"
                f"{self.kernel[2]} positions, the last map has {list(x.shape[2:])}: give clips of "
                f"at least {self.crop} pixels for logits"
            )
        x = F.relu_(self.conv_5_bn(self.conv_5(x)))
        x = F.relu_(self.lin_5(F.avg_pool3d(x, self.kernel, stride=1)))  # [B, 2048, T', H', W']
        return self.projection(x.movedim(1, -1)).mean((1, 2, 3))


class X3D(nn.Module):
    """An X3D network; `forward` takes [B, 3, T, H, W] and returns logits [B, classes].

    Stage n is the output of `s<n>`; stage 5 precedes the head's widening convolution.
    """

    def __init__(self, spec: X3DSpec, num_classes: int):
        super().__init__()
        channels = spec.widths[0]
        self.s1 = nn.Sequential()
        self.s1.add_module("pathway0_stem", Stem(channels))
        for number, (width, blocks) in enumerate(zip(spec.widths, spec.blocks, strict=True), 2):
            inner = int(2.25 * width)
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 else 1
                branch = Transform(channels, inner, width, stride, excite=block % 2 == 0)
                stage.add_module(f"pathway0_res{block}", ResBlock(channels, width, stride, branch))
                channels = width
            self.add_module(f"s{number}", stage)
        self.head = Head(channels, inner, num_classes, spec.frames, spec.crop)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, 6):
            x = self.get_submodule(f"s{number}")(x)
        return self.head(x)
