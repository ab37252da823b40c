"""RTNet's attention between frames, within a frame, and between image and flow."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.tables.rtnet import AttentionSpec
from vos.modules.parts import Gates, Squeeze, in_portions, resize


class Attention(nn.Module):
    """What positions of one map [B, C, H, W] take from those of another one."""

    def __init__(self, channels: int, spec: AttentionSpec):
        super().__init__()
        self.spec = spec
        self.query = nn.Conv2d(channels, channels, 1, bias=spec.bias)
        self.key = nn.Conv2d(channels, channels, 1, bias=spec.bias)
        self.value = nn.Conv2d(channels, channels, 1, bias=spec.bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        full = x.shape[2:]
        if self.spec.pooled:
            x, y = (F.max_pool2d(z, 3, 2, 1) for z in (x, y))
        maps = self.query(x), self.key(y), self.value(y)  # [B, C, H', W'] each
        heads = (z.unflatten(1, (self.spec.heads, -1)).flatten(3) for z in maps)
        attend = standard if self.spec.standard else transposed
        out = attend(*heads).flatten(1, 2).unflatten(2, x.shape[2:])  # [B, C, H', W']
        return resize(out, full, align_corners=True)


def standard(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Ordinary attention over [B, h, C/h, HW]."""
    # Contiguous: else PyTorch takes its slow path, which writes out all weights.
    query, key, value = (z.transpose(2, 3).contiguous() for z in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(2, 3)


def transposed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention over [B, h, C/h, HW], normalised over keys and then summed over queries.

    out[k] = sum over q of value[q] softmax(query . key)[q, k]: trained weights depend on it.
    """
    batch, heads, width, positions = value.shape

    def attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor]:
        weights = (query.transpose(1, 2) @ key).softmax(2)  # [B h, HW, HW]
        return (value @ weights,)

    query = query * width**-0.5
    maps = (z.flatten(0, 1) for z in (query, key, value))  # [B h, C/h, HW] each
    (out,) = in_portions(attend, positions**2, *maps)
    return out.unflatten(0, (batch, heads))


class Cross(nn.Module):
    """Two maps [B, C, H, W], each with what it takes from the other one.

    shared: whether both directions have the same weights.
    """

    def __init__(self, channels: int, spec: AttentionSpec, shared: bool):
        super().__init__()
        self.scaling = Squeeze(2 * channels, channels // spec.hidden_divisor, 2 * channels)
        self.transformation1 = Attention(channels, spec)
        if not shared:
            self.transformation2 = Attention(channels, spec)
        self.back = "transformation1" if shared else "transformation2"
        self.gating = Gates(channels, 2)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scale_x, scale_y = (1 + self.scaling(x, y)).chunk(2, 1)  # [B, C, 1, 1] each
        x, y = x * scale_x, y * scale_y
        x = self.transformation1(x, y)
        # From the other map as it has become: trained weights depend on it.
        y = self.get_submodule(self.back)(y, x)
        gate_x, gate_y = self.gating(x, y)
        return x * (1 + gate_x), y * (1 + gate_y)


class Self(nn.Module):
    """A map [B, C, H, W] with what its positions take from each other."""

    def __init__(self, channels: int, spec: AttentionSpec):
        super().__init__()
        self.scaling = Squeeze(channels, channels // spec.hidden_divisor, channels)
        self.transformation = Attention(channels, spec)
        self.gating = Gates(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * (1 + self.scaling(x))
        x = self.transformation(x, x)
        return x * (1 + self.gating(x)[0])
