"""Checkpoint files of every kind that users have, and some that nobody should open."""

import os
import pickle
import struct
import subprocess
import zipfile

import numpy as np
import pytest
import torch

from models.checkpoints import CheckpointError, load
from models.parameter_names import caffe2_name
from tests.helpers import fill, read_json

EXTRAS = {"model_iter": np.int64(7), "lr": np.float32(0.1), "conv1_w_momentum": np.ones(3, "f4")}


def known_state(network, salt="checkpoint"):
    """Weights of a network that are known, and not those that it is built with."""
    return fill(network.module().state_dict(), salt)


def refusal(network, path, **options):
    """The message of the CheckpointError that loading raises, which names the file."""
    with pytest.raises(CheckpointError) as caught:
        load(network, str(path), **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def save_torch(path, content, *, legacy=False):
    """A PyTorch checkpoint, in the zip form or that of PyTorch before 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def with_prefix(state, prefix, strip=""):
    """`state` with another prefix in front of every name."""
    return {prefix + name.removeprefix(strip): value for name, value in state.items()}


def caffe2_blobs(state, *, matrices=False):
    """The blobs of a Caffe2 checkpoint with the weights of `state`.

    matrices: kernels of size 1x1x1 are stored with two dimensions, as in the oldest files.
    """
    reference = read_json("caffe2_names.json")
    parts = (reference["single_pathway"], reference["nonlocal"], reference["fast_pathway"])
    blobs = {}
    for blob, name in ((blob, name) for part in parts for blob, name in part.items()):
        if name in state:
            assert caffe2_name(blob) == name
            value = state[name].numpy()
            if matrices and value.ndim == 5 and value.shape[2:] == (1, 1, 1):
                value = value[:, :, 0, 0, 0]
            blobs[blob] = value
    assert len(blobs) == sum(not name.endswith("num_batches_tracked") for name in state)
    return blobs


def save_caffe2(path, blobs, protocol=2):
    """A Caffe2 checkpoint as Python 3 pickles it."""
    path.write_bytes(pickle.dumps({"blobs": {**blobs, **EXTRAS}}, protocol=protocol))
    return path


def save_caffe2_python2(path, blobs):
    """A Caffe2 checkpoint byte by byte as Python 2 pickled the published ones (protocol 2)."""

    def string(data):
        data = data.encode() if isinstance(data, str) else data
        short = len(data) < 256
        return (b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data))) + data

    def integer(value):
        return b"J" + struct.pack("<i", value)

    def array(x):
        x = np.ascontiguousarray(x, dtype="<f4")
        dtype = (
            b"cnumpy\ndtype\n" + string("f4") + b"K\x00K\x01\x87R"
            b"(K\x03" + string("<") + b"NNN" + integer(-1) + integer(-1) + b"K\x00tb"
        )
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string("b")
        shape = b"(" + b"".join(map(integer, x.shape)) + b"t"
        return empty + b"\x87R(K\x01" + shape + dtype + b"\x89" + string(x.tobytes()) + b"tb"

    items = b"".join(string(name) + array(value) for name, value in blobs.items())
    items += string("model_iter") + integer(7) + string("lr") + b"G" + struct.pack(">d", 0.1)
    path.write_bytes(b"\x80\x02}" + string("blobs") + b"}(" + items + b"us.")
    return path


class Runs:
    """Unpickling this runs a command that makes a file: what a malicious checkpoint does."""

    def __init__(self, marker, how="os.system"):
        self.marker, self.how = marker, how

    def __reduce__(self):
        if self.how == "os.system":
            return os.system, (f"touch {self.marker}",)
        if self.how == "eval":
            return eval, (f"open({str(self.marker)!r}, 'w').close()",)
        return subprocess.check_call, (["touch", str(self.marker)],)


def rewrite_zip(path, change=lambda name, content: content, compression=zipfile.ZIP_STORED):
    """Write a PyTorch checkpoint anew, with the content of its entries changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name, content))
    return path
