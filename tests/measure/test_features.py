"""From clips to features, on made-up networks and clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.batches import BadVideo, Batch
from datasets.video_plan import Clip
from datasets.videos import MOST_SHOWN
from measure.filling import fill_store
from measure.left_out import Policy
from measure.loaded import LoadedNetwork
from measure.steady import Unsteady, require_steady
from models.network import HookPoint
from results.store import FeatureStore
from tests.helpers import assert_close, stored
from utils import DataError, UserError

CLIPS = [Clip(video, style, 0) for video in "abc" for style in "12"]
STOP, SKIP = Policy(), Policy(unreadable=True, videos=3)
ROWS = {clip: (row,) for row, clip in enumerate(CLIPS)}


def new_store(folder, stages=("1", "2")) -> FeatureStore:
    return FeatureStore.create(folder, stages, [{"clip": str(clip)} for clip in CLIPS], {})


class Doubler:
    """Stands in for a network: a clip's only value v gives (v, 2v) at stage 1, (3v) at stage 2."""

    device = torch.device("cpu")

    def features(self, inputs):
        v = inputs[0].reshape(-1, 1).numpy()
        return {"1": np.concatenate([v, 2 * v], 1), "2": 3 * v}

    def require_steady(self, inputs, features):
        require_steady(self.features, inputs, features)

    def require_as_plain(self, inputs, features):
        """Its features are the plain ones."""


def batch(*rows: int, scale: float = 1.0) -> Batch:
    values = torch.tensor([scale * row for row in rows]).float().view(-1, 1, 1, 1, 1)
    return Batch([CLIPS[row] for row in rows], [values])


class TestFillStore:
    def test_features_land_in_the_rows_of_their_clips(self, tmp_path):
        store = new_store(tmp_path)
        batches = iter([batch(4, 0), batch(5, 1, 2), batch(3)])
        assert fill_store(store, Doubler(), batches, ROWS, STOP) == {}
        assert store.done.all()
        assert stored(store, "1").tolist() == [[row, 2 * row] for row in range(6)]
        assert stored(store, "2").tolist() == [[3 * row] for row in range(6)]

    def test_a_clip_may_have_several_rows(self, tmp_path):
        # Those of two frames: one after the other, as a network that takes both gives them.
        store = new_store(tmp_path)
        rows = {clip: (2 * i, 2 * i + 1) for i, clip in enumerate(CLIPS[:3])}
        batches = iter(
            Batch(clips, [torch.tensor(values)])
            for clips, values in (([CLIPS[2], CLIPS[0]], [4.0, 5, 0, 1]), ([CLIPS[1]], [2.0, 3]))
        )
        assert fill_store(store, Doubler(), batches, rows, STOP) == {}
        assert stored(store, "2")[:, 0].tolist() == [0, 3, 6, 9, 12, 15]

    def test_what_is_done_is_kept_when_a_later_batch_fails(self, tmp_path):
        store = new_store(tmp_path)

        def batches():
            yield batch(0, 1)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fill_store(store, Doubler(), batches(), ROWS, STOP)
        again = FeatureStore(tmp_path, ("1", "2"), store.clips)
        assert again.done.tolist() == [True, True, False, False, False, False]
        assert stored(again, "2")[:2].tolist() == [[0], [3]]

    def test_bad_video_stops_with_its_path(self, tmp_path):
        items = iter([batch(0), BadVideo("b", "b/000003.png: broken", CLIPS[2]), batch(4)])
        with pytest.raises(DataError, match=r"(?s)b: b/000003\.png.*`on_bad_video` skip"):
            fill_store(new_store(tmp_path), Doubler(), items, ROWS, STOP)

    def test_all_bad_videos_are_named_and_nothing_is_computed_after_the_first(self, tmp_path):
        store = new_store(tmp_path)
        bad = [
            BadVideo("b", "first", CLIPS[2]),
            BadVideo("b", "second", CLIPS[3]),
            BadVideo("c", "third", CLIPS[4]),
        ]
        items = iter([batch(0), bad[0], batch(2), *bad[1:], batch(4)])
        with pytest.raises(DataError, match=r"2 videos with .*\n  b: first\n  c: third\nRepair"):
            fill_store(store, Doubler(), items, ROWS, STOP)
        assert store.done.tolist() == [True, False, False, False, False, False]

    def test_no_more_is_read_after_ten_bad_videos(self, tmp_path):
        assert MOST_SHOWN == 10
        clips = [replace(CLIPS[0], video=f"v{i}") for i in range(99)]
        items = (BadVideo(clip.video, "broken", clip) for clip in clips)
        rows = {clip: (row,) for row, clip in enumerate(clips)}
        store = FeatureStore.create(tmp_path, ("1", "2"), [{"clip": str(c)} for c in clips], {})
        with pytest.raises(DataError, match="10 videos or more with a frame that cannot be read"):
            fill_store(store, Doubler(), items, rows, STOP)
        assert next(items).video == "v10"

    def test_bad_video_is_skipped_and_reported_once(self, tmp_path):
        store = new_store(tmp_path)
        items = iter(
            [
                batch(0),
                BadVideo("b", "first", CLIPS[2]),
                batch(1),
                BadVideo("b", "second", CLIPS[3]),
            ]
        )
        assert fill_store(store, Doubler(), items, ROWS, SKIP) == {"b": "first"}
        assert store.done.tolist() == [True, True, False, False, False, False]

    def test_work_is_kept_where_the_last_check_lacks_memory(self, tmp_path):
        store, checks = new_store(tmp_path), []

        class Short(Doubler):
            def require_steady(self, inputs, features):
                checks.append(1)
                if len(checks) > 1:
                    raise UserError("out of memory")

        with pytest.raises(UserError, match="out of memory"):
            fill_store(store, Short(), iter([batch(0, 1), batch(2)]), ROWS, STOP)
        assert store.done.sum() == 3

    def test_later_batches_and_the_last_are_compared_with_the_plain_way(self, tmp_path):
        compared = []

        class Fast(Doubler):
            def require_as_plain(self, inputs, features):
                compared.append(int(inputs[0][-1]))
                if len(compared) == 2:
                    raise Unsteady("other features")

        rows = {Clip(str(i), "1", 0): (i,) for i in range(13)}
        store = FeatureStore.create(
            tmp_path / "s", ("1", "2"), [{"clip": str(c)} for c in rows], {}
        )
        batches = (Batch([c], [torch.full((1, 1), float(r))]) for c, (r,) in rows.items())
        with pytest.raises(UserError, match="other features"):
            fill_store(store, Fast(), batches, rows, STOP)
        assert compared == [9, 12]
        assert not store.done.any()  # nothing that may be wrong is kept

    def test_nan_stops_with_stage_unit_and_clip_and_nothing_of_its_batch_is_stored(self, tmp_path):
        store = new_store(tmp_path)
        bad = batch(2, 3)
        bad.inputs[0][1] = float("nan")
        with pytest.raises(DataError, match=r"clip b \(style 2, start 0\), stage 1, unit 0: .*nan"):
            fill_store(store, Doubler(), iter([batch(0), bad]), ROWS, STOP)
        assert store.done.tolist() == [True, False, False, False, False, False]


class TestLoadedNetwork:
    @pytest.fixture
    def network(self) -> LoadedNetwork:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.ReLU()).eval()
        points = {"conv": (HookPoint("0"),), "relu": (HookPoint("1"),)}
        return LoadedNetwork(module, points, torch.device("cpu"))

    def test_every_stage_from_one_forward_pooled_to_units(self, network):
        x = torch.randn(2, 3, 5, 6, 7)
        features = network.features([x])
        conv = network.module[0](x)
        assert list(features) == ["conv", "relu"]
        assert features["conv"].dtype == np.float32
        assert_close(features["conv"], conv.mean((2, 3, 4)).detach(), 1e-5)
        assert_close(features["relu"], conv.relu().mean((2, 3, 4)).detach(), 1e-5)

    def test_inputs_are_left_as_they_are_and_no_hook_stays(self, network):
        x = torch.randn(1, 3, 2, 4, 4)
        kept = x.clone()
        network.features([x])
        assert torch.equal(x, kept)
        assert not any(module._forward_hooks for module in network.module.modules())

    def test_logits_if_asked_for(self, network):
        x = torch.randn(2, 3, 5, 6, 7)
        features = network.features([x], logits=True)
        assert list(features) == ["conv", "relu", "logits"]
        expected = network.module(x).detach()  # as it comes out, not pooled
        assert_close(features["logits"], expected, 1e-5)

    @pytest.mark.parametrize("is_users", [True, False])
    def test_error_in_a_users_network_is_one_of_the_user(self, network, is_users):
        error = UserError if is_users else RuntimeError
        with pytest.raises(error, match="5" if is_users else None):
            replace(network, is_users=is_users).features([torch.randn(1, 5, 2, 4, 4)])


def test_a_clip_that_overflows_in_half_precision_is_computed_in_full():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1)).eval()
    plain = LoadedNetwork(module, {"1": (HookPoint("0"),)}, torch.device("cpu"))

    def overflowing(inputs):
        found = plain.staged.plain(inputs)
        return {stage: torch.where(x.abs() > 100, torch.inf, x) for stage, x in found.items()}

    fast = replace(plain, forward=overflowing, is_plain=False, precision="fp16")
    x = torch.randn(3, 3, 2, 4, 4)
    x[1] *= 1e4
    np.testing.assert_allclose(fast.features([x])["1"], plain.features([x])["1"], rtol=1e-5)
