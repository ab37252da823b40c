"""Loading checkpoints, as users have them, into networks. A checkpoint is untrusted input.

The container is recognised by its first bytes: PyTorch (zip or the older pickle form, always
with `weights_only=True`), safetensors, or a Caffe2 pickle, read by an unpickler that admits only
NumPy arrays and plain containers. In a folder of encoder_N.pt and decoder_N.pt, as MATNet's weights
are published, the newest epoch N is read.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.pickles import unpickle
from models.digest import digest
from models.network import BUILT, RANDOM, Network
from models.parameter_names import translate_caffe2
from models.seeding import seeded
from utils import UserError, sha256

_WRAPPERS = re.compile(r"^(?:(?:module|model)\.)+")
_STATE_KEYS = ("model_state", "state_dict", "model_state_dict", "model")
_TORCH_ZIP = b"PK\x03\x04"
# torch.save before 1.6: a pickle whose first object is this number.
_TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[:-1]
_ENCODER = re.compile(r"encoder_0*([1-9]\d*)\.pt")


class CheckpointError(UserError):
    """A checkpoint cannot be read, is not safe to read, or does not fit the network."""


@dataclass(frozen=True)
class Loaded:
    """What was loaded.

    source: the file or folder, "random", or "as built".
    sha256: of the file, of the two files of a folder, or of the parameters as built; None for
        random weights.
    random_parameters: names of those that were left random.
    note: what else there is to say: the form of the network that the file holds if there are
        several, the files of a folder, parameters that the file lacks.
    """

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
    """The network in evaluation mode with the weights of `checkpoint`: a path, "random" (drawn from
    `seed`) or "as built" (those that a user's own network is built with).

    A classifier that is missing or has another number of classes is refused, unless
    `allow_other_head` is given: then it stays random, which no stage depends on. Parameters that
    the network never runs may be missing; they become zero, and the note says how many.

    Raises CheckpointError with the missing, unexpected and wrong-shaped parameters, and if a
    user's own network is built with other weights than before.
    """
    if checkpoint == RANDOM:
        with seeded(seed):
            return network.module(num_classes, network.untrained()), Loaded(RANDOM, None)
    if checkpoint == BUILT:
        return _as_built(network, seed)
    path = Path(checkpoint)
    files = checkpoint_files(path)
    state = _read_folder(files) if path.is_dir() else read_state(path)
    variant = network.variant(state)
    with seeded(seed):
        module = network.module(num_classes, variant.spec)
    absent = _never_run(network, module, state)
    left = load_state(module, {**variant.state, **absent}, path, network.head, allow_other_head)
    notes = [variant.note, *(file.name for file in files if path.is_dir())]
    unused = sum(not name.endswith("num_batches_tracked") for name in absent)
    notes += [f"without {unused} parameters that are never run"] if unused else []
    note = ", ".join(note for note in notes if note)
    return module, Loaded(str(path), checkpoint_sha256(path), left, note)


def _as_built(network: Network, seed: int) -> tuple[nn.Module, Loaded]:
    with seeded(seed):
        module = network.module()
    if digest(module) != network.weights.built:
        raise CheckpointError(
            f"{network.name} comes with other weights each time it is built: load trained ones, or "
            "draw random ones with Python's, NumPy's or PyTorch's generators, which are seeded"
        )
    return module, Loaded(BUILT, network.weights.built)


def checkpoint_files(path: Path) -> tuple[Path, ...]:
    """The file, or the encoder's and the decoder's file of the newest epoch in a folder.

    Raises CheckpointError for a folder without them.
    """
    if not path.is_dir():
        return (path,)
    epochs = {int(m[1]): f for f in path.iterdir() if (m := _ENCODER.fullmatch(f.name))}
    if not epochs:
        names = ", ".join(sorted(f.name for f in path.iterdir())[:6])
        raise CheckpointError(
            f"{path} holds no encoder_N.pt with N from 1 on, but {names or 'nothing'}. Expected a "
            "folder with encoder_N.pt and decoder_N.pt"
        )
    encoder = epochs[max(epochs)]
    decoder = path / encoder.name.replace("encoder", "decoder")
    if not decoder.is_file():
        raise CheckpointError(
            f"{path} holds {encoder.name}, its newest, but no {decoder.name}: an epoch needs both"
        )
    return encoder, decoder


def checkpoint_sha256(path: Path) -> str:
    """SHA-256 of a checkpoint; for a folder, of the concatenated hashes of its two files.

    Raises CheckpointError as `checkpoint_files` does.
    """
    hashes = [sha256(file) for file in checkpoint_files(path)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes[1:] else hashes[0]


def _read_folder(files: Sequence[Path]) -> dict[str, Tensor]:
    """The states of encoder and decoder under the parameter names of the whole network."""
    return {
        f"{part}.{bare(name)}": value
        for part, file in zip(("encoder", "decoder"), files, strict=True)
        for name, value in read_state(file).items()
    }


def _never_run(
    network: Network, module: nn.Module, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Zeros for the parameters that `state` lacks and that nothing depends on."""
    present = {bare(name) for name in state}
    unused = re.compile(network.unused)
    return {
        name: torch.zeros_like(value)
        for name, value in module.state_dict().items()
        if unused.match(name) and bare(name) not in present
    }


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, as in the file (Caffe2: under our names).

    Raises CheckpointError if the file is not a checkpoint, is damaged, or is not safe to read.
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
        f"{path} is not a checkpoint: it begins with {start[:24]!r}. Expected a PyTorch (.pyth, "
        ".pth, .pt), safetensors or Caffe2 (.pkl) file; is the download complete?"
    )


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    path: Path,
    head: str | tuple[str, ...],
    allow_other_head: bool = False,
) -> tuple[str, ...]:
    """Load `state` strictly, but for `module.` and `model.` prefixes; returns names left random.

    Raises CheckpointError that lists whatever is missing, unexpected or wrong-shaped.
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
    # Counters of batches: Caffe2 has none, and in evaluation nothing depends on them.
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
    module.load_state_dict(kept, strict=False)
    return left


def bare(name: str) -> str:
    """The name of a parameter without the prefixes `module.` and `model.` of wrappers."""
    return _WRAPPERS.sub("", name)


def _with_trailing_axes(value: Tensor, ndim: int) -> Tensor:
    """The same values with axes of size 1 added: old files hold 1x1x1 kernels as matrices."""
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
        lines.append(
            "Is this the checkpoint of another network, or of another form of this one? `model`, "
            "or the configuration in `cfg_file`, must be that which it was trained with."
        )
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
        # An open file: given a path, torch.load judges by its suffix instead of its content.
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        blocked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it holds {blocked[1]}" if blocked else str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is refused: {reason}, and only tensors and plain containers are read. If you "
            "trust its source, load it with torch.load(FILE, weights_only=False), and save only "
            "the tensors: torch.save(network.state_dict(), NEW_FILE) if the file is a whole "
            "network, else the state dict that it holds"
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
        raise CheckpointError(
            f"{path} is a pickle without 'blobs', so it is not a Caffe2 checkpoint"
        )
    arrays = {}
    for name, value in blobs.items():
        array = np.asarray(value)
        if array.dtype.kind in "fiu":
            arrays[str(name)] = torch.from_numpy(np.array(array, dtype=np.float32))
        elif not isinstance(value, str | bytes):
            raise CheckpointError(f"{path}: blob {name!r} holds {array.dtype}, expected numbers")
    return arrays
