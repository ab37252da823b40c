"""Functions from a user's file: what its imports find, what stays behind, where an error was."""

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from models.own import user_code
from models.own.user_code import load_function, neighbours_first
from utils import UserError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def process_restored(monkeypatch):
    """What a user's code leaves in a process, for the next test to begin without."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(user_code, "_FOLDERS", set())
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    """A function that writes files of code by name, below a folder; returns the first path."""

    def write_files(files, below="theirs"):
        paths = [tmp_path / below / name for name in files]
        for path, code in zip(paths, files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        return paths[0]

    return write_files


def toolkit_modules():
    """The toolkit's loaded modules by name."""
    return {
        name: module
        for name, module in sys.modules.items()
        if ROOT in Path(getattr(module, "__file__", None) or "/").parents
    }


# ---- What imports find.


@pytest.mark.parametrize(
    "layout",
    ["models/__init__.py models/net.py", "models/net.py", "models/parts/__init__.py", "models.py"],
    ids=["package", "folder", "folder of packages", "module"],
)
def test_neighbours_with_names_of_the_toolkit(layout, write):
    parts = dict.fromkeys(layout.split(), "")
    last = list(parts)[-1]
    parts[last] = "value = 5"
    module = last.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    code = (
        f"from {module} import value\nimport utils, config\nbuild = lambda: (value, utils, config)"
    )
    own = write({"my_net.py": code, "utils.py": "", "config.py": "", **parts}).parent
    before = toolkit_modules()
    value, *found = load_function(own / "my_net.py", "build")()
    assert value == 5
    assert [Path(module.__file__) for module in found] == [own / "utils.py", own / "config.py"]
    # The toolkit's are in their place again, the very same ones.
    assert toolkit_modules() == before
    assert all(sys.modules[name] is module for name, module in before.items())


def test_parts_that_are_not_loaded_yet_are_the_toolkits_later(write):
    code = "import config, main\nbuild = lambda: (config.value, main.value)"
    own = write({"my_net.py": code, "config.py": "value = 1", "main.py": "value = 2"})
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from models.own.user_code import load_function
assert not {{"config", "main"}} & set(sys.modules)
assert load_function(Path({str(own)!r}), "build")() == (1, 2)
import config, main
from models.catalogue import find
find("matnet")
print(main.__file__)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(ROOT / "main.py")


def test_function_sees_the_same_neighbours_as_its_file(write):
    code = """
import utils

def build():
    from utils import Block
    return Block is utils.Block
"""
    path = write({"my_net.py": code, "utils.py": "class Block:\n    pass"})
    build = load_function(path, "build")
    assert build()
    assert build()


def test_what_is_no_neighbour_is_the_toolkits(write):
    # A folder of data alone is no neighbour either.
    code = "from models.catalogue import find\nbuild = lambda: find"
    path = write({"my_net.py": code, "utils.py": "", "models/weights.txt": ""})
    from models.catalogue import find

    assert load_function(path, "build")() is find


def test_file_in_the_folder_of_the_toolkit_sees_its_modules(write, monkeypatch):
    code = "import utils, models.network\nbuild = lambda: (utils, models.network)"
    path = write({"my_net.py": code, "utils.py": "", "models/__init__.py": ""})
    monkeypatch.setattr(user_code, "_TOOLKIT", path.parent)
    import models.network
    import utils

    assert load_function(path, "build")() == (utils, models.network)


def test_two_files_have_neighbours_of_one_name_each(write):
    code = "import my_layers\nbuild = lambda: my_layers.value"
    one, two = (
        load_function(
            write({"my_net.py": code, "my_layers.py": f"value = {n}"}, below=str(n)), "build"
        )
        for n in (1, 2)
    )
    assert (one(), two()) == (1, 2)


def test_neighbours_are_found_when_the_network_runs(write):
    code = """
def forward():
    import my_late_part
    return my_late_part.value

def build():
    return forward
"""
    path = write({"my_net.py": code, "my_late_part.py": "value = 7"})
    assert load_function(path, "build")()() == 7


# ---- What stays behind.


@pytest.mark.parametrize(
    "code",
    [
        "raise RuntimeError",
        "raise KeyboardInterrupt",
        "import sys\nsys.path.clear()\nraise RuntimeError",
        "import sys\nsys.modules['models'] = sys.modules.pop('json')\nraise RuntimeError",
    ],
)
def test_toolkit_is_in_its_place_however_the_file_ends(code, write):
    path = write({"my_net.py": f"import utils\n{code}", "utils.py": "", "models.py": ""})
    before, folders = toolkit_modules(), [*sys.path]
    json = sys.modules["json"]
    with pytest.raises((UserError, KeyboardInterrupt)):
        load_function(path, "build")
    sys.modules["json"] = json
    assert toolkit_modules() == before
    assert sys.path == [*folders, str(path.parent)]


def test_folders_that_the_code_puts_on_the_path_come_behind_the_toolkit(write):
    path = write({"my_net.py": "import sys\nsys.path.insert(0, '/theirs')\nbuild = lambda: 1"})
    folders = [*sys.path]
    load_function(path, "build")()
    assert sys.path == [*folders, str(path.parent), "/theirs"]


def test_folder_that_was_on_the_path_keeps_its_place(tmp_path):
    folders = [str(tmp_path), *sys.path]
    sys.path[:] = folders
    with neighbours_first(tmp_path, {}):
        assert sys.path == [str(tmp_path), *folders]
    assert sys.path == folders


def test_what_the_file_defines_can_be_sent_to_other_processes(write):
    path = write({"my_sent_net.py": "def transform():\n    return 3\n\nbuild = lambda: transform"})
    transform = load_function(path, "build")()
    sent = pickle.dumps(transform)
    assert pickle.loads(sent) is transform
    # Another process begins with this path alone.
    del sys.modules["my_sent_net"]
    assert pickle.loads(sent)() == 3


# ---- Where an error was.

FAILS = """
import torch

def build():
    return torch.nn.Linear(2, 3)(torch.zeros(5))
"""


def shown(error):
    """The lines of code that a message shows, without the folders of their files."""
    lines = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
    places = [line.partition(", line ") for line in lines]
    return [f"{Path(file).name}{word}{rest}" for file, word, rest in places]


@pytest.mark.parametrize("given", ["absolute", "relative", "link"])
def test_place_of_an_error_is_in_the_users_code(given, write, tmp_path, monkeypatch):
    path = write({"my_net.py": FAILS})
    if given == "relative":
        monkeypatch.chdir(path.parent)
        path = Path("my_net.py")
    if given == "link":
        (tmp_path / "link").symlink_to(path.parent)
        path = tmp_path / "link" / "my_net.py"
    with pytest.raises(UserError, match="RuntimeError: ") as caught:
        load_function(path, "build")()
    assert shown(caught.value) == [
        "my_net.py, line 5, in build: return torch.nn.Linear(2, 3)(torch.zeros(5))"
    ]
    assert f"  {path.absolute()}, line 5" in str(caught.value)


BESIDE = """
import sys
sys.path.append("{}")
import a_package
def build():
    return a_package.fail()
"""


def test_packages_installed_beside_the_file_are_not_the_users_code(write, tmp_path):
    packages = tmp_path / "theirs" / ".venv" / "lib" / "site-packages"
    package = {str(packages / "a_package.py"): "def fail():\n    return 1 / 0"}
    path = write({"my_net.py": BESIDE.format(packages), **package})
    with pytest.raises(UserError, match="ZeroDivisionError") as caught:
        load_function(path, "build")()
    assert shown(caught.value) == ["my_net.py, line 6, in build: return a_package.fail()"]


def test_python_itself_is_not_the_users_code(write):
    code = "import json\ndef build():\n    return json.loads('no')"
    with pytest.raises(UserError, match="JSONDecodeError: Expecting value") as caught:
        load_function(write({"my_net.py": code}), "build")()
    assert shown(caught.value) == ["my_net.py, line 3, in build: return json.loads('no')"]


def test_code_without_a_file_is_not_shown(write):
    code = "def build():\n    return eval('1 / 0')"
    with pytest.raises(UserError, match="ZeroDivisionError") as caught:
        load_function(write({"my_net.py": code}), "build")()
    assert shown(caught.value) == ["my_net.py, line 2, in build: return eval('1 / 0')"]


@pytest.mark.parametrize("place", ["models", "beside"])
def test_toolkit_is_not_the_users_code_but_files_beside_it_are(place, write, monkeypatch):
    """As where a user's file lies in the toolkit's own folder."""
    code = "import part\ndef build():\n    return part.fail()"
    folder = "theirs/models" if place == "models" else "theirs/beside"
    part = write({"part.py": "def fail():\n    return 1 / 0"}, below=folder)
    path = write({"my_net.py": f"import sys\nsys.path.append({str(part.parent)!r})\n{code}"})
    monkeypatch.setattr(user_code, "_TOOLKIT", path.parent)
    with pytest.raises(UserError, match="ZeroDivisionError") as caught:
        load_function(path, "build")()
    last = {
        "models": "my_net.py, line 5, in build: return part.fail()",
        "beside": "part.py, line 2, in fail: return 1 / 0",
    }
    assert shown(caught.value)[-1] == last[place]


def test_place_is_the_last_line_of_the_users_code(write):
    part = FAILS.replace("build", "fail")
    path = write({"my_net.py": "import my_part\nbuild = my_part.fail", "my_part.py": part})
    with pytest.raises(UserError, match="RuntimeError: ") as caught:
        load_function(path, "build")()
    assert shown(caught.value) == [
        "my_part.py, line 5, in fail: return torch.nn.Linear(2, 3)(torch.zeros(5))"
    ]


def test_last_three_lines_are_shown(write):
    calls = "".join(f"def f{n}():\n    return f{n + 1}()\n" for n in range(5))
    path = write({"my_net.py": f"{calls}build = f0\nf5 = lambda: {{}}['size']"})
    with pytest.raises(UserError, match="KeyError: 'size'") as caught:
        load_function(path, "build")()
    assert shown(caught.value) == [
        "my_net.py, line 8, in f3: return f4()",
        "my_net.py, line 10, in f4: return f5()",
        "my_net.py, line 12, in <lambda>: f5 = lambda: {}['size']",
    ]


def test_script_that_ends_the_process_is_refused(write):
    path = write({"my_net.py": "import sys\nsys.exit(0)"})
    with pytest.raises(UserError, match=r"SystemExit: 0\n  .*my_net\.py, line 2, in <module>: sys"):
        load_function(path, "build")


# ---- What it is called with.


@pytest.mark.parametrize(
    "code", ["def build(a, *, b=2):", "class build:\n  def __init__(self, a, b=2):"]
)
def test_options_reach_the_function_and_its_parameters_can_be_seen(code, write):
    function = load_function(write({"my_net.py": f"{code}\n    print(a, b)"}), "build")
    assert list(inspect.signature(function).parameters) == ["a", "b"]
    with pytest.raises(UserError, match="unexpected keyword argument 'c'"):
        function(c=1)
    function(a=1, b=3)
