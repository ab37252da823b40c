"""Evaluating on DAVIS: a network that sees brightness, on frames whose J is known by hand."""

import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from common.files import read_csv, sha256, write_json
from config import Config
from datasets.davis import BACKWARD, FORWARD, IMAGES, MASKS
from datasets.synthetic_davis import make_davis
from misc.evaluate_davis import evaluated_sequences, main, prepare, probabilities
from models import catalogue
from models.catalogue import by_name, find
from models.tables import fusionseg, matnet, rtnet
from tests.helpers import assert_close
from utils import DataError, UserError

SIZE = (16, 32)
# Columns by which the bright half of a frame lies off the annotated half, by frame. Of shift k,
# 16 - k columns are shared and 16 + k covered: J is 1 for 0 and 1/3 for 8. The first and the last
# frame are all wrong, and must not count.
SHIFTS = {"disc_00": (16, 0, 0, 8, 8, 16), "disc_01": (16, 0, 0, 0, 0, 16)}


class Bright(nn.Module):
    """Log-odds [B, 1, H, W]: far above 0 where the image is brighter than its channels' means."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(100.0))

    def forward(self, image, flow):
        assert flow.shape == image.shape
        return self.gain * image.mean(1, keepdim=True)


class BrightPairs(Bright):
    """The same of two frames: four maps [2B, 1, H, W], of which the finest alone is right."""

    def forward(self, image, flow):
        assert image.shape[1:3] == (2, 3)
        assert flow.shape[1:3] == (2, 6)
        finest = self.gain * image.flatten(0, 1).mean(1, keepdim=True)
        finest[1::2] *= -1  # of the second frames, which are not asked for
        return tuple(finest * sign for sign in (1, -1, -1, -1))


class Coarse(Bright):
    """The same in a quarter of the size, as MATNet answers."""

    def forward(self, image, flow):
        return nn.functional.avg_pool2d(super().forward(image, flow), 4)


@dataclass(frozen=True)
class Spec:
    """Which of them."""

    module: type[nn.Module]


def build(spec, num_classes):
    return spec.module()


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """A table of networks with those of this file, in their families' places."""
    one, two = find("matnet"), find("rtnet")
    place = {"build": f"{__name__}:build", "smallest_crop": 8, "options": {}}
    networks = (
        replace(one, spec=Spec(Bright), **place),
        replace(one, name="coarse", spec=Spec(Coarse), **place),
        replace(two, spec=Spec(BrightPairs), points=lambda spec: two.points(two.spec), **place),
        find("i3d"),
    )
    monkeypatch.setattr(catalogue, "TABLES", (SimpleNamespace(NETWORKS=networks),))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A DAVIS tree whose frames are black with a white half, and the annotations of another."""
    root = tmp_path_factory.mktemp("davis") / "set"
    make_davis(root, len(SHIFTS), 6, SIZE)
    original = root / "original"
    for name, shifts in SHIFTS.items():
        for number, shift in enumerate(shifts):
            save(original / IMAGES / name / f"{number:05d}.jpg", half(shift))
            save(original / MASKS / name / f"{number:05d}.png", half(0))
    return original


@pytest.fixture
def davis(made, tmp_path):
    """A copy of that tree to change."""
    return shutil.copytree(made, tmp_path / "DAVIS")


def half(shift, scale=1):
    """0 and 255 [H, W]: half of the columns, from `shift` on."""
    pixels = np.zeros(SIZE, dtype=np.uint8)
    pixels[:, shift : shift + SIZE[1] // 2] = 255
    return np.kron(pixels, np.ones((scale, scale), dtype=np.uint8))


def save(path, pixels):
    options = {"quality": 100} if path.suffix == ".jpg" else {}
    Image.fromarray(pixels).save(path, **options)


def chosen(davis, tmp_path, *, model="matnet", checkpoint="random"):
    """The options that evaluate the tree, beside the JSON configuration that they name."""
    config = {"model": model, "original_data_root": str(davis), "split": "val", "nreps": 1}
    write_json(tmp_path / "config.json", {**config, "crop_size": list(SIZE)})
    return {
        "cfg_file": tmp_path / "config.json",
        "checkpoint": str(checkpoint),
        "num_workers": 0,
        "device": "cpu",
        "batch_size": 3,
    }


def arguments(davis, tmp_path, *more, **options):
    """The same on a command line."""
    given = chosen(davis, tmp_path, **options).items()
    return [str(word) for name, value in given for word in (f"--{name}", value)] + [*map(str, more)]


def planned(davis, tmp_path, **options):
    """What will be evaluated."""
    return prepare(Config(**chosen(davis, tmp_path, **options)))


def evaluated(davis, tmp_path, **options):
    """The rows that are saved, numbers as such."""
    main(arguments(davis, tmp_path, "--save", tmp_path / "j.csv", **options))
    return {
        row["sequence"]: [float(row[k]) for k in ("frames", "j_mean", "j_recall", "j_decay")]
        for row in read_csv(tmp_path / "j.csv")
    }


def assert_known(rows):
    assert list(rows) == ["disc_00", "disc_01", "all"]
    # J of frames 1 to 4: 1, 1, 1/3, 1/3; quarters of two frames each, borders at 0, 1, 2, 2, 3.
    assert rows["disc_00"] == pytest.approx([4, 2 / 3, 0.5, 2 / 3])
    assert rows["disc_01"] == pytest.approx([4, 1, 1, 0])
    assert rows["all"] == pytest.approx([8, 5 / 6, 0.75, 1 / 3])


def test_j_by_hand_on_screen_and_in_the_file(made, tmp_path, capsys):
    assert_known(evaluated(made, tmp_path))

    shown = capsys.readouterr().out
    assert "frames: 8 in 2 sequences; left out" in shown
    assert "weights: random" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["disc_00", "4", "0.667", "0.500", "0.667"] in lines
    assert ["all", "8", "0.833", "0.750", "0.333"] in lines


def test_first_of_two_frames_is_evaluated(made, tmp_path):
    assert_known(evaluated(made, tmp_path, model="rtnet"))


def test_second_frame_is_the_next_one_that_is_evaluated(made, tmp_path):
    evaluation = planned(made, tmp_path, model="rtnet")

    shown = [(clip.frame, clip.other) for clip in evaluation.clips if clip.video == "disc_00"]

    numbers = [(1, 2), (2, 3), (3, 4), (4, 1)]
    assert shown == [(f"{frame:05d}", f"{other:05d}") for frame, other in numbers]


def test_smaller_answers_are_resized(made, tmp_path):
    assert_known(evaluated(made, tmp_path, model="coarse"))


def test_log_odds_are_resized_rather_than_probabilities(made, tmp_path):
    evaluation = planned(made, tmp_path)
    answer = torch.tensor([-1.0, 3.0]).expand(1, 1, 1, 2)

    found = probabilities(evaluation, lambda *_: answer, ())[0]  # [16, 32]

    # From -1 at 7.5 to 3 at 23.5 they cross 0 at 11.5; probabilities would cross 1/2 at 12.9.
    assert found.shape == SIZE
    assert (found > 0.5).sum(1).unique().tolist() == [32 - 12]


def test_annotations_may_be_of_another_size(davis, tmp_path):
    for path in (davis / MASKS).rglob("*.png"):
        save(path, half(0, scale=3))

    assert_known(evaluated(davis, tmp_path))


def test_checkpoint_is_loaded_and_named_by_its_hash(made, tmp_path, capsys):
    torch.save({"gain": torch.tensor(-100.0)}, tmp_path / "inverted.pt")

    rows = evaluated(made, tmp_path, checkpoint=tmp_path / "inverted.pt")

    assert rows["disc_01"] == [4, 0, 0, 0]
    weights = sha256(tmp_path / "inverted.pt")[:12]
    assert weights in capsys.readouterr().out
    assert {row["weights"] for row in read_csv(tmp_path / "j.csv")} == {weights}


def test_networks_say_where_the_mask_is():
    real = by_name(n for table in (fusionseg, matnet, rtnet) for n in table.NETWORKS)
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 3, 4)
    levels = [torch.randn(4, 1, 3, 4) for _ in range(4)]

    found = real["twostream_deeplabv3plus_resnet101"].log_odds(logits)
    assert_close(found.sigmoid(), logits.softmax(1)[:, 1])
    for name in ("matnet", "matnet_bidir"):
        assert real[name].log_odds(logits[:, :1]).equal(logits[:, 0])
    for name in ("rtnet", "rtnet34"):
        assert real[name].log_odds(levels).equal(levels[0][[0, 2], 0])


def test_a_configuration_is_not_needed(made, tmp_path):
    given = ["--model", "matnet", "--checkpoint", "random", "--original_data_root", str(made)]
    more = ["--image_size", "16,32", "--num_workers", "0", "--device", "cpu", "--name", "mine"]
    main([*given, *more, "--save", str(tmp_path / "j.csv")])

    rows = read_csv(tmp_path / "j.csv")
    assert {row["network"] for row in rows} == {"mine"}
    assert float(rows[-1]["j_mean"]) == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--model i3d --checkpoint random", "'i3d' does not segment: give --cfg_file or --model"),
        ("--checkpoint random", "'i3d' does not segment"),
        ("--model matnet --checkpoint random", "--original_data_root is missing"),
        ("--model matnett", "Did you mean 'matnet'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(argv, words, monkeypatch):
    monkeypatch.delenv("ORIGINAL_DATA_ROOT", raising=False)
    with pytest.raises(UserError, match=words):
        main(argv.split())


def test_forward_flow_is_enough_for_one_frame(davis):
    shutil.rmtree(davis / BACKWARD)

    assert evaluated_sequences(davis, "val", 1).flows == (FORWARD,)
    with pytest.raises(DataError, match=r"make_flow\.py .* --gap -1"):
        evaluated_sequences(davis, "val", 2)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (MASKS, "Annotations/480p does not exist, the annotations"),
        (IMAGES, "JPEGImages/480p does not exist, the unstylized frames"),
        (FORWARD, r"no images of this flow. Make them with"),
        (f"{MASKS}/disc_01/00002.png", r"disc_01: 1 masks are missing, such as .*00002.png"),
        (f"{FORWARD}/disc_00/00001.png", r"disc_00: 1 of 8 files are missing, such as .*00001"),
        ("ImageSets", "is .* the folder of DAVIS 2016"),
    ],
)
def test_missing_data_stop_before_the_network_is_built(missing, words, davis, tmp_path):
    path = davis / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(DataError, match=words):
        planned(davis, tmp_path)


def test_files_of_the_first_and_last_frame_are_not_needed(davis, tmp_path):
    for folder in (IMAGES, MASKS, FORWARD):
        for path in (davis / folder).glob("*/0000[05].*"):
            path.unlink()

    assert_known(evaluated(davis, tmp_path))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--crop_size", "4,4"], "takes clips of at least 8 pixels, not 4"),
        (["--model", "rtnet"], "describes network 'matnet': give `model` matnet"),
        (["--trained_on", "davis"], "network 'matnet' does not have this option"),
        (["--checkpoint", "nowhere.pth"], "`checkpoint` nowhere.pth is not a file or folder"),
        (["--split", "test"], "test.txt does not exist"),
        (["--device", "cuda:99"], "`device` cuda:99 is not on this machine"),
        (["--save", "/dev/null/j.csv"], "cannot be written"),
    ],
)
def test_bad_requests_are_refused(more, words, made, tmp_path):
    with pytest.raises(UserError, match=words):
        main(arguments(made, tmp_path, *more))


@pytest.mark.parametrize("folder", [FORWARD, MASKS])
def test_damaged_file_is_named_and_nothing_is_saved(folder, davis, tmp_path):
    path = davis / folder / "disc_01" / "00003.png"
    path.write_bytes(b"no image")

    with pytest.raises(DataError, match=str(path)):
        evaluated(davis, tmp_path)
    assert not (tmp_path / "j.csv").exists()


def test_masks_that_are_no_numbers_are_refused(made, tmp_path):
    torch.save({"gain": torch.tensor(3e38)}, tmp_path / "broken.pt")

    with pytest.raises(DataError, match=r"NaN or inf: is .*broken.pt whole"):
        evaluated(made, tmp_path, checkpoint=tmp_path / "broken.pt")


def test_what_is_read_is_not_replaced(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match=r"`save` .*x\.json is a file that is read"):
        main(["--cfg_file", str(tmp_path / "x.json"), "--save", str(tmp_path / "x.json")])
