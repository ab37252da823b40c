"""RTNet (Ren et al., CVPR 2021): two frames and their flows, exchanging features by attention.

Maps of both frames lie in one batch, in the order sample, frame: [2B, C, H, W]. The published
code loses that order between levels where B is above 1, and mixes samples; here a sample's
features are those that it has alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.tables.rtnet import RTNetSpec
from vos.modules.fusion import ConvexFusion, StreamMap
from vos.modules.parts import conv_bn, resize, trunk
from vos.modules.rtnet_attention import Cross, Self

_LEVELS = (1, 2, 3, 4)
# Channels of the fused features of levels 1 to 3, and of the decoder's stages 1 to 4.
_FUSED = (64, 128, 256)
_DECODED = (64, 64, 128, 256)


def build(spec: RTNetSpec, num_classes: int) -> nn.Module:
    """An RTNet with random weights; its one class is the object."""
    return RTNet(spec)


class DecoderStage(nn.Module):
    """Three 3x3 convolutions over all its inputs side by side."""

    def __init__(self, inputs: int, width: int, outputs: int):
        super().__init__()
        self.layer = nn.Sequential(
            *conv_bn(inputs, width, 3), *conv_bn(width, width, 3), *conv_bn(width, outputs, 3)
        )

    def forward(self, *maps: Tensor) -> Tensor:
        return self.layer(torch.cat(maps, 1))


class Output(nn.Module):
    """Logits [2B, 1, H, W] of the mask in the given size from a stage of the decoder."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = conv_bn(channels, 64, 3)
        self.conv2 = nn.Conv2d(64, 1, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        # Published the other way round; both are linear, and this resizes one channel, not 64.
        return resize(self.conv2(self.conv1(x)), size, align_corners=True)


class StreamNet(nn.Module):
    """The parts of one stream. The decoder of the motion stream is published and never run."""

    def __init__(self, spec: RTNetSpec, channels: int):
        super().__init__()
        resnet = trunk(spec.trunk)
        resnet.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.inconv = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        for level, width in zip(_LEVELS, spec.widths, strict=True):
            self.add_module(f"encoder{level}", resnet.get_submodule(f"layer{level}"))
            if level < 4:
                bridge = conv_bn(width, _FUSED[level - 1]) if spec.bridged else nn.Identity()
                self.add_module(f"bridge{level}", bridge)
        self.dilation0 = conv_bn(spec.widths[3], 512) if spec.bridged else nn.Identity()
        for i in range(4):
            self.add_module(f"dilation{i + 1}", conv_bn(spec.widths[3], 512, 3, 2**i))
        self.decoder4 = DecoderStage(5 * 512, 512, 256)
        self.decoder3 = DecoderStage(512, 256, 128)
        self.decoder2 = DecoderStage(256, 128, 64)
        self.decoder1 = DecoderStage(128, 64, 64)
        for level in reversed(_LEVELS):
            self.add_module(f"out{level}", Output(_DECODED[level - 1]))

    def bridge(self, level: int, x: Tensor) -> Tensor:
        """The features of a level as they are fused, [2B, 64, 128 or 256, H, W]."""
        return self.get_submodule(f"bridge{level}")(x)

    def decode(self, x: Tensor, fused: list[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """Logits [2B, 1, *size] of levels 1 to 4 from level 4 and the fused levels 1 to 3."""
        pyramid = [self.get_submodule(f"dilation{i}")(x) for i in range(5)]
        x = self.get_submodule("decoder4")(*pyramid)  # [2B, 256, H/32, W/32]
        logits = [self.get_submodule("out4")(x, size)]
        for level in (3, 2, 1):
            finer = fused[level - 1]
            coarser = resize(x, finer.shape[2:], align_corners=True)
            x = self.get_submodule(f"decoder{level}")(coarser, finer)
            logits.insert(0, self.get_submodule(f"out{level}")(x, size))
        return logits


class Sums(nn.Module):
    """A level's features of both streams with what attention adds; no activation after it.

    It has no weights: it is the place in the network where stages are taken.
    """

    def forward(self, app: tuple[Tensor, ...], mot: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        return _sum(app), _sum(mot)


def _sum(terms: tuple[Tensor, ...]) -> Tensor:
    total = terms[0] + terms[1]
    for term in terms[2:]:
        total += term
    return total


class RTNet(nn.Module):
    """Images [B, 2, 3, H, W] and flows, forward and backward, [B, 2, 6, H, W] to logits.

    Returns those of levels 1 to 4, finest first, [2B, 1, 4 H', 4 W'] each, H' and W' being the
    size of level 1.
    """

    def __init__(self, spec: RTNetSpec):
        super().__init__()
        self.spatial_net = StreamNet(spec, 3)
        self.temporal_net = StreamNet(spec, 6)
        for name, part in _ATTENTION.items():
            for level in _LEVELS:
                attention = part(spec.widths[level - 1], spec.attention[level - 1])
                self.add_module(f"{name}{level}", attention)
        for level in (3, 2, 1):
            fusion = ConvexFusion(_FUSED[level - 1], 64, StreamMap(), add=True)
            self.add_module(f"Transformerstafm{level}", fusion)
        for level in _LEVELS:
            self.add_module(f"level{level}", Sums())

    def forward(self, images: Tensor, flows: Tensor) -> tuple[Tensor, ...]:
        spatial, temporal = self.spatial_net, self.temporal_net
        app = spatial.inconv(images.flatten(0, 1))  # [2B, 64, H/4, W/4]
        mot = temporal.inconv(flows.flatten(0, 1))
        fused = []
        for level in _LEVELS:
            app = spatial.get_submodule(f"encoder{level}")(app)
            mot = temporal.get_submodule(f"encoder{level}")(mot)
            app, mot = self._exchange(level, app, mot)
            if level == 1:
                size = (4 * app.shape[2], 4 * app.shape[3])
            if level < 4:
                fusion = self.get_submodule(f"Transformerstafm{level}")
                fused.append(fusion(spatial.bridge(level, app), temporal.bridge(level, mot)))
        return tuple(spatial.decode(app, fused, size))

    def _exchange(self, level: int, app: Tensor, mot: Tensor) -> tuple[Tensor, Tensor]:
        def run(name: str, *inputs: Any):
            return self.get_submodule(f"{name}{level}")(*inputs)

        # Frame 1 and frame 2 of every sample, and of none other.
        app_frames = torch.stack(run("SSTransformer", app[0::2], app[1::2]), 1).flatten(0, 1)
        mot_frames = torch.stack(run("TTTransformer", mot[0::2], mot[1::2]), 1).flatten(0, 1)
        app_streams, mot_streams = run("STTransformer", app, mot)
        app_terms = (app, app_frames, run("SselfTransformer", app), app_streams)
        mot_terms = (mot, mot_frames, run("TselfTransformer", mot), mot_streams)
        return run("level", app_terms, mot_terms)


def _cross_frames(channels, spec) -> Cross:
    return Cross(channels, spec, shared=True)


def _cross_streams(channels, spec) -> Cross:
    return Cross(channels, spec, shared=False)


_ATTENTION = {
    "SSTransformer": _cross_frames,
    "STTransformer": _cross_streams,
    "SselfTransformer": Self,
    "TTTransformer": _cross_frames,
    "TselfTransformer": Self,
}
