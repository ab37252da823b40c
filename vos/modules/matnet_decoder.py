"""MATNet's decoder: boundary maps, and refinement from the coarsest level to the finest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vos.modules.parts import conv3, resize

_WIDTH = 256


class Boundary(nn.Module):
    """A map [B, 1, H, W] of boundaries from features [B, C, H, W], before any sigmoid."""

    def __init__(self, channels: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = conv3(channels, 64)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv2 = conv3(64, 64)
        self.conv3 = nn.Conv2d(64, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.conv1(self.bn1(x)))  # [B, 64, H, W]
        return self.conv3(F.relu_(self.conv2(self.bn2(x))))


class LargeKernel(nn.Module):
    """A 7x7 field of view by two orders of a column and a row."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_l1 = nn.Conv2d(channels, _WIDTH, (7, 1), padding=(3, 0))
        self.conv_l2 = nn.Conv2d(_WIDTH, _WIDTH, (1, 7), padding=(0, 3))
        self.conv_r1 = nn.Conv2d(channels, _WIDTH, (1, 7), padding=(0, 3))
        self.conv_r2 = nn.Conv2d(_WIDTH, _WIDTH, (7, 1), padding=(3, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_l2(self.conv_l1(x)) + self.conv_r2(self.conv_r1(x))


class Branch(nn.Module):
    """One dilated convolution of the pyramid."""

    def __init__(self, channels: int, rate: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, _WIDTH // 4, 3, padding=rate, dilation=rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Pyramid(nn.Module):
    """A 1x1 and three dilated convolutions, normalised: [B, 256, H, W].

    All three dilated ones are block1, and each is run, as published: trained weights depend on
    the former, and published costs on the latter. block2 and block3 are never run.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.block0 = nn.Conv2d(channels, _WIDTH // 4, 1)
        self.block1 = Branch(channels, 3)
        self.block2 = Branch(channels, 5)
        self.block3 = Branch(channels, 7)
        self.bn = nn.BatchNorm2d(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        dilated = [self.block1(x) for _ in range(3)]  # [B, 64, H, W] each
        return self.bn(torch.cat([self.block0(x), *dilated], 1))


class Refine(nn.Module):
    """A level's features with those of the coarser level, [B, 256, H, W], no activation after."""

    def __init__(self, channels: int):
        super().__init__()
        self.convFS1 = conv3(channels, _WIDTH)  # published and never run
        self.convFS2 = conv3(_WIDTH, _WIDTH)
        self.convFS3 = conv3(_WIDTH, _WIDTH)
        self.convMM1 = conv3(_WIDTH, _WIDTH)
        self.convMM2 = conv3(_WIDTH, _WIDTH)
        self.pdc = Pyramid(channels)

    def forward(self, x: Tensor, coarser: Tensor) -> Tensor:
        x = residual(self.pdc(x), self.convFS2, self.convFS3)
        return residual(x + resize(coarser, x.shape[2:]), self.convMM1, self.convMM2)


class Decoder(nn.Module):
    """Fused features of four levels, fine to coarse, to logits [B, 1, H/4, W/4].

    pred3, pred4, pred5 and concat are published and never run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.GC = LargeKernel(4096 + 1)
        self.convG1 = conv3(_WIDTH, _WIDTH)
        self.convG2 = conv3(_WIDTH, _WIDTH)
        self.RF4 = Refine(2048 + 1)
        self.RF3 = Refine(1024 + 1)
        self.RF2 = Refine(512 + 1)
        self.pred5 = conv3(_WIDTH, 1)
        self.pred4 = conv3(_WIDTH, 1)
        self.pred3 = conv3(_WIDTH, 1)
        self.pred2 = conv3(_WIDTH, 1)
        self.concat = conv3(4, 1)
        for level in (5, 4, 3, 2):
            self.add_module(f"bdry{level}", Boundary(256 << (level - 1)))

    def forward(self, fused: list[Tensor]) -> Tensor:
        r2, r3, r4, r5 = (
            torch.cat([x, self.get_submodule(f"bdry{level}")(x)], 1)
            for level, x in enumerate(fused, 2)
        )
        x = residual(self.GC(r5), self.convG1, self.convG2)  # [B, 256, H/32, W/32]
        for refine, level in ((self.RF4, r4), (self.RF3, r3), (self.RF2, r2)):
            x = refine(level, x)
        return self.pred2(F.relu(x))


def residual(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    """`x` and what two convolutions, each after a ReLU, make of it."""
    return x + second(F.relu_(first(F.relu(x))))
