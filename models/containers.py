"""Checkpoint files, as users have them, to named tensors. A checkpoint is untrusted input.

The container is recognised by its first bytes: PyTorch (zip or the older pickle form, always
with `weights_only=True`), safetensors, or a Caffe2 pickle, read by a reader that admits only
NumPy arrays of numbers and plain containers.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.files import require_regular
from common.pickles import unpickle
from models.checkpoint_files import CheckpointError
from models.parameter_names import translate_caffe2

_STATE_KEYS = ("model_state", "state_dict", "model_state_dict", "model")
_TORCH_ZIP = b"PK\x03\x04"
# torch.save before 1.6: a pickle whose first object is this number.
_TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[:-1]


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, as in the file (Caffe2: under our names).

    Every tensor is dense, in memory that can be read, and no larger than the file; its values, and
    whether they are numbers at all, are for the caller to judge.

    Raises CheckpointError if the file is not a checkpoint, is damaged, or is not safe to read, and
    DataError for what is no file.
    """
    size = require_regular(path).st_size
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if start.startswith(_TORCH_ZIP):
        state = _unwrap(_read_torch(path, is_zip=True), path)
    elif start.startswith(_TORCH_LEGACY):
        state = _unwrap(_read_torch(path, is_zip=False), path)
    elif len(start) > 8 and start[8:9] == b"{":
        state = _read_safetensors(path)
    elif start[:1] in (b"\x80", b"(", b"}", b"c"):
        state = translate_caffe2(_read_caffe2(path))
    else:
        raise CheckpointError(
            f"{path} is not a checkpoint: it begins with {start[:24]!r}. Expected a PyTorch "
            "(.pyth, .pth, .pt), safetensors or Caffe2 (.pkl) file; is the download complete?"
        )
    for name, value in state.items():
        if problem := _unreadable(value, size):
            raise CheckpointError(
                f"{path} holds {name} as a {problem}, expected a dense tensor with its values"
            )
    return state


def _unreadable(value: Tensor, size: int) -> str:
    """What a tensor is that has no values of its own in a file of `size` bytes; else nothing."""
    if value.is_nested or value.layout is not torch.strided:
        return "nested tensor" if value.is_nested else "sparse tensor"
    if value.is_quantized:
        return f"quantised tensor ({value.dtype})"
    if value.device.type != "cpu":
        return f"tensor without values ({value.device.type})"
    if value.numel() * value.element_size() > size:  # by one value that stands for many
        return f"tensor {tuple(value.shape)} that is larger than the file"
    return ""


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict inside a training checkpoint."""
    for key in _STATE_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected named tensors")
    are_named = all(isinstance(n, str) and isinstance(v, Tensor) for n, v in content.items())
    if not are_named or not content:
        # Of a key of another type, its type: its text may be without end.
        keys = [k[:60] if isinstance(k, str) else type(k).__name__ for k in list(content)[:6]]
        raise CheckpointError(
            f"{path} holds no state dict: keys {', '.join(keys) or 'none'}. "
            f"Expected named tensors, plain or under one of {', '.join(_STATE_KEYS)}"
        )
    return dict(content)


def _read_torch(path: Path, is_zip: bool) -> Any:
    try:
        if not is_zip:
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        _require_stored(path)
        # Mapped, a tensor cannot reach beyond the file; read, it can in some releases of PyTorch.
        with _named_plainly(path) as plain:
            return torch.load(str(plain), map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        blocked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it holds {blocked[1]}" if blocked else str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} is refused: {reason}, and only tensors and plain containers are read. If you "
            "trust its source, load it with torch.load(FILE, weights_only=False), and save only "
            "the tensors: torch.save(network.state_dict(), NEW_FILE) if the file is a whole "
            "network, else the state dict that it holds"
        ) from None
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> CheckpointError:
    why = str(error) or type(error).__name__
    return CheckpointError(f"{path} is damaged or cut off: {why}")


def _require_stored(path: Path) -> None:
    """torch.save compresses nothing: then no part of a file can be larger than the file.

    Raises CheckpointError for another zip, and for one whose index PyTorch may read otherwise.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError(
                f"{path} is refused: {entry.filename[:60]!r} in it is compressed, expected an "
                "archive as torch.save writes it"
            )
    if min(entry.header_offset for entry in entries) != 0:
        raise CheckpointError(f"{path} is refused: its archive does not begin where the file does")


@contextlib.contextmanager
def _named_plainly(path: Path) -> Iterator[Path]:
    """The file under a name that torch.load does not take for that of a safetensors file."""
    if path.suffix != ".safetensors":
        yield path
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(shutil.copyfile(path, Path(folder) / "checkpoint"))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # a damaged file can raise anything
        raise _damaged(path, error) from None


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
        if isinstance(name, str) and isinstance(value, np.ndarray | np.generic | float):
            arrays[name] = torch.from_numpy(np.asarray(value))
        elif not isinstance(value, str | bytes | int):
            raise CheckpointError(
                f"{path}: blob {str(name)[:60]!r} is a {type(value).__name__}, expected an array "
                "of numbers under a name"
            )
    return arrays
