"""Damaged and hostile files, by the thousand: python -m tests.fuzz_pickles [N] [--torch] [--seed S]

Valid pickles of joint encoding and of Caffe2 (with --torch: PyTorch and safetensors checkpoints)
are changed at random, by bytes and by whole instructions, and read. Each must be read as plain
content or refused with a UserError. Readers run in processes of their own with little memory, so
that a crash is seen; the files that did worse are kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import pickletools
import random
import shutil
import signal
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from common.pickles import unpickle
from results.joint_files import read_units
from utils import UserError

BATCH = 250  # files for each process
MEMORY = 2 << 30  # bytes, above what the process has at its start
SECONDS = 300  # for a batch
NAMES = [
    *("numpy dtype", "numpy ndarray", "numpy.core.multiarray scalar", "numpy frombuffer"),
    *("numpy._core.multiarray _reconstruct", "numpy.core.numeric _frombuffer", "os system"),
    *("_codecs encode", "collections OrderedDict", "builtins bytearray", "__builtin__ bytes"),
    *("torch._utils _rebuild_tensor_v2", "torch FloatStorage", "torch LongStorage"),
    *("torch._utils _rebuild_sparse_tensor", "torch._utils _rebuild_qtensor", "torch Size"),
    *("torch._utils _rebuild_meta_tensor_no_storage", "torch._utils _rebuild_parameter"),
    *("torch FloatTensor", "torch.nn.parameter Parameter", "torch device", "torch float8_e5m2"),
]
TEXTS = ["O8", "f8", "f4", "i2", "V8", "M8[s]", "U1", "f16", "c8", "b1", "<", ">", "|", "K", "F"]
NUMBERS = [0, 1, 2, 3, 8, 63, -1, 2**31 - 1, -(2**31)]
SNIPPETS = [
    *(b"N", b"\x88", b"\x89", b")", b"]", b"}", b"(", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87"),
    *(b"R", b"b", b"s", b"u", b"a", b"e", b"0", b"1", b"2", b"\x94", b"\x81", b"Q", b".", b"\x93"),
    *(b"r\xff\xff\xff\x7f", b"j\x01\x00\x00\x00", b"C\x08AAAAAAAA", b"\x8f", b"\x82\x01", b"q\x00"),
    *(b"h" + bytes([number]) for number in range(12)),
    *(b"K" + bytes([number]) for number in (0, 1, 2, 64)),
    *(b"J" + struct.pack("<i", number) for number in NUMBERS),
    *(b"c" + name.replace(" ", "\n").encode() + b"\n" for name in NAMES),
    *(b"X" + struct.pack("<I", len(text)) + text.encode() for text in TEXTS),
    *(b"U" + bytes([len(text)]) + text.encode() for text in TEXTS),
]


def pickles() -> list[bytes]:
    """Valid pickles of every protocol."""
    scores = np.linspace(-1, 1, 12).reshape(3, 4)
    classes = {"0": np.array([0, 2]), "1": [1], "2": np.array([], "i8"), "3": [np.int64(3)]}
    blobs = {
        "conv1_w": np.asfortranarray(np.ones((2, 3), "f4")),
        "conv1_b": np.arange(3, dtype=">f2").reshape(3, 1, 1).transpose(2, 0, 1),
        "flags_w": np.array([True]),
        "model_iter": np.int64(7),
        "lr": 0.1,
    }
    contents = [scores, np.float32(scores.T), list(scores.T), classes, {"blobs": blobs}]
    found = [pickle.dumps(content, protocol) for content in contents for protocol in range(6)]
    old = [data.replace(b"numpy._core", b"numpy.core") for data in found[::6] + found[2::6]]
    return found + [data for data in old if data not in found]


def checkpoints() -> list[bytes]:
    """Valid checkpoints: PyTorch's zip and its older form, and safetensors."""
    import safetensors.torch
    import torch

    state = {
        "conv.weight": torch.nn.Parameter(torch.ones(2, 3)),
        "conv.bias": torch.arange(4.0)[::2],
        "mean": torch.ones(3, dtype=torch.bfloat16),
        "num_batches_tracked": torch.tensor(3),
    }
    dense = {name: value.detach().contiguous() for name, value in state.items()}
    found = [safetensors.torch.save(dense)]
    for content in (state, {"epoch": 3, "model_state": state, "optimizer": {"state": {0: [0.1]}}}):
        for new in (True, False):
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=new)
            found.append(file.getvalue())
    return found


def changed(rng: random.Random, data: bytes) -> bytes:
    """A file with one to four changes; a pickle within a zip is changed there."""
    if data.startswith(b"PK\x03\x04") and rng.random() < 0.7:
        return _changed_zip(rng, data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        change = rng.choice((_changed_bytes, *[_changed_instructions] * 4))
        data = change(rng, data)
    return data


def _changed_zip(rng: random.Random, data: bytes) -> bytes:
    out = io.BytesIO()
    squeeze = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", squeeze) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = changed(rng, content)
            elif rng.random() < 0.1:
                content = _changed_bytes(rng, content)
            if rng.random() < 0.98:
                new.writestr(entry.filename, content)
    return out.getvalue()


def _changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Other bytes in a few places, or a part that is left out or there twice."""
    result = bytearray(data)
    start, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 40))
    how = rng.random()
    if how < 0.6:
        result[start : start + size] = rng.randbytes(size)
    elif how < 0.7:
        result[start : start + size] = struct.pack("<q", rng.choice((-1, 2**31, 2**40, 2**62)))
    elif how < 0.85:
        del result[start : start + size]
    else:
        result[start:start] = data[start : start + size]
    return bytes(result)


def _changed_instructions(rng: random.Random, data: bytes) -> bytes:
    """Whole instructions of a pickle that are left out, repeated, swapped, replaced or added."""
    parts = _instructions(data)
    i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
    how = rng.randrange(7)
    if how == 0:
        del parts[i]
    elif how == 1:
        parts.insert(i, parts[j])
    elif how == 2:
        parts[i], parts[j] = parts[j], parts[i]
    elif how == 3:
        parts[i:i] = parts[min(i, j) : max(i, j)]
    elif how == 4:
        parts.insert(i, rng.choice(SNIPPETS))
    else:
        parts[i] = _like(rng, parts[i])
    return b"".join(parts)


def _instructions(data: bytes) -> list[bytes]:
    """The instructions of one pickle behind the other as far as they can be told apart, and the
    rest."""
    file, starts = io.BytesIO(data), [0]
    with contextlib.suppress(Exception):
        while True:
            starts += [start for _, _, start in pickletools.genops(file) if start]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def _like(rng: random.Random, part: bytes) -> bytes:
    """An instruction of the same first byte, where there is one among the snippets."""
    same = [snippet for snippet in SNIPPETS if snippet[:1] == part[:1] and snippet != part]
    return rng.choice(same or SNIPPETS)


def read_as_pickle(path: Path) -> None:
    """Read as joint encoding, and as any pickle. Raises AssertionError for what is not plain."""
    with contextlib.suppress(UserError):
        read_units(path)
        read_units(path.rename(path.with_name(f"raw_{path.name}")).rename(path))
    waiting, seen = [unpickle(path, UserError, "cut off")], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) not in seen:
                seen.add(id(value))
                waiting += [*value, *value.values()] if isinstance(value, dict) else value
        elif isinstance(value, np.ndarray | np.generic):
            assert value.dtype.kind in "biuf", value.dtype
            np.sum(value)
        else:
            plain = ("bool", "int", "float", "str", "bytes", "bytearray", "NoneType")
            inert = ("Name", "Draft", "dtype")
            assert any(k.__name__ in (*plain, *inert) for k in type(value).mro()), type(value)


def read_as_checkpoint(path: Path) -> None:
    """Read as a checkpoint. Raises AssertionError for what are no tensors that can be used."""
    import torch

    from models.checkpoints import load_state
    from models.containers import read_state

    state = read_state(path)
    for name, value in state.items():
        assert isinstance(name, str)
        value.detach().clone()
    layer = torch.nn.Module()
    layer.conv = torch.nn.Linear(3, 2)
    layer.register_buffer("mean", torch.zeros(3))
    layer.register_buffer("num_batches_tracked", torch.tensor(0))
    load_state(layer, state, path, "head", allow_other_head=True)
    assert all(torch.isfinite(value).all() for value in layer.state_dict().values())


def outcome(read: Callable[[Path], None], path: Path) -> str:
    """How reading ends: "read", "refused", or else the traceback."""
    try:
        read(path)
    except UserError:
        return "refused"
    except Exception:
        return traceback.format_exc()
    return "read"


def files(seed: int, valid: list[bytes]) -> Iterator[bytes]:
    """Changed files without end, the same ones for the same seed."""
    number = 0
    while True:
        rng = random.Random(f"{seed} {number}")
        yield changed(rng, rng.choice(valid))
        number += 1


def _batch(read: Callable[[Path], None], every: list[bytes], folder: Path) -> Counter[str]:
    """The outcomes of some files, read in a process of their own; those that crash it by signal."""
    counts: Counter[str] = Counter()
    while len(every) > (done := sum(counts.values())):
        receive, send = os.pipe()
        child = os.fork()
        if not child:
            _read_all(read, every[done:], folder / "a.pkl", send)
        os.close(send)
        with open(receive, encoding="utf-8") as pipe:  # noqa: PTH123
            lines = pipe.read().split("\0")[:-1]
        status = os.waitpid(child, 0)[1]
        counts.update(lines)
        if status:
            problem = f"ended by signal {status & 127}, exit code {status >> 8}"
            counts[problem] += 1
            lines.append(problem)
        for data, line in zip(every[done:], lines, strict=False):
            if line not in ("read", "refused"):
                kept = folder / f"bad-{abs(hash(line)) % 10**6}.pkl"
                if not kept.exists():
                    kept.write_bytes(data)
                    print(f"{kept}: {line}", file=sys.stderr)
    return counts


def _read_all(read: Callable[[Path], None], every: list[bytes], path: Path, send: int) -> None:
    """The child's work, which never returns."""
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.alarm(SECONDS)
    for data in every:
        path.write_bytes(data)
        os.write(send, f"{outcome(read, path)}\0".encode())
    os._exit(0)


def main(argv: list[str] | None = None) -> int:
    """Exit code 1 if a file was neither read nor refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=100_000, metavar="N")
    parser.add_argument("--torch", action="store_true", help="checkpoints instead of pickles")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    read = read_as_checkpoint if args.torch else read_as_pickle
    source = files(args.seed, checkpoints() if args.torch else pickles())
    folder, counts = Path(tempfile.mkdtemp(prefix="fuzz-")), Counter[str]()
    for start in range(0, args.count, BATCH):
        every = [next(source) for _ in range(min(BATCH, args.count - start))]
        counts += _batch(read, every, folder)
    for what, count in counts.most_common():
        print(count, what.strip().rsplit("\n", 1)[-1])
    if set(counts) <= {"read", "refused"}:
        shutil.rmtree(folder)
        return 0
    print(f"what did worse is in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
