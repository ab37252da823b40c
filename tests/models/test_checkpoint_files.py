"""Checkpoints that are no file, or whose container is not what it says: refused at once."""

import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch

from models.checkpoint_files import CheckpointError, checkpoint_sha256
from models.checkpoints import load
from tests.helpers import fill, tiny_network
from tests.helpers_checkpoints import known_state, rewrite_zip, save_torch
from tests.vos.helpers import TinyMATNet, tiny_segmenter
from utils import UserError

KERNEL = "s1.pathway0_stem.conv.weight"


@pytest.fixture
def network():
    return tiny_network("one")


@pytest.fixture
def saved(network, tmp_path):
    """A PyTorch checkpoint of the network."""
    return save_torch(tmp_path / "w.pt", known_state(network))


def refusal(network, path):
    """The message of the error."""
    with pytest.raises(UserError) as caught:
        load(network, str(path))
    return str(caught.value)


def make_odd(kind, path):
    """Something that is no file of its own at `path`."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()


WORDS = {
    "pipe": "is a pipe or a device, expected a file",
    "device": "is a pipe or a device, expected a file",
    "dangling link": "is a link to a file that does not exist",
    "link to itself": "cannot be read|does not exist",
    "absent": "does not exist",
    "folder": "is a folder, expected a file",
}
ODD = [kind for kind in WORDS if kind != "folder"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("kind", ODD)
def test_checkpoint_that_is_no_file(network, kind, tmp_path):
    make_odd(kind, tmp_path / "w.pt")
    assert re.search(WORDS[kind], refusal(network, tmp_path / "w.pt"))
    with pytest.raises(UserError, match=WORDS[kind]):
        checkpoint_sha256(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w" * 256, "a\0b"], ids=["long", "zero byte"])
def test_names_that_no_file_can_have(network, name, tmp_path):
    assert "cannot be read: " in refusal(network, tmp_path / name)
    assert not network.weights.exist_at(tmp_path / name)


def test_empty_file(network, tmp_path):
    (tmp_path / "w.pt").touch()
    assert "w.pt is not a checkpoint: it begins with b''" in refusal(network, tmp_path / "w.pt")


def test_file_without_permission(network, saved, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "w.pt cannot be read: Permission denied" in refusal(network, saved)
    with pytest.raises(CheckpointError, match=r"w\.pt cannot be read: Permission denied"):
        checkpoint_sha256(saved)


def test_folder_without_permission(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "cannot be read: Permission denied" in refusal(tiny_segmenter(), tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize(
    ("part", "kind"),
    [(p, k) for p in ("encoder", "decoder") for k in WORDS if (p, k) != ("encoder", "absent")],
)
def test_part_of_a_folder_that_is_no_file(part, kind, tmp_path):
    state = fill(TinyMATNet().state_dict())
    for other in ("encoder", "decoder"):
        own = {n.removeprefix(f"{other}."): v for n, v in state.items() if n.startswith(other)}
        torch.save(own, tmp_path / f"{other}_1.pt")
    path = tmp_path / f"{part}_1.pt"
    path.unlink()
    make_odd(kind, path)
    words = r"but no decoder_1\.pt" if kind == "absent" else WORDS[kind]
    assert re.search(words, refusal(tiny_segmenter(), tmp_path))
    with pytest.raises(UserError, match=words):
        checkpoint_sha256(tmp_path)


# ---- Archives that are larger than they look, or reach beyond themselves.


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_compressed_archive_is_refused_before_it_is_inflated(network, saved, suffix, tmp_path):
    path = saved.rename(tmp_path / f"w{suffix}")
    rewrite_zip(
        path,
        lambda name, content: bytes(10**7) if name.endswith("data.pkl") else content,
        zipfile.ZIP_DEFLATED,
    )
    assert path.stat().st_size < 10**6
    assert "data.pkl' in it is compressed, expected an archive as torch.save" in refusal(
        network, path
    )


def test_archive_that_is_written_anew_is_read(network, saved):
    load(network, str(rewrite_zip(saved)))


def test_archive_behind_another_beginning_is_refused(network, saved):
    saved.write_bytes(b"PK\x03\x04" + bytes(60) + saved.read_bytes())
    assert re.search("does not begin where the file does|is damaged", refusal(network, saved))


def test_tensor_that_reaches_beyond_its_archive_is_refused(network, tmp_path):
    path = save_torch(tmp_path / "w.pt", {KERNEL: torch.ones(7)})

    def claim(name, content):
        """A storage and a tensor of a hundred million values instead of seven."""
        if not name.endswith("data.pkl"):
            return content
        assert content.count(b"K\x07") == 2
        return content.replace(b"K\x07", b"J\x00\xe1\xf5\x05")

    assert "is damaged or cut off" in refusal(network, rewrite_zip(path, claim))


def test_object_that_is_called_an_array_of_addresses_is_refused(network, tmp_path):
    dtype = b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tR(K\x03U\x01|NNNK\x08K\x08K\x00tb"
    scalar = b"cnumpy.core.multiarray\nscalar\n(" + dtype + b"U\x08AAAAAAAAtR"
    (tmp_path / "w.pkl").write_bytes(b"\x80\x02}U\x05blobs}U\x07conv1_w" + scalar + b"ss.")
    assert "the pickle asks for an array of O8" in refusal(network, tmp_path / "w.pkl")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_error_without_words_is_told(network, saved, legacy, monkeypatch):
    def fail(*arguments, **options):
        raise pickle.UnpicklingError

    save_torch(saved, known_state(network), legacy=legacy)
    monkeypatch.setattr(torch, "load", fail)
    assert "w.pt is refused" in refusal(network, saved)
