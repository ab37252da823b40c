"""TimeSformer with divided space-time attention (Bertasius et al., ICML 2021).

Parameter names are those of github.com/facebookresearch/TimeSformer. Letters in shape comments:
B clips, T frames, P patches of a frame, D width, h heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.tables.transformers import TimeSformerSpec

_EPS = 1e-6


def build(spec: TimeSformerSpec, num_classes: int) -> nn.Module:
    """A TimeSformer with random weights; names carry the `model.` of the published files."""
    wrapper = TimeSformer(spec, num_classes)
    for parameter in wrapper.parameters():
        if parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=0.02)
    return wrapper


class Attention(nn.Module):
    """Multi-head self-attention over [N, tokens, D]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # [N, h, tokens, D/h] each
        x = F.scaled_dot_product_attention(query, key, value)
        return self.proj(x.transpose(1, 2).reshape(n, tokens, width))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention over time, then over space, then an MLP; tokens [B, 1 + P T, D], time fastest.

    The class token takes no part in the attention over time. In that over space every frame gets
    a copy of it, and the copies' results are averaged.
    """

    def __init__(self, width: int, heads: int, frames: int):
        super().__init__()
        self.frames = frames
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, heads)
        self.temporal_norm1 = nn.LayerNorm(width, eps=_EPS)
        self.temporal_attn = Attention(width, heads)
        self.temporal_fc = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, width = x.shape
        frames = self.frames
        token, patches = x[:, :1], x[:, 1:]  # [B, 1, D], [B, P T, D]

        tracks = patches.reshape(-1, frames, width)  # [B P, T, D]
        tracks = self.temporal_attn(self.temporal_norm1(tracks))
        patches = patches + self.temporal_fc(tracks).reshape(patches.shape)

        images = patches.reshape(batch, -1, frames, width).transpose(1, 2)  # [B, T, P, D]
        copies = token.unsqueeze(1).expand(-1, frames, -1, -1)  # [B, T, 1, D]
        images = torch.cat([copies, images], 2).flatten(0, 1)  # [B T, 1 + P, D]
        images = self.attn(self.norm1(images)).unflatten(0, (batch, frames))
        token = token + images[:, :, 0].mean(1, keepdim=True)
        patches = patches + images[:, :, 1:].transpose(1, 2).reshape(patches.shape)

        x = torch.cat([token, patches], 1)  # [B, 1 + P T, D]
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Non-overlapping square patches of a frame, projected."""

    def __init__(self, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)  # [N, D, H/patch, W/patch]


class VisionTransformer(nn.Module):
    """The transformer over clips [B, 3, T, H, W]; returns logits [B, classes].

    A frame of another size than the embedding's gets the nearest of its positions, as in the
    published code.
    """

    def __init__(self, spec: TimeSformerSpec, num_classes: int):
        super().__init__()
        positions = (spec.crop // spec.patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + positions, spec.width))
        self.time_embed = nn.Parameter(torch.zeros(1, spec.frames, spec.width))
        self.patch_embed = PatchEmbedding(spec.width, spec.patch)
        blocks = [Block(spec.width, spec.heads, spec.frames) for _ in range(spec.depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(spec.width, eps=_EPS)
        self.head = nn.Linear(spec.width, num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        x = self._embed(clip)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 0]))

    def _embed(self, clip: Tensor) -> Tensor:
        batch, _, frames = clip.shape[:3]
        grids = self.patch_embed(clip.transpose(1, 2).flatten(0, 1))  # [B T, D, H', W']
        patches = grids.flatten(2).transpose(1, 2) + self._positions(grids.shape[2:])
        patches = patches.unflatten(0, (batch, frames)).transpose(1, 2)  # [B, P, T, D]
        patches = (patches + self.time_embed).flatten(1, 2)  # [B, P T, D]
        token = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        return torch.cat([token, patches], 1)  # [B, 1 + P T, D]

    def _positions(self, grid: torch.Size) -> Tensor:
        embedding = self.pos_embed[:, 1:]  # [1, P, D]
        side = math.isqrt(embedding.shape[1])
        if tuple(grid) == (side, side):
            return embedding
        square = embedding.transpose(1, 2).unflatten(2, (side, side))  # [1, D, side, side]
        return F.interpolate(square, size=grid, mode="nearest").flatten(2).transpose(1, 2)


class TimeSformer(nn.Module):
    """The published wrapper, which gives the names their `model.`."""

    def __init__(self, spec: TimeSformerSpec, num_classes: int):
        super().__init__()
        self.model = VisionTransformer(spec, num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        return self.model(clip)
