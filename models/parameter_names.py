"""Parameter names of published files: how PyTorchVideo's and Caffe2's correspond to PySlowFast's.

The modules of `models.modules` use PySlowFast's names. Networks whose weights were published under
PyTorchVideo's names return those from `state_dict()` and take them in `load_state_dict()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

_BLOCK_PARTS = {"branch1": "branch1_conv", "branch1_bn": "branch1_norm"}
_BRANCH_PARTS = {
    f"{letter}{suffix}": f"{part}_{letter}"
    for letter in "abc"
    for suffix, part in (("", "conv"), ("_bn", "norm"))
}


def pytorchvideo_name(name: str, two_pathways: bool) -> str:
    """PyTorchVideo's name of the parameter that PySlowFast calls `name`."""
    head = "model.blocks.6.proj" if two_pathways else "model.blocks.5.proj"
    name = name.replace("head.projection", head)
    name = re.sub(
        r"^s(\d)_fuse\.",
        lambda m: f"model.blocks.{int(m[1]) - 1}.multipathway_fusion.",
        name,
    ).replace("fusion.conv_f2s", "fusion.conv_fast_to_slow")

    def place(match: re.Match) -> str:
        stage, pathway, block = int(match[1]), match[2], match[3]
        within = f"multipathway_blocks.{pathway}." if two_pathways else ""
        chain = "" if block == "_stem" else f"res_blocks.{block.removeprefix('_res')}."
        return f"model.blocks.{stage - 1}.{within}{chain}"

    name = re.sub(r"^s(\d)\.pathway(\d)(_stem|_res\d+)\.", place, name)
    parts = [_BLOCK_PARTS.get(part, part) for part in name.split(".")]
    if "branch2" in parts:
        position = parts.index("branch2") + 1
        parts[position] = _BRANCH_PARTS[parts[position]]
    return ".".join("norm" if part == "bn" else part for part in parts)


def install_published_names(
    network: nn.Module, names: Mapping[str, str], leading_axes: Mapping[str, int] | None = None
) -> None:
    """Make `network` save and load its state under published names.

    names: the published name of each of its own.
    leading_axes: by own name, the number of leading axes of size 1 that the published shape has in
        addition.
    """
    axes = leading_axes or {}
    shapes = {own: value.shape for own, value in network.state_dict().items()}

    def rename_saved(module, state, prefix, metadata):
        for own, name in names.items():
            value = state.pop(prefix + own)
            state[prefix + name] = value.reshape((1,) * axes.get(own, 0) + tuple(value.shape))

    def rename_loaded(module, state, prefix, *ignored):
        for own, name in names.items():
            if prefix + name in state:
                state[prefix + own] = state.pop(prefix + name).reshape(shapes[own])

    network.register_state_dict_post_hook(rename_saved)
    network.register_load_state_dict_pre_hook(rename_loaded)


_CAFFE2_BATCH_NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
_CAFFE2_RULES = (
    # Stem and classifier.
    (r"^conv1_(\w)$", r"s1.pathway0_stem.conv.\1"),
    (r"^res_conv1_bn_(\w+)$", r"s1.pathway0_stem.bn.\1"),
    (r"^pred_(\w)$", r"head.projection.\1"),
    # Lateral connections: after the stem, and after the last block of a stage.
    (r"^t_pool1_subsample_bn_(\w+)$", r"s1_fuse.bn.\1"),
    (r"^t_pool1_subsample_(\w)$", r"s1_fuse.conv_f2s.\1"),
    (r"^t_res(\d)_\d+_branch2c_bn_subsample_bn_(\w+)$", r"s\1_fuse.bn.\2"),
    (r"^t_res(\d)_\d+_branch2c_bn_subsample_(\w)$", r"s\1_fuse.conv_f2s.\2"),
    # Non-local blocks.
    (r"^nonlocal_conv(\d)_(\d+)_bn_(\w+)$", r"s\1.pathway0_nonlocal\2.bn.\3"),
    (r"^nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)_(\w)$", r"s\1.pathway0_nonlocal\2.conv_\3.\4"),
    # Residual blocks.
    (r"^res(\d)_(\d+)_branch1_bn_(\w+)$", r"s\1.pathway0_res\2.branch1_bn.\3"),
    (r"^res(\d)_(\d+)_branch1_(\w)$", r"s\1.pathway0_res\2.branch1.\3"),
    (r"^res(\d)_(\d+)_branch2([abc])_bn_(\w+)$", r"s\1.pathway0_res\2.branch2.\3_bn.\4"),
    (r"^res(\d)_(\d+)_branch2([abc])_(\w)$", r"s\1.pathway0_res\2.branch2.\3.\4"),
)
_CAFFE2_LEAVES = {"w": "weight", **_CAFFE2_BATCH_NORM}
# What Caffe2's trainer saved in addition to the weights.
_CAFFE2_BOOKKEEPING = ("momentum", "lr", "model_iter")


def caffe2_name(blob: str) -> str | None:
    """PySlowFast's name of a Caffe2 blob; None for the trainer's bookkeeping.

    A blob that matches no rule keeps its own name, so that loading reports it as unexpected.
    """
    if any(word in blob for word in _CAFFE2_BOOKKEEPING):
        return None
    fast = blob.startswith("t_")
    for pattern, replacement in _CAFFE2_RULES:
        for candidate in (blob, blob.removeprefix("t_")):
            if not re.match(pattern, candidate):
                continue
            name = re.sub(pattern, replacement, candidate)
            stem, leaf = name.rsplit(".", 1)
            if fast and candidate != blob:
                stem = stem.replace("pathway0", "pathway1")
            return f"{stem}.{_CAFFE2_LEAVES.get(leaf, leaf)}"
    return blob


def translate_caffe2(blobs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Blobs under PySlowFast's names, without the trainer's bookkeeping.

    A second blob of one name keeps its own, so that loading reports it as unexpected.
    """
    state: dict[str, Tensor] = {}
    for blob, value in blobs.items():
        if name := caffe2_name(blob):
            state[blob if name in state else name] = value
    return state
