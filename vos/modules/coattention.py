"""MATNet's co-attention between the streams (Zhou et al., AAAI 2020), and the study's variants."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.tables.matnet import CoAttentionKind
from vos.modules.parts import Gates, in_portions

_CASCADES = 5


class CoAttention(nn.Module):
    """Both streams [B, C, H, W] of a level after five cascades with the same weights.

    norm_fn: "tanh" or "softmax", of the affinities between positions.
    """

    def __init__(self, channels: int, kind: CoAttentionKind, norm_fn: str):
        super().__init__()
        self.kind = kind
        # The gated reciprocal form ignores norm_fn: trained weights depend on it.
        self.normalise = _NORMALISE[kind.norm_fn or norm_fn]
        narrow = channels // 16
        self.proja = nn.Conv2d(channels, narrow, 1)
        self.projb = nn.Conv2d(channels, narrow, 1)
        # bottolneck1, bottolneck2, bna and bnb (spelled so) are published and never run.
        self.bottolneck1 = _unused(channels)
        self.bottolneck2 = _unused(channels)
        self.proj1 = nn.Conv2d(channels, 1, 1)
        self.proj2 = nn.Conv2d(channels, 1, 1)
        self.bna = nn.BatchNorm2d(channels)
        self.bnb = nn.BatchNorm2d(channels)
        if kind.gated:
            self.rgating = Gates(channels, 2)

    def forward(self, app: Tensor, mot: Tensor) -> tuple[Tensor, Tensor]:
        a, b = app, mot
        for _ in range(_CASCADES - 1):
            to_a, to_b = self._cascade(a, b)
            a, b = F.relu_(to_a + a), F.relu_(to_b + b)
        to_a, to_b = self._cascade(a, b)
        if self.kind.add:
            to_a = to_a + mot
        return F.relu_(to_a + app), F.relu_(to_b + mot)

    def _cascade(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """What a cascade adds to either stream."""
        a_seen, b_seen = attend(a, self.proj1), attend(b, self.proj2)
        to_a, to_b = self._exchange(a_seen, b_seen)
        if self.kind.gated:
            gate_a, gate_b = self.rgating(a_seen, b_seen)
            to_a = to_a + a_seen * (1 + gate_a)
            if self.kind.reciprocal:
                to_b = to_b + b_seen * (1 + gate_b)
        return to_a, to_b

    def _exchange(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Either stream's positions as mixtures of positions, of length 1 over channels.

        What is added to the image stream is made of image features (the study's Zb), and only
        the reciprocal forms mix the flow stream.
        """
        size = a.shape[2:]
        keys_a, keys_b = self.proja(a).flatten(2), self.projb(b).flatten(2)  # [B, C/16, HW]
        maps = (keys_a, keys_b, a.flatten(2), b.flatten(2))
        mixed = in_portions(self._mix, maps[0].shape[2] ** 2, *maps)
        # Over channels, not positions: trained weights depend on it.
        to_a, *to_b = (F.normalize(x, dim=1).unflatten(2, size) for x in mixed)
        return to_a, to_b[0] if to_b else b

    def _mix(self, keys_a: Tensor, keys_b: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        affinity = keys_b.transpose(1, 2) @ keys_a  # [B, HW of b, HW of a]
        for_a, for_b = self.normalise(affinity)
        to_a = a @ for_a.transpose(1, 2)  # [B, C, HW]
        return (to_a, b @ for_b) if self.kind.reciprocal else (to_a,)


def attend(x: Tensor, projection: nn.Module) -> Tensor:
    """`x` times its softmax over all positions, not rescaled by their number."""
    weights = projection(x).flatten(2).softmax(2)  # [B, 1, HW]
    return x * weights.unflatten(2, x.shape[2:])


def _by_tanh(affinity: Tensor) -> tuple[Tensor, Tensor]:
    affinity = affinity.tanh_()
    return affinity, affinity


def _by_softmax(affinity: Tensor) -> tuple[Tensor, Tensor]:
    # Normalised over the positions that come out, not those summed: trained weights depend on it.
    return affinity.softmax(1), affinity.softmax(2)


# The affinities that mix the image stream, and those that mix the flow stream, [B, HW, HW].
_NORMALISE = {"tanh": _by_tanh, "softmax": _by_softmax}


def _unused(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))
