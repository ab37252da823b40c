"""Checkpoints of segmentation networks, as they are published, into modules.

FusionSeg: a file of {"model_state": ...}. RTNet: {"state_dict": ...}. MATNet: a folder of
encoder_N.pt and decoder_N.pt, of which the newest epoch N is read. A file of plain tensors under
the network's names, or safetensors, does for any of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoints import CheckpointError, Loaded, bare, load_state, read_state
from models.network import RANDOM
from utils import sha256
from vos.registry import Segmenter

_ENCODER = re.compile(r"encoder_0*([1-9]\d*)\.pt")


def load(network: Segmenter, checkpoint: str, *, seed: int = 0) -> tuple[nn.Module, Loaded]:
    """The network in evaluation mode with the weights of `checkpoint` ("random": from `seed`).

    Parameters that the network has and never runs may be missing; they become zero, and the note
    says how many. The hash of a folder is that of its two files' hashes, one after the other.

    Raises CheckpointError with the missing, unexpected and wrong-shaped parameters.
    """
    if checkpoint == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return network.module(), Loaded(RANDOM, None)
    path = Path(checkpoint)
    files = _newest_epoch(path) if path.is_dir() else (path,)
    state = _read_folder(files) if path.is_dir() else read_state(path)
    # Nothing is drawn for weights that the file has anyway.
    with torch.device("meta"):
        module = network.module()
    absent = _not_needed(network, module, state)
    load_state(module, {**_in_float32(state), **absent}, path, head=(), assign=True)
    notes = [file.name for file in files if path.is_dir()]
    unused = sum(not name.endswith("num_batches_tracked") for name in absent)
    notes += [f"without {unused} parameters that are never run"] if unused else []
    return module, Loaded(str(path), _hash(files), note=", ".join(notes))


def checkpoint_sha256(path: Path) -> str:
    """The hash of a checkpoint, as `load` records it. Raises CheckpointError as that does."""
    return _hash(_newest_epoch(path) if path.is_dir() else (path,))


def _newest_epoch(folder: Path) -> tuple[Path, Path]:
    """The encoder's and the decoder's file of the newest epoch in a folder."""
    epochs = {int(m[1]): f for f in folder.iterdir() if (m := _ENCODER.fullmatch(f.name))}
    if not epochs:
        names = ", ".join(sorted(f.name for f in folder.iterdir())[:6])
        raise CheckpointError(
            f"{folder} holds no encoder_N.pt with N from 1 on, but {names or 'nothing'}. Expected "
            "a folder with encoder_N.pt and decoder_N.pt"
        )
    encoder = epochs[max(epochs)]
    decoder = folder / encoder.name.replace("encoder", "decoder")
    if not decoder.is_file():
        raise CheckpointError(
            f"{folder} holds {encoder.name}, its newest, but no {decoder.name}: an epoch needs both"
        )
    return encoder, decoder


def _read_folder(files: Sequence[Path]) -> dict[str, Tensor]:
    """The state of both files under the names of the whole network."""
    return {
        f"{part}.{bare(name)}": value
        for part, file in zip(("encoder", "decoder"), files, strict=True)
        for name, value in read_state(file).items()
    }


def _in_float32(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: v.float() if v.is_floating_point() else v for n, v in state.items()}


def _not_needed(
    network: Segmenter, module: nn.Module, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Zeros for the parameters that `state` lacks and that nothing depends on."""
    present = {bare(name) for name in state}
    optional = re.compile(rf"{network.unused}|.*num_batches_tracked$")
    return {
        name: torch.zeros(value.shape, dtype=value.dtype)
        for name, value in module.state_dict().items()
        if name not in present and optional.match(name)
    }


def _hash(files: Sequence[Path]) -> str:
    hashes = [sha256(file) for file in files]
    return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes[1:] else hashes[0]
