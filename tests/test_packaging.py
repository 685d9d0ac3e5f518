"""What the pack says of itself, and what a user gets of it."""

import fnmatch
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from concept_atelier.host.comfy.items import VERSIONS_RUN

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MEMBERS = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - {"output", "build"}


def ignored():
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_ignored(path):
    return any(path.startswith(rule) if rule.endswith("/") else fnmatch.fnmatch(path, rule) for rule in ignored())


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The pack as it is published: without what .comfyignore names."""
    root = tmp_path_factory.mktemp("site") / "concept_atelier"
    for path in (p for p in ROOT.rglob("*") if p.is_file()):
        name = path.relative_to(ROOT).as_posix()
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts)
        if name.split("/")[0] in MEMBERS and not hidden and not is_ignored(name):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / name)
    return root


def python(code, folder):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_comfyui_is_given_who_we_are():
    comfy = PROJECT["tool"]["comfy"]
    assert comfy["DisplayName"] == "Concept Atelier" and comfy["PublisherId"]
    assert "comfyui" not in PROJECT["project"]["name"].lower()
    assert comfy["requires-comfyui"] == f">={VERSIONS_RUN[0]}"
    assert "web" not in comfy, "WEB_DIRECTORY says it; scripts would be loaded twice"


def test_an_installation_gets_every_folder_of_code():
    rooms = [path.parent for path in ROOT.glob("[a-z]*/__init__.py")]
    folders = [path.parent for room in rooms for path in room.rglob("__init__.py")]
    named = [".".join(["concept_atelier", *folder.relative_to(ROOT).parts]) for folder in folders]
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(["concept_atelier", *named])


def test_the_icon_is_there_and_square():
    picture = ElementTree.parse(ROOT / PROJECT["tool"]["comfy"]["Icon"]).getroot()
    assert picture.get("width") == picture.get("height") and int(picture.get("width")) <= 400


def test_everything_that_is_left_out_exists():
    missing = [rule for rule in ignored() if not any(ROOT.glob(rule))]
    assert not missing


def test_what_is_shipped_runs_without_what_is_not(shipped):
    code = (
        "import concept_atelier.commands.demo, concept_atelier.nodes.headless as r\n"
        "from concept_atelier.__main__ import build_parser\n"
        "for command in ('run', 'demo'): build_parser([command]).format_help()\n"
        "from pathlib import Path\n"
        "assert Path(r.__file__).is_relative_to(Path.cwd()), r.__file__\n"
        "registry = r.HEADLESS_NODES\n"
        "from concept_atelier.lab.model.handles import load_handles\n"
        "load_handles()\n"
        "print(len(registry))\n"
    )
    done = python(code, shipped.parent)
    assert done.returncode == 0 and int(done.stdout) > 12, done.stderr


@pytest.mark.parametrize("words", [["bench", "lab"], ["lab", "page"]])
def test_commands_that_are_left_out_say_so(shipped, words):
    command = [sys.executable, "-m", "concept_atelier", *words]
    done = subprocess.run(command, cwd=shipped.parent, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and done.stderr.startswith("this command comes with the repository only")


@pytest.mark.parametrize("name", ["tests", "docs", "bench", "results", "training", "tools", "lab/judge", "Makefile"])
def test_what_users_do_not_need_is_left_out(shipped, name):
    assert (ROOT / name).exists() and not (shipped / name).exists()


@pytest.mark.parametrize("name", ["locales/en/nodeDefs.json", "workflows", "subgraphs", "web/docs", "lab/weights/unet"])
def test_what_users_need_is_there(shipped, name):
    assert (shipped / name).exists()
