"""Checks of another program's inside, on a small one made for it."""

import sys
from types import ModuleType

import pytest

from concept_atelier.host.comfy.internals import Internal, changes, comfyui_version


class Tokenizer:
    names = ("a", "b")

    def find(self, text, *, deep=False):
        if deep:
            return [part for part in self.names if part == "mark"]
        return text.split()


@pytest.fixture
def program(monkeypatch, tmp_path):
    """A package ``otherprogram`` with a module that is imported and one that is not."""
    package, module = ModuleType("otherprogram"), ModuleType("otherprogram.text")
    package.__path__ = [str(tmp_path)]
    (tmp_path / "later.py").write_text("raise AssertionError('it was imported')\n")
    package.text, module.Tokenizer = module, Tokenizer
    monkeypatch.setitem(sys.modules, "otherprogram", package)
    monkeypatch.setitem(sys.modules, "otherprogram.text", module)
    return package


def change(path, **given):
    return Internal(path, "it is read", ("LearnConceptTokens",), **given).change()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"called": "self, text"},
        {"called": "self, text, deep="},
        {"uses": ("names", "mark", "split")},
    ],
    ids=str,
)
def test_what_is_as_expected(program, given):
    assert change("otherprogram.text:Tokenizer.find", **given) is None


@pytest.mark.parametrize(
    ("path", "given", "said"),
    [
        ("otherprogram.text:Tokenizer.seek", {}, "is gone"),
        ("otherprogram.text:Reader.find", {}, "is gone: there is no otherprogram.text.Reader"),
        ("otherprogram.gone:Tokenizer", {}, "is gone: there is no otherprogram.gone"),
        ("nowhere.at:all", {}, "is gone: there is no nowhere.at"),
        ("otherprogram.text:Tokenizer.find", {"called": "self, text, deep"}, "too many positional arguments"),
        ("otherprogram.text:Tokenizer.find", {"called": "self, text, wide="}, "unexpected keyword argument 'wide'"),
        ("otherprogram.text:Tokenizer.find", {"called": "self"}, "missing a required argument: 'text'"),
        ("otherprogram.text:Tokenizer.find", {"uses": ("names", "marks")}, "no longer uses marks"),
    ],
)
def test_what_has_changed_is_reported(program, path, given, said):
    assert said in change(path, **given)


def test_a_module_that_is_not_imported_stays_so(program):
    assert change("otherprogram.later:Anything") is None
    assert "otherprogram.later" not in sys.modules


def test_only_changes_are_listed(program):
    items = [Internal(f"otherprogram.text:Tokenizer.{name}", "it is read", ()) for name in ("find", "seek")]
    assert changes(items) == [(items[1], "is gone")]


def test_the_version_is_read_where_it_is_known(monkeypatch):
    monkeypatch.delitem(sys.modules, "comfyui_version", raising=False)
    assert comfyui_version() == "this ComfyUI"
    module = ModuleType("comfyui_version")
    module.__version__ = "9.8.7"
    monkeypatch.setitem(sys.modules, "comfyui_version", module)
    assert comfyui_version() == "ComfyUI 9.8.7"
