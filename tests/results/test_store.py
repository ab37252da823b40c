"""The feature store: fill, interrupt, resume; what it refuses; what it needs."""

import csv
import json

import numpy as np
import pytest

from estimation.design import Design
from estimation.stage import estimate_stage
from results.store import FeatureStore
from tests.helpers import peak_memory, stored
from utils import DataError, UserError

STAGES = ("5", "layer3,app_stream", "fusion/conv 1")
UNITS = {"5": 4, "layer3,app_stream": 3, "fusion/conv 1": 2}
ROWS = [{"video": f"v{i}", "style": "1", "shuffle": ""} for i in range(5)]
IDENTITY = {"network": "i3d", "weights": "abc", "stages": list(STAGES), "clip": {"crop": 256}}


def features(rows, seed=0):
    """Features of some rows at every stage, float32, a function of the row alone."""
    full = {
        stage: np.random.default_rng(seed + n).normal(size=(len(ROWS), n)).astype(np.float32)
        for stage, n in UNITS.items()
    }
    return {stage: values[list(rows)] for stage, values in full.items()}


@pytest.fixture
def store(tmp_path):
    return FeatureStore.create(tmp_path / "features", STAGES, ROWS, IDENTITY)


def reopen(store, **changes):
    return FeatureStore.resume(store.folder, STAGES, ROWS, {**IDENTITY, **changes})


def test_new_store_is_empty_and_describes_itself(store):
    assert store.done.tolist() == [False] * 5
    assert FeatureStore.n_done(store.folder) == 0
    with (store.folder / "clips.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == ROWS
    assert json.loads((store.folder / "identity.json").read_text()) == IDENTITY


def test_written_features_are_read_back(store):
    store.write([3, 0], features([3, 0]))
    assert store.done.tolist() == [True, False, False, True, False]
    for stage in STAGES:
        array = stored(store, stage)
        assert (array.dtype, array.shape) == (np.float32, (5, UNITS[stage]))
        assert np.array_equal(array[[3, 0]], features([3, 0])[stage])
    assert FeatureStore.n_done(store.folder) == 2
    store.write([1, 2, 4], features([1, 2, 4]))
    assert FeatureStore.n_done(store.folder) == 5
    assert np.array_equal(stored(store, "5"), features(range(5))["5"])


def test_rows_can_be_written_again(store):
    store.write([2], features([2]))
    store.write([2], features([2], seed=9))
    assert np.array_equal(stored(store, "5")[2], features([2], seed=9)["5"][0])


def test_interrupted_store_is_filled_further(store):
    store.write([0, 4], features([0, 4]))
    again = reopen(store)
    assert again.done.tolist() == [True, False, False, False, True]
    again.write([1, 2, 3], features([1, 2, 3]))
    for stage in STAGES:
        assert np.array_equal(stored(again, stage), features(range(5))[stage])
    assert FeatureStore.n_done(store.folder) == 5
    assert reopen(store).done.all()


def test_interruption_between_arrays_and_mark_leaves_rows_to_do(store, monkeypatch):
    """Rows are marked last: an interruption in the second stage's array marks nothing."""
    path_of = FeatureStore.path

    def interrupted(self, stage):
        if stage == STAGES[1]:
            raise KeyboardInterrupt
        return path_of(self, stage)

    monkeypatch.setattr(FeatureStore, "path", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write([0], features([0]))
    monkeypatch.undo()
    again = reopen(store)
    assert not again.done.any()
    again.write(range(5), features(range(5)))
    assert np.array_equal(stored(again, STAGES[1]), features(range(5))[STAGES[1]])


def test_resume_of_nothing_begins_a_store(tmp_path):
    store = FeatureStore.resume(tmp_path / "new", STAGES, ROWS, IDENTITY)
    assert not store.done.any()
    assert reopen(store).clips == store.clips


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "def"}, ["with other weights"]),
        ({"clip": {"crop": 224}}, ["other clips (size, frames, mean and std)"]),
        ({"network": "c2d", "weights": "def"}, ["another network, other weights"]),
        ({"path": "fast"}, ["another pathway"]),
    ],
    ids=["weights", "nested", "two", "new key"],
)
def test_other_identity_is_refused_in_words(store, changes, words):
    with pytest.raises(UserError) as caught:
        reopen(store, **changes)
    words = [*words, str(store.folder)]
    assert [word for word in words if word not in str(caught.value)] == []


def test_damaged_identity_is_refused(store):
    (store.folder / "identity.json").write_text("{")
    with pytest.raises(DataError, match=r"identity\.json is not readable JSON"):
        reopen(store)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("stage", STAGES)
def test_values_that_are_not_finite_are_refused_and_nothing_is_stored(store, stage, value):
    store.write([0], features([0]))
    bad = features([1, 2])
    bad[stage][1, 0] = value
    with pytest.raises(DataError, match=rf"stage {stage}, unit 0, clip video v2, style 1.*{value}"):
        store.write([1, 2], bad)
    assert store.done.tolist() == [True, False, False, False, False]
    assert reopen(store).done.tolist() == [True, False, False, False, False]
    assert all((stored(store, name)[1:] == 0).all() for name in STAGES)


def test_another_number_of_units_is_refused(store):
    store.write([0], features([0]))
    with pytest.raises(DataError, match=r"5\.npy has shape \(5, 4\), expected \(5, 7\)"):
        reopen(store).write([1], {**features([1]), "5": np.zeros((1, 7), np.float32)})


@pytest.mark.parametrize(
    "stage", ["a/b", "../up", "a,b", "a b", "#1@2", "a%2Fb", "ä", "con:nul*?", "."]
)
def test_any_stage_name_gets_one_file_inside_the_folder(stage, tmp_path):
    store = FeatureStore.create(tmp_path / "store", (stage, "5"), ROWS, {})
    store.write([0], {stage: np.ones((1, 2)), "5": np.zeros((1, 3))})
    assert store.path(stage).parent == store.folder
    assert store.path(stage).exists()
    assert len(list(store.folder.glob("*.npy"))) == 3  # two stages and the checksums
    assert stored(store, stage)[0].tolist() == [1, 1]


def test_names_that_differ_get_files_that_differ(store):
    names = ["a/b", "a%2Fb", "a_b", "a b", "a,b", "A/b"]
    assert len({store.path(name) for name in names}) == len(names)


def test_no_temporary_file_is_left(store):
    store.write(range(5), features(range(5)))
    assert list(store.folder.glob(".*")) == []


# ---- Estimates.


@pytest.fixture
def filled(tmp_path, rng):
    """A store of 30 clips with 6 units at one stage."""
    rows = [{"clip": i} for i in range(30)]
    store = FeatureStore.create(tmp_path / "filled", ("5",), rows, {})
    store.write(range(30), {"5": rng.normal(size=(30, 6)).astype(np.float32)})
    return store


@pytest.mark.parametrize("n_pairs", [4, 1023, 1024, 5000])
def test_estimate_of_a_store_is_that_of_its_array(filled, n_pairs, rng):
    design = Design.of(*rng.integers(0, 30, size=(2, n_pairs)), np.arange(n_pairs) % 2)
    found = estimate_stage(filled.reader("5"), design)
    expected = estimate_stage(stored(filled, "5").__getitem__, design)
    assert found.n_pairs == (n_pairs // 2 + n_pairs % 2, n_pairs // 2, 0)
    assert np.array_equal(found.unit_scores, expected.unit_scores)
    assert np.array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("is_known", [False, True])
def test_memory_of_estimates_does_not_grow_with_the_pairs_features(tmp_path, is_known, rng):
    """A pair costs a few integers, whereas its features have 2048 bytes."""
    store = FeatureStore.create(tmp_path / "s", ("5",), [{"clip": i} for i in range(30)], {})
    store.write(range(30), {"5": rng.normal(size=(30, 256)).astype(np.float32)})
    n_pairs = 20_000
    video, *columns = rng.integers(0, (3, 10, 10, 4, 4), size=(n_pairs, 5)).T
    a, b = (10 * video + clip for clip in columns[:2])
    factor = np.arange(n_pairs) % 2
    shown = Design.shown(a, b, factor, video, *columns[2:])
    design = shown if is_known else Design.of(a, b, factor)
    few = design.where(slice(2000))
    estimate_stage(store.reader("5"), few)  # imports and caches, once
    memory = [peak_memory(lambda d=d: estimate_stage(store.reader("5"), d)) for d in (few, design)]
    assert memory[1] - memory[0] < 250 * (n_pairs - 2000)
