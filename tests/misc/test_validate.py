"""misc/validate.py: known answers are found, truths are true, and what is refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from common.factors import DIFFERENT, DYNAMIC, STATIC
from estimation.inference import PARTS
from estimation.stage import estimate_stage
from misc import validate
from misc.validation import clips, controls, designs, known_units, simulations, trained, units
from misc.validation.answers import STATISTICS, Settings, inference_of, statistics, unit_rows
from misc.validation.known_units import UNITS
from misc.validation.worlds import World
from models.catalogue import find
from models.network import BUILT
from tests.helpers import assert_close
from utils import UserError

STATIC_ONLY, DYNAMIC_ONLY, BOTH, NEITHER = range(4)
NAMES = [unit.name for unit in UNITS]


@pytest.fixture(scope="module")
def known():
    """The estimate of the known units, on a small set."""
    record = find(f"{known_units.__file__}:build")
    network = trained.loaded(record, BUILT, stages=units.STAGE)
    (estimate,) = trained.measured(network, record, clips.synthetic(2022, 24)).values()
    return estimate


def parts_of(estimate, name):
    return inference_of(estimate).part_units.value[:, NAMES.index(name)]


# ---- Units that are known by construction.


@pytest.mark.parametrize(
    ("name", "part", "least"),
    [
        ("mean red", STATIC_ONLY, 0.98),
        ("mean blue", STATIC_ONLY, 0.98),
        ("contrast", STATIC_ONLY, 0.5),
        ("place of change", BOTH, 0.98),
        ("heading right", DYNAMIC_ONLY, 0.75),
        ("heading down", DYNAMIC_ONLY, 0.75),
        ("motion right", DYNAMIC_ONLY, 1.0),
        ("noise", NEITHER, 0.75),
    ],
)
def test_known_unit_lands_where_it_belongs(known, name, part, least):
    parts = parts_of(known, name)
    assert PARTS[int(parts.argmax())] == next(u.part for u in UNITS if u.name == name)
    assert parts[part] >= least
    assert parts.sum() == pytest.approx(1)


def test_dead_unit_has_no_parts(known):
    assert np.isnan(parts_of(known, "dead")).all()


def test_mixtures_are_in_order_and_near_their_ratios(known):
    ratios = known_units.RATIOS
    found = np.array([parts_of(known, f"mixture {ratio:g}") for ratio in ratios])
    assert (np.diff(found[:, DYNAMIC_ONLY]) > 0.1).all()
    assert (np.diff(found[:, STATIC_ONLY]) < -0.1).all()
    assert np.abs(found[:, DYNAMIC_ONLY] - ratios).max() < 0.2


def test_units_of_a_clip_do_not_depend_on_its_batch():
    network, _ = known_units.build()
    batch = torch.rand(3, 3, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert_close(network(batch)[1:2], network(batch[1:2]), 1e-6)


def test_noise_follows_every_byte_and_the_order():
    clip = torch.rand(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    other = clip.clone()
    other[0, 0, 0, 0, 0] = (other[0, 0, 0, 0, 0] + 0.5) % 1
    values = [known_units.noise(x).item() for x in (clip, other, clip.flip(2))]
    assert len({round(value, 6) for value in values}) == 3
    assert all(-1 <= value <= 1 for value in values)


def test_verdicts_name_units_that_land_elsewhere(known):
    rows = [
        row
        for index, unit in enumerate(UNITS)
        for row in unit_rows({"pairing": "all", "unit": unit.name}, known, index)
    ]
    answer = units.answered(rows)
    verdicts = {row["unit"]: row for row in answer.tables["known_units_verdicts"]}
    assert list(verdicts) == NAMES
    assert verdicts["dead"]["found"] == "dead"
    # Shuffling raises it for all videos alike, which the parts count as neither.
    assert verdicts["roughness in time"]["found"] == "neither"
    assert any("roughness in time: expected dynamic_only, found neither" in x for x in answer.lines)
    assert any(line.startswith("mixtures are in order") for line in answer.lines)


# ---- Controls.


@pytest.mark.parametrize("change", [clips.as_it_is, clips.frozen], ids=["moving", "frozen"])
def test_averaging_of_frames_has_no_dynamic_part(change):
    name, record, checkpoint = next(controls.controls())
    assert name == controls.AVERAGING
    network = trained.loaded(record, checkpoint)
    estimates = trained.measured(network, record, clips.synthetic(5, 4), change)
    for estimate in estimates.values():
        assert abs(inference_of(estimate).parts.value[DYNAMIC_ONLY]) < 1e-5
        assert estimate.scores[STATIC] == pytest.approx(1, abs=1e-5)


def test_frozen_clips_have_no_dynamic_part_in_any_network():
    record = find("demo_motion")
    network = trained.loaded(record, record.checkpoint(None))
    footage = clips.synthetic(5, 4)
    moving, frozen = (
        list(trained.measured(network, record, footage, change).values())[-1]
        for change in (clips.as_it_is, clips.frozen)
    )
    assert inference_of(moving).parts.value[DYNAMIC_ONLY] > 0.7
    assert abs(inference_of(frozen).parts.value[DYNAMIC_ONLY]) < 1e-5


# ---- Changes of frames.


def test_changes_are_functions_of_the_generator_and_keep_what_they_should():
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (4, 20, 30, 3), dtype=np.uint8)
    for change in (clips.flicker(0.1), clips.jpeg(50), clips.cropped(0.5), clips.frozen):
        one, again = (change(frames, np.random.default_rng(2)) for _ in range(2))
        assert np.array_equal(one, again)
        assert one.dtype == np.uint8
        assert len(one) == 4
    assert clips.cropped(0.5)(frames, rng).shape == (4, 10, 15, 3)
    assert np.array_equal(clips.flicker(0)(frames, rng), frames)
    assert (clips.frozen(frames, rng) == frames[0]).all()
    assert clips.backwards(4, rng).tolist() == [3, 2, 1, 0]


# ---- Simulations.


@pytest.mark.parametrize("pairing", designs.PAIRINGS)
def test_truth_is_what_many_videos_give(pairing):
    rng = np.random.default_rng(3)
    world = World.drawn(rng, n_styles=3, n_units=6)
    chosen = designs.PAIRINGS[pairing]
    features = world.features(rng, 4000, one_shuffle=chosen.one_shuffle)
    found = inference_of(estimate_stage(features.__getitem__, chosen.design(4000, 3, rng)))
    truth = world.truth()
    for name, interval, at in statistics(found, of_units=True):
        assert np.abs(interval.value[at] - truth[name][1:]).max() < 0.08, name
    for name, interval, at in statistics(found):
        assert abs(interval.value[at] - truth[name][0]) < 0.04, name


def test_truths_of_parts_add_up_and_agree_with_adjusted_scores():
    world = World.drawn(np.random.default_rng(4), n_styles=4)
    for over_styles in (False, True):
        truth = world.truth(over_styles)
        assert set(truth) == set(STATISTICS)
        assert_close(sum(truth[part] for part in PARTS), np.ones(1 + len(world.both)))
        assert_close(truth["both"] + truth["dynamic_only"], truth["adjusted_dynamic"])
        assert_close(truth["both"] + truth["static_only"], truth["adjusted_static"])


def test_truth_given_styles_is_over_styles_on_average():
    rng = np.random.default_rng(5)
    world = World.drawn(rng, n_styles=4, n_units=2)
    many = [world.with_new_styles(rng, 4) for _ in range(4000)]
    above = np.mean([w.style.var(0, ddof=1) for w in many], 0)
    assert_close(above, world.style_variance, 0.1)


def test_pairs_pairs_are_of_one_video_and_the_right_orders():
    for design in (designs.every_pair(3, 4), designs.anchored(3, 4, np.random.default_rng(1))):
        video_a, style_a, order_a = np.unravel_index(design.a, (3, 4, 2))
        video_b, style_b, order_b = np.unravel_index(design.b, (3, 4, 2))
        assert np.array_equal(video_a, video_b)
        assert np.array_equal(video_a, design.video)
        assert (order_a == 0).all()
        for factor, same, order in ((DYNAMIC, False, 0), (STATIC, True, 1), (DIFFERENT, False, 1)):
            own = design.factor == factor
            assert own.any()
            assert ((style_a == style_b)[own] == same).all()
            assert (order_b[own] == order).all()
    counts = np.bincount(designs.every_pair(3, 4).factor)
    assert counts.tolist() == [18, 12, 36]


# ---- Networks of another family.


def test_weights_that_are_there_are_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr("misc.train_demo.train", lambda *_: pytest.fail("it trains"))
    monkeypatch.setattr("misc.train_demo.accuracy", lambda *_: 0.93)
    kind = trained.KINDS[2]
    path = tmp_path / f"{kind.network.name}_seed1.safetensors"
    module = kind.network.module()
    trained.train_demo.save(module, path)
    network, right = trained.trained(kind, 1, tmp_path)
    assert right == 0.93
    assert torch.equal(network.module.place, module.place)
    features = network.features([torch.zeros(2, 3, 8, 64, 64)])
    assert {stage: x.shape for stage, x in features.items()} == dict.fromkeys("1234", (2, 96))


def test_network_that_has_learned_little_is_named(tmp_path, monkeypatch):
    rights = iter([0.93, 0.4])
    monkeypatch.setattr(trained, "KINDS", [k._replace(seeds=(1,)) for k in trained.KINDS[:2]])
    monkeypatch.setattr(trained, "VIDEOS", 8)
    monkeypatch.setattr("misc.train_demo.train", lambda network, *_: network.module())
    monkeypatch.setattr("misc.train_demo.accuracy", lambda *_: next(rights))
    settings = Settings(tmp_path, seed=1, n_sets=1, stylized=None, trained=tmp_path)
    found = trained.answer(settings)
    named = [line for line in found.lines if "has learned little" in line]
    assert named == ["demo_appearance, seed 1: has learned little, right on 40% of held-out clips"]


# ---- The script.


def test_script_writes_tables_and_a_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(simulations, "VIDEOS", (8, 12))
    monkeypatch.setattr(simulations, "STYLES", (2, 4))
    monkeypatch.setattr(simulations, "USUAL_VIDEOS", 12)
    monkeypatch.setattr(simulations, "MANY_VIDEOS", 12)
    monkeypatch.setattr(simulations, "FEW_AND_MORE", (8,))
    validate.main(["--save", str(tmp_path), "--only", "simulations", "--n_sets", "3"])
    names = {path.name for path in tmp_path.iterdir()}
    tables = {"simulations_coverage.csv", "simulations_styles.csv"}
    assert names == {*tables, "simulations.png", "simulations.pdf", "validity.png", "validity.pdf"}
    with (tmp_path / "simulations_coverage.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["statistic"] for row in rows} == set(STATISTICS)
    assert all(0 <= float(row["coverage"]) <= 1 for row in rows)
    assert "crossed: intervals of layers cover the truth in" in capsys.readouterr().out


def test_same_seed_same_simulations():
    given = simulations.Condition("anchored", "skewed", "uneven", 3, 8)
    one, again, other = (simulations.simulated(seed, 2, given) for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--only", "simulation"], "'simulation' is no question. Did you mean 'simulations'?"),
        (["--n_sets", "1"], "1 is below 2"),
        (["--random_seed", "-1"], "-1 is below 0"),
    ],
)
def test_bad_options_are_refused_in_one_line(argv, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        validate.main(["--save", str(tmp_path), *argv])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1


def test_places_that_cannot_be_are_refused_before_any_work(tmp_path, monkeypatch):
    nothing = {name: validate.Question("", lambda _: pytest.fail("asked")) for name in "a"}
    monkeypatch.setattr(validate, "QUESTIONS", nothing)
    (tmp_path / "file").touch()
    given = ["--stylized_data_dir", str(tmp_path / "none")]
    with pytest.raises(UserError, match=r"`save` .*/file cannot be written: .* is not a folder"):
        validate.main(["--save", str(tmp_path / "file"), "--only", "a"])
    with pytest.raises(UserError, match=r"`stylized_data_dir` .*/none is not a folder"):
        validate.main(["--save", str(tmp_path), "--only", "a", *given])


def test_settings_hold_what_questions_need(tmp_path):
    settings = Settings(tmp_path, 1, 2, None, tmp_path)
    assert [footage.name for footage in controls.footages(settings, 2)] == ["synthetic"]
