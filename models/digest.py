"""A digest that distinguishes the weights of modules."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def digest(module: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers, names included, as hexadecimal digits."""
    result = hashlib.sha256()
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor):  # a module's extra state
            result.update(f"{name} {value!r}".encode())
            continue
        result.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        flat = value.detach().cpu().contiguous().flatten()
        result.update(flat.view(torch.uint8).numpy().tobytes())
    return result.hexdigest()
