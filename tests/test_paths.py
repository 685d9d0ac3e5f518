"""Documents, and the comments of the page's scripts, name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["bench", "commands", "core", "docs", "host", "lab", "nodes", "results", "tests", "tools", "training", "web"]
NAMED = re.compile(rf"(?<![\w./<(-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w(?![\w<*]|/?<)")
"""A path from the root of the repository, as in ``core/backbone.py`` or ``lab/weights``; links and patterns are not."""

READ = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "web" / "js").glob("*.js")]


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path):
    named = set(NAMED.findall(path.read_text(encoding="utf-8")))
    assert not sorted(name for name in named if not (ROOT / name).exists())


def test_paths_are_found():
    text = "see `core/backbone.py`, lab/weights/ and tests/test_*.py, or [the lab](lab/objects.jpg)"
    assert NAMED.findall(text) == ["core/backbone.py", "lab/weights"]
