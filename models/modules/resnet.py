"""The modules of the ResNet family: C2D, I3D, non-local I3D, Slow, Fast and SlowFast.

One class builds them all from a `ResNetSpec`. Every stage takes and returns a list with one map
per pathway, so a single network is simply a SlowFast network with one pathway. Module names give
the parameter names of PySlowFast (github.com/facebookresearch/SlowFast); letters in shape
comments: B clips, C channels, T frames, H and W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.parameter_names import install_published_names, pytorchvideo_name
from models.tables.resnet import Pathway, ResNetSpec
from utils import UserError


def build(spec: ResNetSpec, num_classes: int) -> nn.Module:
    """A network of the family with He-initialised weights, its parameters named as published."""
    network = initialise(VideoResNet(spec, num_classes))
    if spec.naming == "pytorchvideo":
        two = len(spec.pathways) == 2
        install_published_names(
            network, {own: pytorchvideo_name(own, two) for own in network.state_dict()}
        )
    return network


def initialise(network: nn.Module) -> nn.Module:
    """The network with He-initialised convolutions (fan out, as PySlowFast's)."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def conv(channels_in: int, channels_out: int, kernel, stride=1, groups: int = 1) -> nn.Conv3d:
    """A convolution without bias that keeps the size, up to its stride."""
    padding = tuple(extent // 2 for extent in kernel)
    return nn.Conv3d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)


class Stem(nn.Module):
    """Convolution, batch norm, ReLU and the 1x3x3 max pool of one pathway."""

    def __init__(self, pathway: Pathway):
        super().__init__()
        self.conv = conv(3, pathway.width, (pathway.stem_kernel, 7, 7), (1, 2, 2))
        self.bn = nn.BatchNorm3d(pathway.width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.bn(self.conv(x)))  # [B, C, T, H/2, W/2]
        return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))  # [B, C, T, H/4, W/4]


class Bottleneck(nn.Module):
    """Tx1x1, 1x3x3 (with the spatial stride) and 1x1x1 convolutions, each with batch norm."""

    def __init__(self, channels_in: int, inner: int, channels_out: int, kernel: int, stride: int):
        super().__init__()
        self.a = conv(channels_in, inner, (kernel, 1, 1))
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = conv(inner, inner, (1, 3, 3), (1, stride, stride))
        self.b_bn = nn.BatchNorm3d(inner)
        self.c = conv(inner, channels_out, (1, 1, 1))
        self.c_bn = nn.BatchNorm3d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.a_bn(self.a(x)))
        x = F.relu_(self.b_bn(self.b(x)))
        return self.c_bn(self.c(x))


class ResBlock(nn.Module):
    """A branch and its shortcut, a projection where the shape changes, then ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, branch: nn.Module):
        super().__init__()
        self.project = channels_in != channels_out or stride != 1
        if self.project:
            self.branch1 = conv(channels_in, channels_out, (1, 1, 1), (1, stride, stride))
            self.branch1_bn = nn.BatchNorm3d(channels_out)
        self.branch2 = branch

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.branch1_bn(self.branch1(x)) if self.project else x
        return F.relu_(shortcut + self.branch2(x))


class NonLocal(nn.Module):
    """Softmax attention over all positions, added to its input (Wang et al., CVPR 2018).

    Keys and values come from the map after a 1x2x2 max pool. No ReLU follows: a stage that ends
    in such a block returns a map that is not rectified.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 2
        self.conv_theta = nn.Conv3d(channels, inner, 1)
        self.conv_phi = nn.Conv3d(channels, inner, 1)
        self.conv_g = nn.Conv3d(channels, inner, 1)
        self.conv_out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool3d(x, (1, 2, 2), (1, 2, 2))
        theta = self.conv_theta(x)  # [B, C/2, T, H, W]
        query = theta.flatten(2).transpose(1, 2)  # [B, THW, C/2]
        key = self.conv_phi(pooled).flatten(2).transpose(1, 2)  # [B, THW/4, C/2]
        value = self.conv_g(pooled).flatten(2).transpose(1, 2)  # [B, THW/4, C/2]
        # scaled_dot_product_attention scales by the inverse root of the inner width, as here.
        attended = F.scaled_dot_product_attention(query, key, value)  # [B, THW, C/2]
        attended = attended.transpose(1, 2).reshape(theta.shape)
        return x + self.bn(self.conv_out(attended))


class ParallelStems(nn.Module):
    """Stage 1: the stem of every pathway."""

    def __init__(self, pathways: tuple[Pathway, ...]):
        super().__init__()
        self.names = [f"pathway{pathway.number}_stem" for pathway in pathways]
        for name, pathway in zip(self.names, pathways, strict=True):
            self.add_module(name, Stem(pathway))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [self.get_submodule(n)(x) for n, x in zip(self.names, maps, strict=True)]


class ParallelStage(nn.Module):
    """Stages 2..5 (res2..res5): the residual blocks of every pathway."""

    def __init__(self, spec: ResNetSpec, number: int, channels_in: list[int]):
        super().__init__()
        row = number - 2
        self.chains: list[list[str]] = []
        for pathway, channels in zip(spec.pathways, channels_in, strict=True):
            inner, chain = pathway.width * 2**row, []
            for block in range(spec.blocks[row]):
                kernel = pathway.kernels[row][block % len(pathway.kernels[row])]
                stride = 2 if block == 0 and number > 2 else 1
                block_in = inner * 4 if block else channels
                branch = Bottleneck(block_in, inner, inner * 4, kernel, stride)
                chain.append(f"pathway{pathway.number}_res{block}")
                self.add_module(chain[-1], ResBlock(block_in, inner * 4, stride, branch))
                if block in spec.nonlocal_after[row]:
                    chain.append(f"pathway{pathway.number}_nonlocal{block}")
                    self.add_module(chain[-1], NonLocal(inner * 4))
            self.chains.append(chain)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        out = []
        for chain, x in zip(self.chains, maps, strict=True):
            for name in chain:
                x = self.get_submodule(name)(x)
            out.append(x)
        return out


class FastToSlow(nn.Module):
    """The lateral connection: the fast map, strided in time, is concatenated to the slow one."""

    def __init__(self, channels_fast: int, kernel: int, alpha: int):
        super().__init__()
        self.conv_f2s = conv(channels_fast, 2 * channels_fast, (kernel, 1, 1), (alpha, 1, 1))
        self.bn = nn.BatchNorm3d(2 * channels_fast)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        slow, fast = maps
        lateral = F.relu_(self.bn(self.conv_f2s(fast)))  # [B, 2 C_fast, T_slow, H, W]
        return [torch.cat([slow, lateral], 1), fast]


class Head(nn.Module):
    """Average pool, linear layer, and the mean over the positions that the pool leaves."""

    def __init__(self, channels: int, num_classes: int, window: int | None):
        super().__init__()
        self.window = window
        self.dropout = nn.Dropout(0.5)
        self.projection = nn.Linear(channels, num_classes)

    def _pool(self, x: Tensor) -> Tensor:
        if self.window is None:
            return x.mean((2, 3, 4), keepdim=True)
        if min(x.shape[3:]) < self.window:
            raise UserError(
                f"the classifier pools {self.window}x{self.window} positions, the last map has "
                f"{x.shape[3]}x{x.shape[4]}: give clips of at least 224x224 pixels for logits"
            )
        return F.avg_pool3d(x, (x.shape[2], self.window, self.window), stride=1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = torch.cat([self._pool(x) for x in maps], 1)  # [B, C, 1, H', W']
        logits = self.projection(self.dropout(x.movedim(1, -1)))  # [B, 1, H', W', classes]
        return logits.mean((1, 2, 3))


class VideoResNet(nn.Module):
    """A network of the family; `forward` takes one clip tensor [B, 3, T, H, W] per pathway.

    It returns logits [B, classes] averaged over the head's positions, before any softmax.
    Stage n is the output of `s<n>` (stage 1 includes the stem's max pool, stage 2 precedes the
    temporal pool), fused that of `s<n>_fuse`.
    """

    def __init__(self, spec: ResNetSpec, num_classes: int):
        super().__init__()
        self.pool_after_res2 = spec.pool_after_res2
        self.fused = spec.fusion is not None
        self.s1 = ParallelStems(spec.pathways)
        channels = [pathway.width for pathway in spec.pathways]
        for number in range(2, 6):
            if spec.fusion:
                fusion = FastToSlow(channels[1], spec.fusion.kernel, spec.fusion.alpha)
                self.add_module(f"s{number - 1}_fuse", fusion)
                channels[0] += 2 * channels[1]
            self.add_module(f"s{number}", ParallelStage(spec, number, channels))
            channels = [pathway.width * 2**number for pathway in spec.pathways]
        self.head = Head(sum(channels), num_classes, spec.head_window)

    def forward(self, *clips: Tensor) -> Tensor:
        maps = self.s1(list(clips))
        for number in range(2, 6):
            if self.fused:
                maps = self.get_submodule(f"s{number - 1}_fuse")(maps)
            maps = self.get_submodule(f"s{number}")(maps)
            if number == 2 and self.pool_after_res2 > 1:
                kernel = (self.pool_after_res2, 1, 1)
                maps = [F.max_pool3d(x, kernel, kernel) for x in maps]
        return self.head(maps)
