import sys
from types import ModuleType, SimpleNamespace

import pytest

from concept_atelier.core.registry import collect


@pytest.fixture
def package(monkeypatch):
    """A package of two modules, each with a record."""
    name = "made_up"
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for module, record in (("one", "b"), ("two", "a"), ("three", "a")):
        made = ModuleType(f"{name}.{module}")
        made.METHOD = SimpleNamespace(name=record)
        monkeypatch.setitem(sys.modules, f"{name}.{module}", made)
    return name


def test_records_come_by_name_in_the_order_of_the_modules(package):
    assert list(collect(package, "METHOD", "one", "two")) == ["b", "a"]


def test_two_records_of_one_name_are_refused(package):
    with pytest.raises(ValueError, match="three and another module both define a record called 'a'"):
        collect(package, "METHOD", "two", "three")
