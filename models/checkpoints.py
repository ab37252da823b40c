"""Checkpoints, as users have them, into networks. A checkpoint is untrusted input.

The container is recognised by its first bytes: PyTorch (zip or the older pickle form, always
with `weights_only=True`), safetensors, or a Caffe2 pickle, read by an unpickler that admits only
NumPy arrays and plain containers.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.pickles import unpickle
from models.naming import translate_caffe2
from models.network import BUILT, RANDOM, Network
from utils import UserError, sha256

_WRAPPERS = re.compile(r"^(?:(?:module|model)\.)+")
_STATE_KEYS = ("model_state", "state_dict", "model_state_dict", "model")
_TORCH_ZIP = b"PK\x03\x04"
# torch.save before 1.6: a pickle whose first object is this number.
_TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[:-1]


class CheckpointError(UserError):
    """A checkpoint that cannot be read, is not safe to read, or does not fit the network."""


@dataclass(frozen=True)
class Loaded:
    """What happened: the file and its SHA-256 ("random", None; "as built", that of the parameters),
    parameters left random, and what form of the network the file turned out to hold, where there
    are several."""

    source: str
    sha256: str | None
    random_parameters: tuple[str, ...] = ()
    note: str = ""


def load(
    network: Network,
    checkpoint: str,
    *,
    num_classes: int | None = None,
    allow_other_head: bool = False,
    seed: int = 0,
) -> tuple[nn.Module, Loaded]:
    """The network in evaluation mode with the weights of `checkpoint` ("random": from `seed`;
    "as built": a user's own network as it is).

    A classifier that is missing or has another number of classes is refused, unless
    `allow_other_head`: then it stays random, which no stage depends on.

    Raises CheckpointError with the missing, unexpected and wrong-shaped parameters.
    """
    if checkpoint == BUILT and network.own:
        return network.own.eval(), Loaded(BUILT, network.weights.built)
    if checkpoint == RANDOM:
        return _built(network, network.spec, num_classes, seed), Loaded(RANDOM, None)
    path = Path(checkpoint)
    state = read_state(path)
    variant = network.variant(state)
    module = _built(network, variant.spec, num_classes, seed)
    left = load_state(module, variant.state, path, network.head, allow_other_head)
    return module, Loaded(str(path), sha256(path), left, variant.note)


def _built(network: Network, spec: object, num_classes: int | None, seed: int) -> nn.Module:
    """The network with random weights from `seed`, which no other draw depends on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network.module(num_classes, spec)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, as the file has them (Caffe2: under our names).

    Raises CheckpointError for a file that is none, is damaged, or is not safe to read.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith((_TORCH_ZIP, _TORCH_LEGACY)):
        return _unwrap(_read_torch(path), path)
    if len(start) > 8 and start[8:9] == b"{":
        return _read_safetensors(path)
    if start[:1] == b"\x80" or start[:1] in (b"(", b"}", b"c"):
        return translate_caffe2(_read_caffe2(path))
    raise CheckpointError(
        f"{path} is no checkpoint: it begins with {start[:24]!r}. Expected a PyTorch (.pyth, "
        ".pth, .pt), safetensors or Caffe2 (.pkl) file; is the download complete?"
    )


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    path: Path,
    head: str | tuple[str, ...],
    allow_other_head: bool = False,
    assign: bool = False,
) -> tuple[str, ...]:
    """Load `state` strictly, up to `module.`/`model.` prefixes; return names left random.

    With `assign` the tensors of `state` become those of the module, which may have none yet.

    Raises CheckpointError with three lists if anything is missing, unexpected or wrong-shaped.
    """
    own = {bare(name): name for name in module.state_dict()}
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found: dict[str, Tensor] = {}
    unexpected = []
    for name, value in state.items():
        known = own.get(bare(name))
        if known is None or known in found:
            unexpected.append(name)
        else:
            found[known] = _with_trailing_axes(value, len(shapes[known]))
    # Counters of seen batches: Caffe2 has none, and nothing depends on them in evaluation.
    missing = [n for n in shapes if n not in found and not n.endswith("num_batches_tracked")]
    shaped = [n for n, value in found.items() if tuple(value.shape) != shapes[n]]

    def in_head(name: str) -> bool:
        return name.startswith(head)

    left = tuple(n for n in (*missing, *shaped) if in_head(n)) if allow_other_head else ()
    missing = [n for n in missing if n not in left]
    wrong = [f"{n} {tuple(found[n].shape)}, expected {shapes[n]}" for n in shaped if n not in left]
    if missing or unexpected or wrong:
        raise CheckpointError(_misfit(path, missing, unexpected, wrong, shaped, in_head))
    kept = {n: v for n, v in found.items() if n not in left}
    module.load_state_dict(kept, strict=False, assign=assign)
    return left


def bare(name: str) -> str:
    """The name of a parameter without the `module.` and `model.` of wrappers."""
    return _WRAPPERS.sub("", name)


def _with_trailing_axes(value: Tensor, ndim: int) -> Tensor:
    """The same values with axes of size 1 added: old files keep 1x1x1 kernels as matrices."""
    return value.reshape(tuple(value.shape) + (1,) * (ndim - value.ndim))


def _misfit(path, missing, unexpected, wrong, shaped, in_head) -> str:
    lines = [f"{path} does not fit this network."]
    for title, names in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("wrong shape", wrong),
    ):
        shown = [f"    {name}" for name in names[:8]]
        more = [f"    ... and {len(names) - 8} more"] if len(names) > 8 else []
        lines += [f"  {title} ({len(names)}):", *shown, *more]
    if not unexpected and all(in_head(name) for name in (*missing, *shaped)):
        lines.append(
            "Only the classifier differs: give `num_classes` as in the file, or "
            "`allow_other_head` True to leave it random (no stage depends on it)."
        )
    else:
        lines.append("Is this the checkpoint of another network? `model` must name its own.")
    return "\n".join(lines)


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict inside a training checkpoint."""
    for key in _STATE_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected named tensors")
    strays = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strays or not content:
        raise CheckpointError(
            f"{path} holds no state dict: keys {', '.join(map(str, list(content)[:6])) or 'none'}. "
            f"Expected named tensors, plain or under one of {', '.join(_STATE_KEYS)}"
        )
    return dict(content)


def _read_torch(path: Path) -> Any:
    try:
        # An open file: given a path, torch.load goes by its suffix instead of its content.
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        blocked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it holds {blocked[1]}" if blocked else str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is refused: {reason}, and only tensors and plain containers are read. If you "
            "trust its source, re-save the state dict alone: "
            "torch.save(torch.load(FILE, weights_only=False)[...], NEW_FILE)"
        ) from None
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(f"{path} is damaged or cut off: {error}") from None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or cut off: {error}") from None


def _read_caffe2(path: Path) -> dict[str, Tensor]:
    """The `blobs` of a Caffe2 checkpoint, numeric arrays only."""
    content = unpickle(path, CheckpointError, "cut off")
    blobs = content.get("blobs") if isinstance(content, dict) else None
    if not isinstance(blobs, dict) or not blobs:
        raise CheckpointError(f"{path} is a pickle without 'blobs', so no Caffe2 checkpoint")
    arrays = {}
    for name, value in blobs.items():
        array = np.asarray(value)
        if array.dtype.kind in "fiu":
            arrays[str(name)] = torch.from_numpy(np.array(array, dtype=np.float32))
        elif not isinstance(value, str | bytes):
            raise CheckpointError(f"{path}: blob {name!r} holds {array.dtype}, expected numbers")
    return arrays
