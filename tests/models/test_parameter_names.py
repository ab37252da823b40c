"""Names of published parameters against ours."""

import re

import pytest
import torch

from models.catalogue import find
from models.parameter_names import caffe2_name, pytorchvideo_name, translate_caffe2
from tests.helpers import read_json, tiny_network

CAFFE2 = read_json("caffe2_names.json")


@pytest.mark.parametrize("part", ["single_pathway", "nonlocal", "fast_pathway"])
def test_caffe2_name_of_every_published_blob(part):
    assert {blob: caffe2_name(blob) for blob in CAFFE2[part]} == CAFFE2[part]


@pytest.mark.parametrize("name", CAFFE2["models"])
def test_caffe2_blobs_cover_every_parameter(name):
    with torch.device("meta"):
        wanted = set(find(name).module().state_dict())
    blobs = [blob for part in CAFFE2["models"][name] for blob in CAFFE2[part]]
    covered = {caffe2_name(blob) for blob in blobs}
    assert {n for n in wanted if not n.endswith("num_batches_tracked")} == covered


@pytest.mark.parametrize("blob", ["conv1_w_momentum", "lr", "model_iter", "t_conv1_w_momentum"])
def test_bookkeeping_of_the_trainer_has_no_name(blob):
    assert caffe2_name(blob) is None


@pytest.mark.parametrize("blob", ["data", "conv1_w_2", "res6_x_branch2a_w", "pred2_w"])
def test_unknown_blobs_keep_their_name(blob):
    assert caffe2_name(blob) == blob


def test_blobs_are_renamed_and_bookkeeping_is_left_out():
    blob = torch.arange(6.0).reshape(2, 3)
    state = translate_caffe2({"conv1_w": blob, "lr": blob, "mystery": blob})
    assert list(state) == ["s1.pathway0_stem.conv.weight", "mystery"]
    assert state["mystery"] is blob


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("s1.pathway0_stem.conv.weight", "model.blocks.0.conv.weight"),
        ("s1.pathway0_stem.bn.running_var", "model.blocks.0.norm.running_var"),
        ("s2.pathway0_res0.branch1.weight", "model.blocks.1.res_blocks.0.branch1_conv.weight"),
        (
            "s5.pathway0_res2.branch2.c_bn.bias",
            "model.blocks.4.res_blocks.2.branch2.norm_c.bias",
        ),
        ("head.projection.weight", "model.blocks.5.proj.weight"),
    ],
)
def test_pytorchvideo_name_of_one_pathway(name, published):
    assert pytorchvideo_name(name, two_pathways=False) == published


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("s1.pathway1_stem.conv.weight", "model.blocks.0.multipathway_blocks.1.conv.weight"),
        (
            "s3.pathway0_res1.branch2.a.weight",
            "model.blocks.2.multipathway_blocks.0.res_blocks.1.branch2.conv_a.weight",
        ),
        ("s1_fuse.conv_f2s.weight", "model.blocks.0.multipathway_fusion.conv_fast_to_slow.weight"),
        ("s4_fuse.bn.bias", "model.blocks.3.multipathway_fusion.norm.bias"),
        ("head.projection.bias", "model.blocks.6.proj.bias"),
    ],
)
def test_pytorchvideo_name_of_two_pathways(name, published):
    assert pytorchvideo_name(name, two_pathways=True) == published


@pytest.mark.parametrize("kind", ["one", "two"])
def test_published_names_are_saved_and_loaded_in_place_of_ours(kind):
    plain = tiny_network(kind)
    published = tiny_network(f"{kind} published")
    module, other = published.module(), published.module()
    state = module.state_dict()
    assert all(re.match(r"model\.blocks\.\d\.", name) for name in state)
    assert len(state) == len(list(module.parameters())) + len(list(module.buffers()))
    if kind == "two":
        names = {pytorchvideo_name(n, True) for n in plain.module().state_dict()}
        assert names == set(state)
    other.load_state_dict(state)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in state.items())


def test_published_names_survive_a_wrapper():
    """As under DataParallel: the prefix of the wrapper comes before the published name."""
    module = tiny_network("one published").module()
    wrapped = torch.nn.ModuleDict({"module": module})
    assert set(wrapped.state_dict()) == {f"module.{name}" for name in module.state_dict()}
    wrapped.load_state_dict(wrapped.state_dict())
