"""Where things stand in ``core`` and ``host``, and that imports go one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core"
ROOMS = ("core", "host", "lab", "nodes", "training", "bench", "tools", "commands")
"""The folders of the pack that hold code, the lowest first. A file imports from its own and from those before it."""

FORBIDDEN = ("comfy", "comfy_api", "diffusers", "transformers", "PIL")
MAX_FILES = 25

LEVELS = {
    "core": (
        ("messages", "devices", "steps"),
        ("types", "settings", "assignment", "pictures"),
        ("schedule", "registry", "files", "encoding_checks", "weight_changes", "sample_weights", "fingerprints"),
        ("backbone",),
        ("attention", "clustering"),
        ("masks",),
        ("compose",),
        ("sampling",),
        ("learn", "localize", "attribute", "evaluate", "inversion"),
        ("erase",),
        ("explain",),
        ("attack", "data", "prompts", "recognise", "surgery"),
    ),
    "core/recognise": (
        (
            "parts",
            "soft_trim",
            "diverse",
            "heads",
            "captions",
            "impurity",
            "pixel_check",
            "segment",
            "embeddings",
            "energy",
        ),
        ("subjects", "zero_shot"),
        ("methods",),
        ("registry",),
    ),
    "core/attack": (
        ("figures", "detector"),
        ("parts",),
        ("scenario", "comparison"),
        ("scenarios",),
        ("registry",),
        ("run",),
    ),
    "core/explain": (
        ("activations", "parts", "probe", "separability"),
        ("bank", "recording"),
        ("naming", "locate", "finder", "scores", "importance", "labels", "recursion", "map_grade"),
        ("methods", "fidelity", "audit", "strategies"),
        ("registry",),
        ("attenuation", "bank_files", "sampled"),
        ("steering",),
    ),
    "core/data": (("mixture", "adaptive_weights"), ("caption_noise",)),
    "core/surgery": (
        ("sparse", "ranks", "curve", "begun"),
        ("skill",),
        ("traces",),
        ("localiser", "stitcher", "overlap", "skill_files", "heads", "probing"),
        ("refactor", "calibration"),
        ("methods", "overlaps"),
        ("registry",),
    ),
    "core/learn": (("parts",), ("engine",), ("methods",), ("registry",)),
    "core/localize": (("parts",), ("localizer", "match", "given_masks"), ("methods",), ("registry",)),
    "core/compose": (("wording",), ("composition", "guiders"), ("parts",), ("composer",), ("methods",), ("registry",)),
    "core/erase": (("parts",), ("eraser", "guards"), ("methods", "purifying"), ("registry",)),
    "host": (
        ("shared",),
        ("files",),
        ("schema",),
        ("pictures", "headless", "comfy"),
        ("adapters",),
        ("jobs", "workflow"),
    ),
}
"""Folder to what it holds, the lowest level first. A file imports from lower levels and from its own folder."""


def files_of(folder):
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports_of(path):
    """Modules that a file imports: dotted below the pack for our own, top-level names for others."""
    here = path.relative_to(ROOT).with_suffix("").parts[: -1 if path.name != "__init__.py" else None]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            base = list(here[: len(here) - (node.level - 1)]) + (node.module.split(".") if node.module else [])
            known = "/".join(base)
            inside = (ROOT / known).is_dir()
            yield from ([".".join([*base, alias.name]) for alias in node.names] if inside else [".".join(base)])


def level_of(folder, module):
    """The number of the level that a module of a folder is on, or None for one that is not in it."""
    prefix = folder.replace("/", ".") + "."
    if not module.startswith(prefix):
        return None
    first = module.removeprefix(prefix).split(".")[0]
    return next((number for number, level in enumerate(LEVELS[folder]) if first in level), None), first


@pytest.mark.parametrize("folder", LEVELS)
def test_everything_has_its_level(folder):
    there = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__", "__pycache__"} == {name for level in LEVELS[folder] for name in level}


@pytest.mark.parametrize("folder", LEVELS)
def test_imports_go_down(folder):
    upward = []
    for path in files_of(ROOT / folder):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module.endswith("__init__") or level_of(folder, module) is None:
            continue
        level, own = level_of(folder, module)
        for imported in imports_of(path):
            target = level_of(folder, imported)
            if target and (target[0] > level or (target[0] == level and target[1] != own)):
                upward.append(f"{module} imports {imported}")
    assert upward == []


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_rooms_below_them(room):
    above = ROOMS[ROOMS.index(room) + 1 :]
    upward = [(path.name, name) for path in files_of(ROOT / room) for name in imports_of(path)]
    assert [found for found in upward if found[1].split(".")[0] in (*above, "__main__")] == []


def test_every_folder_of_code_is_a_room():
    folders = {path.parent.name for path in ROOT.glob("*/*.py")} - {"tests"}
    assert folders == set(ROOMS)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_core_imports_nothing_of_hosts(name):
    for path in files_of(CORE):
        assert not [module for module in imports_of(path) if module.split(".")[0] == name], path


def test_learning_imports_nothing_of_localising():
    for path in files_of(CORE / "learn"):
        assert not [module for module in imports_of(path) if module.startswith("core.localize")], path


def test_no_folder_is_too_full_to_find_things_in():
    tops = [ROOT / name for name in ROOMS]
    inside = [path for top in tops for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    for folder in (*tops, *inside):
        assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MAX_FILES, folder


def test_every_method_has_a_file_of_its_name():
    from concept_atelier.core.erase.registry import METHODS as erasers
    from concept_atelier.core.learn.registry import METHODS as learners
    from concept_atelier.core.localize.registry import METHODS as localizers

    for family, methods in (("learn", learners), ("localize", localizers), ("erase", erasers)):
        files = {path.stem for path in (CORE / family / "methods").glob("*.py")} - {"__init__"}
        assert files == set(methods)


def test_tests_follow_the_tree():
    """A test of a file lies where the file lies, so that it is found by its path."""
    for path in (ROOT / "tests/core").rglob("test_*.py"):
        folder = CORE / path.parent.relative_to(ROOT / "tests/core")
        assert folder.is_dir(), f"{path} tests a folder that core does not have"
