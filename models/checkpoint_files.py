"""The files of a checkpoint, and what they are known by. Imports no torch.

In a folder of encoder_N.pt and decoder_N.pt, as MATNet's weights are published, the newest epoch N
counts.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from common.files import require_regular, sha256
from utils import UserError

_ENCODER = re.compile(r"encoder_0*([1-9]\d*)\.pt")


class CheckpointError(UserError):
    """A checkpoint cannot be read, is not safe to read, or does not fit the network."""


def checkpoint_files(path: Path) -> tuple[Path, ...]:
    """The file, or the encoder's and the decoder's file of the newest epoch in a folder.

    Raises CheckpointError for a folder without them, and DataError for what is no file.
    """
    files = _newest_epoch(path) if _is_folder(path) else (path,)
    for file in files:
        require_regular(file)
    return files


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that nothing can have
        return False


def _newest_epoch(folder: Path) -> tuple[Path, Path]:
    try:
        names = sorted(file.name for file in folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror}") from None
    epochs = {int(match[1]): name for name in names if (match := _ENCODER.fullmatch(name))}
    if not epochs:
        raise CheckpointError(
            f"{folder} holds no encoder_N.pt with N from 1 on, but "
            f"{', '.join(names[:6]) or 'nothing'}. Expected a folder with encoder_N.pt and "
            "decoder_N.pt"
        )
    encoder = epochs[max(epochs)]
    decoder = encoder.replace("encoder", "decoder")
    if decoder not in names:
        raise CheckpointError(
            f"{folder} holds {encoder}, its newest, but no {decoder}: an epoch needs both"
        )
    return folder / encoder, folder / decoder


def checkpoint_sha256(path: Path) -> str:
    """SHA-256 of a checkpoint; for a folder, of the concatenated hashes of its two files.

    Raises as `checkpoint_files` does, and CheckpointError for a file that cannot be read.
    """
    try:
        hashes = [sha256(file) for file in checkpoint_files(path)]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes[1:] else hashes[0]
