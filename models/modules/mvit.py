"""MViT (Fan et al., ICCV 2021): torchvision's modules under PySlowFast's parameter names."""

from __future__ import annotations

import re
from functools import partial

from torch import Tensor, nn
from torchvision.models.video.mvit import MSBlockConfig, MViT, Pool

from models.parameter_names import install_published_names
from models.tables.transformers import MViTSpec
from utils import UserError

_DOUBLES = (0, 2, 13)  # blocks whose MLP doubles the width
_HALVES = (1, 3, 14)  # blocks whose queries are pooled, 2x2


def build(spec: MViTSpec, num_classes: int) -> nn.Module:
    """MViT-B 16x4 with random weights; names and shapes in its state are those published."""
    network = MeanTokenMViT(
        spatial_size=(spec.crop, spec.crop),
        temporal_size=spec.frames,
        block_setting=_blocks(spec.pooled_blocks),
        residual_pool=False,
        residual_with_cls_embed=True,
        rel_pos_embed=False,
        proj_after_attn=False,
        num_classes=num_classes,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    for module in network.modules():
        if isinstance(module, Pool) and module.norm_act is not None:
            module.norm_act[0].eps = 1e-5  # torchvision gives all norms one epsilon
    own = list(network.state_dict())
    axes = {name: 3 - network.state_dict()[name].ndim for name in own if "pos_encoding" in name}
    install_published_names(network, {name: published_name(name) for name in own}, axes)
    return network


_RENAMED = (
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^pos_encoding\.class_token$", "cls_token"),
    (r"^pos_encoding\.(\w+)_pos$", r"pos_embed_\1"),
    (r"\.attn\.project\.0\.", ".attn.proj."),
    (r"\.(pool_[qkv])\.pool\.", r".\1."),
    (r"\.pool_([qkv])\.norm_act\.0\.", r".norm_\1."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"\.project\.", ".proj."),
    (r"^head\.1\.", "head.projection."),
)


def published_name(name: str) -> str:
    """PySlowFast's name of the parameter that torchvision calls `name`."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _blocks(pooled: int) -> list[MSBlockConfig]:
    """The 16 blocks; the first `pooled` of them pool keys and values."""
    width, heads, blocks = 96, 1, []
    for index in range(16):
        halves = index in _HALVES
        heads *= 2 if halves else 1
        stride = 8 // 2 ** sum(index >= half for half in _HALVES)
        out = width * 2 if index in _DOUBLES else width
        blocks.append(
            MSBlockConfig(
                num_heads=heads,
                input_channels=width,
                output_channels=out,
                kernel_q=[3, 3, 3] if halves else [],
                kernel_kv=[3, 3, 3] if index < pooled else [],
                stride_q=[1, 2, 2] if halves else [],
                stride_kv=[1, stride, stride] if index < pooled else [],
            )
        )
        width = out
    return blocks


class MeanTokenMViT(MViT):
    """MViT as the study runs it: the classifier takes the mean of all tokens, without the norm."""

    def forward(self, x: Tensor) -> Tensor:
        expected = (
            2 * self.pos_encoding.temporal_size,
            *(4 * n for n in self.pos_encoding.spatial_size),
        )
        if tuple(x.shape[2:]) != expected:
            raise UserError(
                f"MViT's positions fit clips of {list(expected)} (frames, height, width) only, "
                f"these have {list(x.shape[2:])}: give `image_size` {expected[1]}"
            )
        x = self.pos_encoding(self.conv_proj(x).flatten(2).transpose(1, 2))  # [B, 1 + N, C]
        thw = (self.pos_encoding.temporal_size, *self.pos_encoding.spatial_size)
        for block in self.blocks:
            x, thw = block(x, thw)
        return self.head(x.mean(1))
