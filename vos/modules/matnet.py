"""MATNet (Zhou et al., AAAI 2020) and the variants that the study trained."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.tables.matnet import CO_ATTENTION, MATNetSpec
from vos.modules.coattention import CoAttention
from vos.modules.fusion import ConvexFusion, GatedFusion, MaxStreamMap, StreamMap
from vos.modules.matnet_decoder import Decoder
from vos.modules.parts import trunk

_LEVELS = {2: 256, 3: 512, 4: 1024, 5: 2048}


def build(spec: MATNetSpec, num_classes: int) -> nn.Module:
    """A MATNet with random weights; its one class is the object."""
    return MATNet(spec)


class Encoder(nn.Module):
    """Image and flow [B, 3, H, W] to the fused features [B, 2C, H', W'] of levels 2 to 5.

    The streams end in _1 (image) and _2 (flow). They exchange features after levels 3 to 5, and
    go on with what came of it.
    """

    def __init__(self, spec: MATNetSpec):
        super().__init__()
        for stream in (1, 2):
            resnet = trunk("resnet101")
            self.add_module(f"conv1_{stream}", resnet.conv1)
            self.add_module(f"bn1_{stream}", resnet.bn1)
            for level in _LEVELS:
                layer = resnet.get_submodule(f"layer{level - 1}")
                self.add_module(f"res{level}_{stream}", layer)
        for level, width in _LEVELS.items():
            self.add_module(f"gated_res{level}", FUSIONS[spec.fusion_type](width, spec))
        for level in (3, 4, 5):
            exchange = CoAttention(_LEVELS[level], CO_ATTENTION[spec.cc_type], spec.norm_fn)
            self.add_module(f"coa_res{level}", exchange)

    def forward(self, image: Tensor, flow: Tensor) -> list[Tensor]:
        app, mot = self._stem(1, image), self._stem(2, flow)  # [B, 64, H/4, W/4]
        fused = []
        for level in _LEVELS:
            app = self.get_submodule(f"res{level}_1")(app)
            mot = self.get_submodule(f"res{level}_2")(mot)
            if level > 2:
                app, mot = self.get_submodule(f"coa_res{level}")(app, mot)
            fused.append(self.get_submodule(f"gated_res{level}")(app, mot))
        return fused

    def _stem(self, stream: int, x: Tensor) -> Tensor:
        x = self.get_submodule(f"conv1_{stream}")(x)
        x = F.relu_(self.get_submodule(f"bn1_{stream}")(x))
        return F.max_pool2d(x, 3, 2, 1)


class MATNet(nn.Module):
    """Image and flow [B, 3, H, W] to logits [B, 1, H/4, W/4] of the object's mask.

    The published code resizes them to 473x473 for any input; this is left to the caller.
    """

    def __init__(self, spec: MATNetSpec):
        super().__init__()
        self.encoder = Encoder(spec)
        self.decoder = Decoder()

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        return self.decoder(self.encoder(image, flow))


def _gated(width: int, spec: MATNetSpec) -> nn.Module:
    return GatedFusion(width, spec.use_global)


def _convex(width: int, spec: MATNetSpec) -> nn.Module:
    spatial = MaxStreamMap() if spec.use_spatial_conv else StreamMap()
    return ConvexFusion(width, width // 8, spatial, add=False)


FUSIONS = {"gated": _gated, "convex_gated": _convex}
