"""A network from a user's file: files that give none, and errors in the user's code."""

import subprocess
import sys
from pathlib import Path

import pytest

import main
from config import Config
from datasets import video_clips as reading
from models.catalogue import find
from tests import helpers_runs
from tests.models.own.helpers import built, chosen, computed
from utils import UserError

ROOT = Path(__file__).parents[3]
data = helpers_runs.videos
without_figures = helpers_runs.without_figures

# A network of clips of 2 frames of 4 pixels.
SMALL = """
from torch import nn
wanted = {'frames': 2, 'crop': 4}
build = lambda: (nn.Sequential(nn.Conv3d(3, 5, 1), nn.Dropout()), wanted)
"""


# ---- Files.


def test_file_may_import_its_neighbours(written):
    written(SMALL.replace("build", "part"), file="own_parts_of_my_net.py")
    name = written("import own_parts_of_my_net as parts\nbuild = parts.part")
    assert built(name)[0].out_channels == 5
    sys.modules.pop("own_parts_of_my_net")


def test_file_may_be_called_like_one_of_the_toolkit(written):
    import utils

    assert built(written(SMALL, "utils.py"))[0].out_channels == 5
    assert sys.modules["utils"] is utils


def test_network_is_put_into_evaluation_mode(written):
    assert not built(written(SMALL)).training


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def builds():\n    pass", "the file has no function 'build'.*Did you mean 'builds'"),
        ("def Build():\n    pass", "the file has no function 'build'.*Did you mean 'Build'"),
        ("build = 5", "the file has no function 'build'"),
        ("def build(:", r"SyntaxError: .*\(my_net\.py, line 1\)$"),
        (
            "import no_such_module_here",
            r"ModuleNotFoundError: No module named .*\n  .*, line 1, in",
        ),
        ("\n\ndef build():\n    return 1 / 0", r"ZeroDivisionError: .*\n  .*my_net\.py, line 4, "),
        (
            "def build(size):\n    pass",
            "TypeError: .*missing 1 required positional argument: 'size'$",
        ),
        ("def build():\n    pass", "returned NoneType; expected a torch.nn.Module"),
        ("def build():\n    return {}", "returned dict; expected"),
        ("from torch import nn\ndef build():\n    return nn.ReLU(), 5", "returned tuple; expected"),
        ("from torch import nn\ndef build():\n    return nn.ReLU", "returned type; expected"),
    ],
)
def test_file_that_gives_no_network(code, words, written):
    with pytest.raises(UserError, match=words):
        find(written(code))


def test_number_of_classes_is_refused(written):
    with pytest.raises(UserError, match=r"`num_classes`: .*my_net\.py:build decides that itself"):
        find(written(SMALL), num_classes=5)


# ---- Errors in a forward.

# What fails is in a function of a function, below a layer of PyTorch.
DEEP = """
import json
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        # Of zeros it makes zeros.
        self.layers = nn.Sequential(nn.Conv3d(3, 4, 1, bias=False), Last(4, 4))

    def forward(self, clip):
        return self.layers(clip)

class Last(nn.Linear):
    def forward(self, x):
        return outer(x)

def outer(x):
    return inner(x)

def inner(x):
    if {fails}:
        {how}
    return x

def build():
    return Net(), {{'frames': 4, 'crop': 8}}
"""


def own_lines(error):
    """The lines of code that a message shows: file, number, function and text."""
    lines = [line for line in str(error).splitlines() if line.startswith("  ")]
    parts = [line.strip().split(", ", 2) for line in lines]
    return [(Path(file).name, number, text) for file, number, text in parts]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("raise ValueError('no such size')", "ValueError: no such size"),
        ("x @ torch.zeros(3)", "RuntimeError: size mismatch"),
        ("json.loads('no')", "JSONDecodeError: Expecting value"),
        ("x.no_such", "AttributeError: 'Tensor' object has no attribute 'no_such'"),
    ],
    ids=["their own", "PyTorch's", "Python's", "attribute"],
)
def test_error_shows_the_last_three_lines_of_the_users_code(how, kind, written):
    with pytest.raises(UserError) as caught:
        find(written(DEEP.format(fails="True", how=how)))
    assert f"the network cannot take clips [1, 3, 4, 8, 8]: {kind}" in str(caught.value)
    assert own_lines(caught.value) == [
        ("my_net.py", "line 17", "in forward: return outer(x)"),
        ("my_net.py", "line 20", "in outer: return inner(x)"),
        ("my_net.py", "line 24", f"in inner: {how}"),
    ]
    assert "Give it the `clip_frames` and `image_size` that it was made for" in str(caught.value)


def test_error_of_layers_alone_shows_no_lines_of_others(written):
    code = """
import torch
def build():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7, 2))
    return network, {'frames': 4, 'crop': 8}
"""
    with pytest.raises(UserError, match=r"clips \[1, 3, 4, 8, 8\]: RuntimeError: .*mat1") as caught:
        find(written(code))
    assert own_lines(caught.value) == []
    with pytest.raises(UserError, match="cannot take clips"):
        main.main(["--model", written(code), "--list_stages"])


@pytest.fixture
def no_frame_is_read(monkeypatch):
    monkeypatch.setattr(reading, "read_frame", lambda path: pytest.fail(f"{path} was read"))


def test_batch_that_a_network_cannot_take_is_refused_before_a_frame_is_read(
    written, data, tmp_path, no_frame_is_read
):
    """It works with one clip, which its stages were found with."""
    model = written(DEEP.format(fails="len(x) > 1", how="raise ValueError('one, please')"))
    own = chosen(data, tmp_path / "runs", model, run_name="run")
    with pytest.raises(UserError, match=r"take clips \[2, 3, 4, 8, 8\]: ValueError: one") as caught:
        main.measure(Config(**own))
    assert "a `batch_size` that it can take" in str(caught.value)
    assert not (tmp_path / "runs" / "run").exists()


def test_batch_of_one_can_be_asked_for(written, data, tmp_path):
    model = written(DEEP.format(fails="len(x) > 1", how="raise ValueError('one, please')"))
    _, _, store = computed(Config(**chosen(data, tmp_path, model, batch_size=1)))
    assert store.done.all()


def test_error_in_a_later_forward_is_the_users(written, data, tmp_path):
    """Zeros pass, and the first real clip does not."""
    model = written(DEEP.format(fails="x.any()", how="raise KeyError(7)"))
    with pytest.raises(UserError, match=r"take clips \[2, 3, 4, 8, 8\]: KeyError: 7\n") as caught:
        main.measure(Config(**chosen(data, tmp_path, model, run_name="run")))
    assert own_lines(caught.value)[-1] == ("my_net.py", "line 24", "in inner: raise KeyError(7)")
    (kept,) = caught.value.__notes__
    assert kept.startswith("0 of ")
    assert kept.endswith("(a network that has changed needs a new run)")


@pytest.mark.parametrize("when", ["at once", "in a later forward"])
def test_reasons_are_shown_without_a_traceback(when, data, tmp_path):
    """All of it through the command line, as a user sees it."""
    code = DEEP.format(fails="x.any()", how="raise KeyError(7)")
    if when == "at once":
        code = code.replace("return Net()", "1 / 0; return Net()")
    (tmp_path / "my_net.py").write_text(code)
    given = chosen(data, tmp_path, "my_net.py:build")
    command = [sys.executable, str(ROOT / "main.py"), *helpers_runs.as_argv(given)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    kind = "ZeroDivisionError: division" if when == "at once" else "KeyError: 7"
    first = "--model my_net.py:build" if when == "at once" else "the network cannot take clips"
    assert done.stderr.startswith(f"error: {first}")
    assert kind in done.stderr
    assert f"{tmp_path}/my_net.py, line " in done.stderr
    assert "Traceback" not in done.stderr
    assert str(ROOT / "models") not in done.stderr
