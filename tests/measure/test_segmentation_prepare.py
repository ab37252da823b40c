"""What a run of a segmentation network will measure, and what is refused before anything runs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from common.factors import DIFFERENT, DYNAMIC, FACTORS, SAME, STATIC
from config import Config
from datasets.davis import BACKWARD, FORWARD
from datasets.stylized_sequences import ENVIRONMENT
from measure.prepare import prepare
from measure.run import Run
from tests import helpers_vos
from tests.datasets.helpers_davis import SEQUENCES, STYLES, write_list, write_trees
from tests.helpers_vos import UNITS, quick
from utils import DataError, UserError

trees, tiny = helpers_vos.trees, helpers_vos.tiny


def planned(trees: Path, **options) -> Run:
    return prepare(quick(trees, Path("out"), **options))


def with_content(config: Config, **content) -> Config:
    """The same options, with more in their configuration."""
    before = json.loads(config.cfg_file.read_text())
    config.cfg_file.write_text(json.dumps({**before, **content}))
    return config


@pytest.mark.parametrize(("model", "shown"), [("tiny", 1), ("tiny2", 2)])
def test_every_frame_with_flow_is_measured(trees, model, shown):
    plan = planned(trees, model=model)
    frames = sum(n - shown for n in SEQUENCES.values())
    # Two passes over the sequences, with a dynamic, a static and a different pair of each.
    assert len(plan.plan.rows) == 2 * 3 * len(SEQUENCES)
    pairs = plan.plan.pairs
    factors = (DYNAMIC, STATIC, DIFFERENT)
    assert Counter(pair.factor for pair in pairs) == dict.fromkeys(factors, 2 * frames)
    rows = [row for own in plan.rows.values() for row in own]
    assert rows == list(range(shown * len(plan.rows)))
    assert {len(own) for own in plan.rows.values()} == {shown}
    assert all((clip.other == "") is (shown == 1) for clip in plan.rows)
    assert plan.stages == tuple(UNITS)
    assert plan.geometry.size == (10, 16)
    text = plan.describe()
    assert f"clips: {shown} frame{'s' * (shown == 2)} and flow, 10x16 pixels\n" in text
    counts = f"{len(pairs)} pairs ({', '.join(f'{2 * frames} {FACTORS[k]}' for k in factors)})"
    assert f"videos: 3 of 3 (StylizedDAVIS); {counts}, {len(plan.rows)} distinct clips\n" in text
    assert "sequences: each of 18 pairs of sequences gives a pair per frame" in text


def test_nothing_but_the_network_need_be_configured(trees, monkeypatch):
    monkeypatch.setenv("ORIGINAL_DATA_ROOT", str(trees / "original"))
    places = {"stylized_data_dir": trees / "stylized", "image_size": (10, 16)}
    plan = prepare(Config(model="tiny", checkpoint="random", nreps=2, styles=STYLES, **places))
    assert plan.identity == planned(trees).identity
    usual = prepare(Config(model="tiny", checkpoint="random", styles=STYLES, **places))
    assert len(usual.plan.rows) == 5 * 3 * len(SEQUENCES)  # five passes, as in the study
    assert usual.data.listed.flows == (FORWARD,)


def test_store_has_a_row_for_every_frame_of_a_clip(tmp_path):
    root = write_trees(tmp_path)
    one, two = planned(root), planned(root, model="tiny2")
    assert [row["row_of"] for row in one.store_rows()] == [clip.frame for clip in one.rows]
    rows = two.store_rows()
    assert len(rows) == 2 * len(two.rows)
    for clip, numbers in two.rows.items():
        first, second = (rows[number] for number in numbers)
        assert (first["row_of"], second["row_of"]) == (clip.frame, clip.other)
        assert (first["frame"], second["frame"]) == (clip.frame, clip.frame)
    assert all(row["files"].startswith("time:") for row in (*one.store_rows(), *rows))


@pytest.mark.parametrize(
    ("n_factors", "residual", "expected"),
    [
        (3, 2, {DYNAMIC, STATIC}),
        (2, -1, {DYNAMIC, STATIC}),
        (4, -1, {DYNAMIC, STATIC, DIFFERENT, SAME}),
        (4, 2, {DYNAMIC, STATIC, SAME}),
    ],
)
def test_factors_of_the_plan_follow_the_residual(trees, n_factors, residual, expected):
    given = {"n_factors": n_factors, "residual_index": residual}
    for parts, found in ((False, expected), (True, expected | {DIFFERENT})):
        plan = planned(trees, **given, parts=parts)
        assert {pair.factor for pair in plan.plan.pairs} == found


@pytest.mark.parametrize(
    ("said", "given", "expected"),
    [
        (None, None, "tiny_davis_random"),
        ("taovos", None, "tiny_taovos_random"),
        ("davis", "taovos", "tiny_taovos_random"),
        (None, "taovos", "tiny_taovos_random"),
    ],
)
def test_training_set_names_the_results_and_the_option_is_stronger(trees, said, given, expected):
    config = quick(trees, Path("out"), trained_on=given)
    assert prepare(with_content(config, **({"trained_on": said} if said else {}))).model == expected


@pytest.mark.parametrize(("model", "expected"), [("tiny", "tiny_davis"), ("tiny2", "tiny2")])
def test_results_of_random_weights_are_marked_by_name(trees, tmp_path, model, expected):
    (tmp_path / "weights.pth").write_bytes(b"weights")
    trained = planned(trees, model=model, checkpoint=str(tmp_path / "weights.pth"))
    assert trained.model == expected
    assert planned(trees, model=model).model == f"{expected}_random"
    assert planned(trees, model=model, name="mine").model == "mine_random"


def test_results_of_a_variant_are_named_by_how_it_was_asked_for(trees):
    options = {"model": "matnet_bidir", "image_size": (32, 32)}
    by_name = planned(trees, **options)
    config = quick(trees, Path("out"), **{**options, "model": "matnet"})
    described = prepare(with_content(config, extra_args={"cc_type": "coatt_recip"}))
    assert by_name.model == "matnet_bidir_random"
    assert described.model == "matnet_cc_type_coatt_recip_random"
    other = {k for k, v in described.identity.items() if v != by_name.identity[k]}
    assert other == {"network"}


def test_training_set_in_the_configuration_is_no_matter_of_networks_of_one_training(trees):
    # The study's configurations say it for all.
    config = with_content(quick(trees, Path("out"), model="tiny2"), trained_on="davis")
    assert prepare(config).model == "tiny2_random"


def test_videos_that_are_left_out_are_counted_and_said(tmp_path):
    write_trees(tmp_path, {f"bear/0000{k}": 10 for k in range(2)})
    write_list(tmp_path, [f"bear/0000{k}" for k in range(5)])
    for k in range(2):
        (tmp_path / "original/JPEGImages/480p/bear" / f"0000{k}").mkdir(parents=True)
    plan = planned(tmp_path, dataset="StylizedDAVISStereograms")
    assert plan.data.listed.left_out == {"not generated": 3}
    assert plan.describe().splitlines()[-1] == "left out: 3 videos not generated"


class TestRecord:
    def test_is_json_and_does_not_depend_on_how_it_is_computed(self, trees):
        record = planned(trees).record
        assert json.loads(json.dumps(record)) == record
        again = planned(trees, batch_size=1, num_workers=3, device=None, joint_encoding=True)
        assert again.record == record

    @pytest.mark.parametrize(
        ("options", "key"),
        [
            ({"trained_on": "taovos"}, "network"),
            ({"name": "mine"}, "network"),
            ({"random_seed": 2}, "random"),
            ({"stg": "conv1,app_stream"}, "stages"),
            ({"image_size": (12, 16)}, "clip"),
            ({"nreps": 3}, "plan"),
            ({"nreps": 3}, "pairing"),
            ({"pairing": "sampled"}, "pairing"),
            ({"pairing": "exhaustive"}, "plan"),
            ({"pairing": "crossed"}, "pairing"),
            ({"parts": False}, "plan"),
            ({"styles": ("1", "2")}, "plan"),
            ({"styles": ("1", "2")}, "dataset"),
            ({"n_factors": 2, "residual_index": -1}, "factors"),
            ({"joint_encoding_thresh": (0.3,)}, "thresholds"),
        ],
    )
    def test_names_what_changes_the_results(self, trees, options, key):
        record, other = planned(trees).record, planned(trees, **options).record
        assert record[key] != other[key]

    @pytest.mark.parametrize(
        ("pairing", "rows"),
        [
            pytest.param("anchored", 12, id="anchored: two passes, three sequences, two pairs"),
            pytest.param("crossed", 18, id="crossed: three sequences, three pairs and jitters"),
        ],
    )
    def test_pairs_that_are_not_scored_leave_the_pairing_as_it_was(self, trees, pairing, rows):
        # So that seeds of versions without them are still made alike.
        record, before = (
            planned(trees, pairing=pairing, parts=parts).record for parts in (True, False)
        )
        assert record["pairing"] == before["pairing"] == [pairing, rows]
        assert {k for k, v in record.items() if v != before[k]} == {"plan"}

    @pytest.mark.parametrize("key", ["random", "plan", "network"])
    def test_features_depend_on_it(self, trees, key):
        options = {"random": {"random_seed": 2}, "plan": {"nreps": 3}, "network": {"name": "a"}}
        assert planned(trees).identity[key] != planned(trees, **options[key]).identity[key]

    def test_names_the_form_of_a_network_that_has_the_same_name(self, trees):
        config = quick(trees, Path("out"))
        identity = prepare(config).identity
        other = prepare(with_content(config, gain=2)).identity
        assert {k for k, v in other.items() if v != identity[k]} == {"form"}

    def test_names_weights_by_their_content(self, trees, tmp_path):
        identities = []
        for content in (b"one", b"two"):
            (tmp_path / "weights.pth").write_bytes(content)
            plan = planned(trees, checkpoint=str(tmp_path / "weights.pth"))
            identities.append(plan.identity)
        assert identities[0]["weights"] != identities[1]["weights"]
        assert identities[0]["random"] is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"model": "sam"}, "'sam' cannot be run"),
            ({"model": "tinny"}, "'tinny' is not known.*Did you mean 'tiny'"),
            (
                {"stg": "layer9,app_stream"},
                "stage 'layer9,app_stream' is not in network 'tiny_davis'",
            ),
            ({"trained_on": "taoovs"}, "trained_on 'taoovs' is not .*Did you mean 'taovos'"),
            (
                {"model": "matnet", "trained_on": "davis", "image_size": (32, 32)},
                "`trained_on` davis: network 'matnet' does not have this option; leave it out",
            ),
            ({"image_size": (7, 99)}, r"'tiny' takes clips of at least 8 pixels, not 7"),
            ({"checkpoint": None}, r"`checkpoint` is missing: .*tiny_davis\.pth"),
            ({"checkpoint": "none.pth"}, r"none\.pth is not a file"),
            ({"original_data_root": Path("none")}, "is none the folder of DAVIS 2016"),
            ({"stylized_data_dir": Path("none")}, "missing style folders: none"),
            ({"styles": ("1",)}, "needs two styles"),
            ({"pairing": "exhaustive", "n_factors": 4}, "exhaustive scores .* ask for same"),
            ({"pairing": "crossed", "n_factors": 4}, "crossed scores .* ask for same"),
            ({"pairing": "crossed", "nreps": 2}, "crossed shows every sequence once"),
            ({"pairs": Path("none.csv")}, r"`pairs`: none\.csv does not exist"),
            ({"device": "cuda:99"}, "`device` cuda:99 is not on this machine"),
        ],
    )
    def test_bad_request(self, trees, options, words):
        with pytest.raises(UserError, match=words):
            planned(trees, **options)

    @pytest.mark.parametrize(("model", "missing"), [("tiny", FORWARD), ("tiny2", BACKWARD)])
    def test_missing_flow_is_no_matter_of_skipping(self, tmp_path, model, missing):
        write_trees(tmp_path, {"bear": 4})
        shutil.rmtree(tmp_path / "original" / missing)
        with pytest.raises(DataError, match=rf"{missing}: there are no images.*\n.*make_flow\.py"):
            planned(tmp_path, model=model, on_bad_video="skip")
        if model == "tiny2":
            assert planned(tmp_path).plan.pairs  # forward flow is enough for it

    @pytest.mark.parametrize("name", ["original_data_root", "stylized_data_dir"])
    def test_folder_that_nothing_says_names_all_that_could(self, trees, name):
        given = {"original_data_root": trees / "original", "stylized_data_dir": trees / "stylized"}
        del given[name]
        words = rf"`{name}` is missing: .*environment \({ENVIRONMENT[name]}\) or .*`cfg_file`"
        with pytest.raises(UserError, match=words):
            prepare(Config(model="tiny", checkpoint="random", **given))

    def test_too_few_pairs(self, tmp_path):
        write_trees(tmp_path, {"bear": 2})
        with pytest.raises(DataError, match=r"factor 'dynamic': 1, at .* give a larger `nreps`$"):
            planned(tmp_path, nreps=1)


class TestMissingFiles:
    @pytest.fixture
    def holed(self, tmp_path) -> Path:
        write_trees(tmp_path)
        (tmp_path / "original" / FORWARD / "cows/00001.png").unlink()
        return tmp_path

    def test_stop_names_the_sequence_and_a_file(self, holed):
        words = r"1 of the videos .*\n  cows: 1 of 6 files are missing, such as .*cows/00001\.png"
        with pytest.raises(UserError, match=words):
            planned(holed)

    def test_skip_leaves_the_sequence_out_of_all_factors_and_says_so(self, holed, trees):
        plan = planned(holed, on_bad_video="skip", max_bad=100)
        assert list(plan.bad_videos) == ["cows"]
        kept = [row for row in planned(trees).plan.rows if row.cells["video"] != "cows"]
        assert list(plan.plan.rows) == kept

    def test_nothing_left_is_refused(self, holed):
        for name in SEQUENCES:
            shutil.rmtree(holed / "original" / FORWARD / name)
        with pytest.raises(DataError, match="too few pairs"):
            planned(holed, on_bad_video="skip", max_bad=100)

    def test_flow_of_a_whole_sequence_is_a_problem_of_it_alone(self, holed):
        shutil.rmtree(holed / "original" / FORWARD / "cows")
        with pytest.raises(UserError, match=r"\n  cows: .*cows is missing; make it with python "):
            planned(holed)
        assert list(planned(holed, on_bad_video="skip", max_bad=100).bad_videos) == ["cows"]


def test_plan_of_another_run_is_taken_as_it_is(trees, tmp_path):
    header = "factor,video,style_a,jitter_a,style_b,jitter_b,offset\n"
    rows = "dynamic,bear,1,0,3,0,2\nstatic,bear,1,0,1,9,2\n"
    (tmp_path / "plan.csv").write_text(header + rows)
    plan = planned(trees, pairs=tmp_path / "plan.csv")
    assert [tuple(row.cells.values()) for row in plan.plan.rows] == [
        ("dynamic", "bear", "1", 0, "3", 0, 2),
        ("static", "bear", "1", 0, "1", 9, 2),
    ]
    assert Counter(pair.factor for pair in plan.plan.pairs) == {DYNAMIC: 5, STATIC: 5}
    # Only styles of the plan need files; five frames in three forms.
    assert len(plan.rows) == 15
    assert plan.data.listed.styles == STYLES


def test_passes_in_the_configuration_do_not_matter_to_a_plan_that_is_given(trees, tmp_path):
    planned(trees).plan.write(tmp_path / "plan.csv")
    again = planned(trees, random_seed=3, pairs=tmp_path / "plan.csv")
    assert again.plan.pairs == planned(trees).plan.pairs
    assert again.record["plan"] == planned(trees).record["plan"]
