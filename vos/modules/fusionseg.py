"""FusionSeg: a DeepLabv3+ on two fused ResNet-101 (Jain et al., CVPR 2017; as in the study)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from models.tables.fusionseg import FusionSegSpec
from vos.modules.parts import conv_bn, resize, trunk

# layer2 and layer3 have a fusion in the published files that is never run.
_WIDTHS = {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}
_FUSED = ("layer1", "layer4")
# By output stride: the layers that dilate, and the dilations of the pyramid.
_STRIDES = {16: ((False, False, True), (6, 12, 18)), 8: ((False, True, True), (12, 24, 36))}


def build(spec: FusionSegSpec, num_classes: int) -> nn.Module:
    """A FusionSeg with random weights."""
    return FusionSeg(spec, num_classes)


class FusionSeg(nn.Module):
    """Image and flow [B, 3, H, W] to logits [B, classes, H, W].

    Where a layer dilates, its first block does not yet (torchvision's way): trained weights
    depend on it.
    """

    def __init__(self, spec: FusionSegSpec, num_classes: int):
        super().__init__()
        dilated, rates = _STRIDES[spec.output_stride]
        self.backbone = nn.ModuleDict(
            {name: trunk("resnet101", dilated) for name in ("app_stream", "mot_stream")}
        )
        self.classifier = nn.ModuleDict(
            {
                "project": conv_bn(256, 48),
                "aspp": ASPP(2048, list(rates), 256),
                "classifier": nn.Sequential(
                    *conv_bn(256 + 48, 256, 3), nn.Conv2d(256, num_classes, 1)
                ),
            }
        )
        # A matter of names: the same is computed.
        self.owner = "backbone" if spec.fuse_early else "classifier"
        self.get_submodule(self.owner).add_module("sensor_fusion", fusions(spec.fuse_bnorm))

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        app_stream, mot_stream = self.backbone["app_stream"], self.backbone["mot_stream"]
        app, mot = stem(app_stream, image), stem(mot_stream, flow)  # [B, 64, H/4, W/4]
        fused = {}
        for layer in _WIDTHS:
            app = app_stream.get_submodule(layer)(app)
            mot = mot_stream.get_submodule(layer)(mot)
            if layer in _FUSED:
                # No activation follows: trained weights depend on it.
                fusion = self.get_submodule(f"{self.owner}.sensor_fusion.{layer}")
                fused[layer] = fusion(torch.cat([app, mot], 1))
        return resize(self._head(fused["layer1"], fused["layer4"]), image.shape[2:])

    def _head(self, fine: Tensor, coarse: Tensor) -> Tensor:
        head = self.classifier
        fine = head["project"](fine)  # [B, 48, H/4, W/4]
        coarse = resize(head["aspp"](coarse), fine.shape[2:])  # [B, 256, H/4, W/4]
        return head["classifier"](torch.cat([fine, coarse], 1))


def fusions(norm: bool) -> nn.ModuleDict:
    """Per layer a 1x1 convolution that halves the channels of both streams, and a batch norm."""
    layers = {}
    for name, width in _WIDTHS.items():
        convolution = nn.Conv2d(2 * width, width, 1)
        layers[name] = nn.Sequential(convolution, nn.BatchNorm2d(width)) if norm else convolution
    return nn.ModuleDict(layers)


def stem(network: nn.Module, x: Tensor) -> Tensor:
    """What a torchvision ResNet computes before layer1, [B, 64, H/4, W/4]."""
    for name in ("conv1", "bn1", "relu", "maxpool"):
        x = network.get_submodule(name)(x)
    return x
