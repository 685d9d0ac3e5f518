"""Dataclasses that hold tensors compare by identity: by value, ``==`` and ``in`` end in an error of torch's."""

import builtins
import dataclasses
import importlib
import pkgutil
import sys
import typing

import pytest
from torch import Tensor

import concept_atelier.core
import concept_atelier.host
import concept_atelier.nodes


def dataclasses_of(package):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(found.name)
        for kind in vars(module).values():
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__:
                yield kind


def holds_tensors(kind, around=()):
    """Whether a type is a tensor or has one inside, in a container or a field."""
    if kind is Tensor:
        return True
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return kind not in around and any(holds_tensors(inside, (*around, kind)) for inside in fields_of(kind))
    return any(holds_tensors(inside, around) for inside in typing.get_args(kind))


class Names(dict):
    """A module's names; those that only a type checker imports stand for anything."""

    def __missing__(self, name):
        return getattr(builtins, name, object)


def fields_of(kind):
    hints = typing.get_type_hints(kind, localns=Names(vars(sys.modules[kind.__module__])))
    return [hints[field.name] for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("package", [concept_atelier.core, concept_atelier.host, concept_atelier.nodes])
def test_dataclasses_with_tensors_compare_by_identity(package):
    by_value = [
        f"{kind.__module__}.{kind.__name__}"
        for kind in dataclasses_of(package)
        if holds_tensors(kind) and kind.__eq__ is not object.__eq__
    ]
    assert by_value == [], "give them eq=False"


def test_the_rule_sees_what_socket_values_hold():
    types, captures = (
        importlib.import_module(f"concept_atelier.{name}") for name in ("core.types", "host.shared.captures")
    )
    found = {
        kind
        for module in (types, captures)
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and holds_tensors(kind)
    }
    named = {kind.__name__ for kind in found}
    assert {"Concepts", "ConceptTokens", "Erasure", "Run", "AttentionCapture", "CapturedPart"} <= named
