"""What stands in the metadata of safetensors files, read as what it should be.

Metadata are texts, and a file may come from anywhere: each reader raises :class:`.json_texts.BadJsonError`, which names
the file, the entry, what it holds and what was expected.
"""

import math
from collections.abc import Mapping
from typing import Any

from ..messages import shown
from .json_texts import BadJsonError, a_list, a_map, a_text, a_whole, parse_text


def json_in(metadata: Mapping[str, str], key: str, file: str) -> Any:
    """The JSON value of an entry; a missing one is refused as well."""
    if key not in metadata:
        raise BadJsonError(f"{file} lacks {key} in its metadata; save it again")
    return parse_text(metadata[key], _where(key, file))


def map_in(metadata: Mapping[str, str], key: str, file: str) -> Mapping[str, Any]:
    """An entry that is a map."""
    return a_map(json_in(metadata, key, file), _where(key, file))


def texts_in(metadata: Mapping[str, str], key: str, file: str) -> list[str]:
    """An entry that is a list of texts."""
    where = _where(key, file)
    return [a_text(one, f"an entry of {where}") for one in a_list(json_in(metadata, key, file), where)]


def numbers_in(metadata: Mapping[str, str], key: str, file: str) -> list[float]:
    """An entry that is a list of finite numbers."""
    where = _where(key, file)
    return [a_number(one, f"an entry of {where}") for one in a_list(json_in(metadata, key, file), where)]


def number_in(metadata: Mapping[str, str], key: str, file: str, default: float) -> float:
    """An entry that is a finite number; ``default`` where the file has none."""
    return a_number(json_in(metadata, key, file), _where(key, file)) if key in metadata else default


def whole_in(metadata: Mapping[str, str], key: str, file: str) -> int:
    """An entry that is a whole number."""
    return a_whole(json_in(metadata, key, file), _where(key, file))


def a_number(value: Any, where: str) -> float:
    """The value, when it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadJsonError(f"{where} is {shown(value)}, expected a finite number")
    return float(value)


def _where(key: str, file: str) -> str:
    return f"{key} in the metadata of {file}"
