"""Blocks that fuse the appearance and the motion stream of one level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vos.modules.parts import Squeeze


class MaxMap(nn.Module):
    """A 7x7 convolution of the largest channel at each position; with batch norm or without."""

    def __init__(self, norm: bool):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1) if norm else nn.Identity()

    def forward(self, *streams: Tensor) -> Tensor:
        largest = streams[0].amax(1, keepdim=True)
        for other in streams[1:]:
            largest = torch.maximum(largest, other.amax(1, keepdim=True))
        return self.bn(self.conv(largest))  # [B, 1, H, W]


class GatedFusion(nn.Module):
    """MATNet's gated fusion of [B, C, H, W] twice into [B, 2C, H, W], no activation after it.

    use_global: whether a scalar per clip scales the result, before the residual.
    """

    def __init__(self, channels: int, use_global: bool):
        super().__init__()
        wide, narrow = 2 * channels, channels // 8
        self.use_global = use_global
        self.excitation_1 = nn.Sequential(nn.Linear(wide, narrow), nn.ReLU(inplace=True))
        self.excitation_2 = nn.Sequential(nn.Linear(narrow, wide), nn.Sigmoid())
        # Without use_global it is there and not run, as in the published files.
        self.global_attention = nn.Sequential(nn.Linear(narrow, 1), nn.Sigmoid())
        self.spatial = MaxMap(norm=True)

    def forward(self, app: Tensor, mot: Tensor) -> Tensor:
        both = torch.cat([app, mot], 1)  # [B, 2C, H, W]
        squeezed = self.excitation_1(both.mean((2, 3)))  # [B, C/8]
        scaled = both * self.excitation_2(squeezed)[:, :, None, None]
        # The map has no sigmoid: trained weights depend on it.
        gate = self.spatial(scaled)  # [B, 1, H, W]
        if self.use_global:
            gate = gate * self.global_attention(squeezed)[:, :, None, None]
        return both + scaled * gate


class StreamMap(nn.Module):
    """A map in (0, 1) from mean and largest channel of either stream, by a 7x7 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 1, 7, padding=3, bias=False)

    def forward(self, app: Tensor, mot: Tensor) -> Tensor:
        maps = [f(x, 1, keepdim=True) for x in (app, mot) for f in (torch.mean, torch.amax)]
        return torch.sigmoid(self.conv1(torch.cat(maps, 1)))  # [B, 1, H, W]


class MaxStreamMap(nn.Module):
    """A map in (0, 1) from the largest channel of both streams."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = MaxMap(norm=False)

    def forward(self, app: Tensor, mot: Tensor) -> Tensor:
        return torch.sigmoid(self.conv1(app, mot))  # [B, 1, H, W]


class ConvexFusion(nn.Module):
    """A convex combination of two streams, per channel and then per position.

    hidden: channels between the two layers that decide about channels.
    spatial: what decides about positions.
    add: whether the streams are added, [B, C, H, W] (RTNet), or stacked, [B, 2C, H, W] (MATNet).
    """

    def __init__(self, channels: int, hidden: int, spatial: nn.Module, add: bool):
        super().__init__()
        self.add = add
        self.channel = Squeeze(2 * channels, hidden, channels)
        self.spatial = spatial

    def forward(self, app: Tensor, mot: Tensor) -> Tensor:
        share = self.channel(app, mot)  # [B, C, 1, 1]
        app, mot = app * share, mot * (1 - share)
        share = self.spatial(app, mot)  # [B, 1, H, W]
        if self.add:
            return torch.lerp(mot, app, share)
        return torch.cat([app * share, mot * (1 - share)], 1)
