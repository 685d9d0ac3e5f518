"""Documents, the comments of the page's scripts, and docstrings name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["bench", "commands", "core", "docs", "host", "lab", "nodes", "results", "tests", "tools", "training", "web"]
NAMED = re.compile(rf"(?<![\w./<(-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w(?![\w<*]|/?<)")
"""A path from the root of the repository, as in ``core/backbone.py`` or ``lab/weights``; links and patterns are not."""

MODULE = re.compile(r":(?:mod|func|class|meth|data):`~?(\.+)([\w.]+)`")
"""A module, or a name in one, in a docstring, counted from the file's own folder, as in ``..backbone.Backbone``."""

READ = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "web" / "js").glob("*.js")]


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path):
    named = set(NAMED.findall(path.read_text(encoding="utf-8")))
    assert not sorted(name for name in named if not (ROOT / name).exists())


def test_paths_are_found():
    text = "see `core/backbone.py`, lab/weights/ and tests/test_*.py, or [the lab](lab/objects.jpg)"
    assert NAMED.findall(text) == ["core/backbone.py", "lab/weights"]


def missing_modules(path, text):
    """What a file's docstrings name by relative modules, and what is not there."""
    for dots, dotted in MODULE.findall(text):
        folder, (first, *rest) = path.parents[len(dots) - 1], dotted.split(".")
        while rest and (folder / first).is_dir():
            folder, (first, *rest) = folder / first, rest
        file = folder / f"{first}.py"
        if file.exists():
            there = not rest or re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8"))
        else:
            package = folder / "__init__.py"
            there = (folder / first).is_dir() or re.search(rf"\b{first}\b", package.read_text(encoding="utf-8"))
        if not there:
            yield f"{path.relative_to(ROOT)}: {dots}{dotted}"


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in ROOT.glob("*/*.py")} - {"tests"}))
def test_every_module_that_a_docstring_names_exists(folder):
    files = (ROOT / folder).rglob("*.py")
    assert not [one for path in files for one in missing_modules(path, path.read_text(encoding="utf-8"))]


def test_modules_in_docstrings_are_found():
    path = ROOT / "core" / "learn" / "registry.py"
    right = ":func:`~..backbone.Backbone` and :mod:`.parts.losses`"
    wrong = ":func:`.parts.losses.no_such_loss` and :mod:`..nowhere`"
    missing = [f"{path.relative_to(ROOT)}: {name}" for name in (".parts.losses.no_such_loss", "..nowhere")]
    assert list(missing_modules(path, right + wrong)) == missing
