"""Options that are refused: unknown ones, those of the other task, and contradictions."""

from __future__ import annotations

import pytest

from common.tasks import RECOGNITION, SEGMENTATION
from config import Config
from measure.request import resolved
from tests import helpers_config
from tests.helpers_config import parse
from utils import UserError

refused = helpers_config.refused


class TestOneLine:
    """An error is one line that names what was probably meant (see `refused`)."""

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ("--dataset SSv2", "argument --dataset: 'SSv2' is not known. Did you mean 'ssv2'?"),
            ("--dataset activitynet", "Did you mean 'StylizedActivityNet'?"),
            ("--path Slow", "Did you mean 'slow'?"),
            ("--n_exampels 5", "unrecognized arguments: --n_exampels 5. Did you mean 'n_examples'"),
            ("--Model i3d", "Did you mean 'model'"),
            ("--model i3d stray", "unrecognized arguments: stray"),
            ("--batch_size", "argument --batch_size: expected one argument"),
        ],
    )
    def test_what_was_meant(self, refused, argv, words):
        line = refused(*argv.split())
        assert words in line
        assert line.endswith("main.py --help lists the options")

    def test_unknown_and_shortened_options(self, refused):
        assert "--stage" in refused("--stage", "5")
        assert "--n_ex" in refused("--n_ex", "5")

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("dataset", "StylizedActivityNet"),
            ("path", "slow"),
            ("pairing", "crossed, exhaustive"),
            ("on_bad_video", "skip"),
            ("start", "middle"),
        ],
    )
    def test_unknown_choice_lists_the_known_ones(self, refused, name, known):
        message = refused(f"--{name}", "nonsense")
        assert "nonsense" in message
        assert known in message


OTHER_TASK = [
    ("i3d", "--nreps 5", SEGMENTATION),
    ("i3d", "--original_data_root davis", SEGMENTATION),
    # As they are by default, so that nothing would be ignored; but the user may think otherwise.
    ("matnet", "--app_shuffle True", RECOGNITION),
    ("matnet", "--m_same 1", RECOGNITION),
    ("matnet", "--use_normal_app False", RECOGNITION),
    ("matnet", "--allow_other_head False", RECOGNITION),
    ("matnet", "--app_shuffle False", RECOGNITION),
    ("matnet", "--n_examples 9", RECOGNITION),
    ("matnet", "--num_classes 9", RECOGNITION),
    ("matnet", "--mean 0.5", RECOGNITION),
    ("matnet", "--start first", RECOGNITION),
    ("sam", "--clip_frames 8", RECOGNITION),
]


class TestOtherTask:
    """Options that only networks of the other task have."""

    @pytest.mark.parametrize(("model", "argv", "other"), OTHER_TASK)
    def test_refused_on_the_command_line(self, model, argv, other):
        name, task = argv.split()[0][2:], {RECOGNITION: SEGMENTATION}.get(other, RECOGNITION)
        words = f"^`{name}` is for networks of {other}, and this is one of {task}: leave it out$"
        with pytest.raises(UserError, match=words):
            parse("--model", model, *argv.split())

    def test_of_a_configuration_file(self):
        argv = ["--cfg_file", "configs/rtnet_davis.json", "--app_shuffle", "True"]
        with pytest.raises(UserError, match="`app_shuffle` is for networks of action recognition"):
            parse(*argv)

    def test_refused_in_python_where_it_is_not_as_by_default(self):
        with pytest.raises(UserError, match="`m_same` is for networks of action recognition"):
            resolved(Config(model="matnet", m_same=False), {})
        with pytest.raises(UserError, match="`nreps` is for networks of segmentation"):
            resolved(Config(model="i3d", nreps=2), {})
        assert resolved(Config(model="matnet", m_same=True), {}).model == "matnet"

    def test_data_set(self):
        words = "`dataset` ssv2 is for networks of action recognition.*give one of StylizedDAVIS"
        with pytest.raises(UserError, match=words):
            resolved(Config(model="matnet", dataset="ssv2"), {})
        with pytest.raises(UserError, match="give one of StylizedActivityNet, ssv2"):
            resolved(Config(model="x3d_s", dataset="StylizedDAVIS"), {})


class TestBounds:
    """Numbers and names that nothing could be done with are refused before anything is."""

    @pytest.mark.parametrize(
        "argv",
        [
            *("--random_seed 4294967296", "--random_seed 12345678901234567890123456"),
            *("--n_factors 2000000000", "--n_examples 1000000000000000000000"),
            *("--n_sample_frames 1000000000", "--sampling_rate 10000000000"),
            *("--clip_frames 100001", "--image_size 100000", "--image_size 100000000000"),
            *("--model matnet --nreps 1000000", "--batch_size 99999999999", "--max_bad 101"),
            *("--max_bad nan", "--max_bad x"),
        ],
    )
    def test_number(self, argv, capsys):
        with pytest.raises(SystemExit) as leave:
            parse(*argv.split())
        assert leave.value.code == 2
        assert "above" in capsys.readouterr().err or "max_bad" in argv

    @pytest.mark.parametrize("text", ["0", "1", "-0.5", "95", "nan", "inf", "95%", ""])
    def test_confidence(self, refused, text):
        line = refused("--confidence", text)
        assert f"argument --confidence: {text!r} is not a number between 0 and 1" in line
        with pytest.raises(UserError, match="`confidence`"):
            Config(confidence=text)

    def test_number_of_thousands_of_digits_is_cut_in_the_message(self, capsys):
        with pytest.raises(SystemExit):
            parse("--random_seed", "9" * 5000)
        assert len(capsys.readouterr().err) < 300

    @pytest.mark.parametrize("field", ["run_name", "name"])
    @pytest.mark.parametrize(
        ("text", "words"), [("x" * 300, "has 300 bytes"), ("ü" * 80, "160 b"), ("a\udcff", "UTF-8")]
    )
    def test_name(self, field, text, words):
        with pytest.raises(UserError, match=rf"`{field}` .*{words}"):
            parse(f"--{field}", text)


class TestRefusals:
    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            pytest.param("--residual_index 0", "`residual_index` 0 .* expected -1 or 2", id="dyn"),
            pytest.param("--residual_index 1", "dynamic and static", id="residual is static"),
            pytest.param("--residual_index 3", "expected -1 or 2", id="residual out of range"),
            pytest.param("--n_factors 5", "4 factors at most", id="five factors"),
            pytest.param(
                "--n_factors 2", r"give `residual_index` -1", id="two factors and a residual"
            ),
            pytest.param(
                "--use_normal_app True --app_shuffle False",
                "`use_normal_app` True goes with `app_shuffle` True",
                id="unstylized, not shuffled",
            ),
            pytest.param(
                "--normal_data_dir raw", "`normal_data_dir` is for `use_normal_app` True", id="raw"
            ),
            pytest.param(
                "--model matnet --pairing exhaustive --nreps 2", "leave out `nreps`", id="passes"
            ),
            pytest.param(
                "--model matnet --pairing crossed --nreps 2",
                "`pairing` crossed shows every sequence once: leave out `nreps`",
                id="passes, crossed",
            ),
            # Given pairs would win, and the other option be ignored without a word. The number of
            # pairs is compared when the plan is read.
            pytest.param("--model matnet --pairs p.csv --nreps 2", "`nreps`", id="pairs, nreps"),
            pytest.param("--pairs plan.csv --pairing sampled", "`pairing`", id="pairs, pairing"),
            pytest.param("--pairs plan.csv --m_same False", "`m_same`", id="pairs, m_same"),
            pytest.param("--pairs plan.csv --app_shuffle 0", "`app_shuffle`", id="pairs, shuffle"),
        ],
    )
    def test_contradiction_is_refused(self, argv, words):
        with pytest.raises(UserError, match=words):
            parse(*argv.split())
