"""Registries: methods register in their own files, and a registry lists these files, one line each."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from .messages import shown


def collect(package: str | None, attribute: str, *modules: str) -> Mapping[str, Any]:
    """The records that modules define, by their names, in the order given.

    Args:
        package: the package that the modules are in (``__package__`` of the caller).
        attribute: what a module calls its record, such as ``METHOD``.
        modules: paths below the package, such as ``methods.far``.

    Raises ``ValueError`` for two records of one name.
    """
    records: dict[str, Any] = {}
    for module in modules:
        record = getattr(import_module(f".{module}", package), attribute)
        if record.name in records:
            raise ValueError(f"{module} and another module both define a record called {shown(record.name)}")
        records[record.name] = record
    return MappingProxyType(records)
