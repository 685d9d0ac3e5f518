"""JSON that people bring: bytes in any encoding that programs write, read into an object."""

import json
from pathlib import Path
from typing import Any

from ...core.files.json_texts import MAX_BYTES, BadJsonError, check_size, parse_text
from ...core.messages import plain

__all__ = ["BadJsonError", "check_size", "parse_json", "read_json", "read_limited"]


def read_json(path: Path, *, finite: bool = False) -> Any:
    """The object of a JSON file. Raises as :func:`parse_json` does, and ``OSError`` where the file cannot be read."""
    source = plain(str(path), 300)
    return parse_json(read_limited(path, source), source, finite=finite)


def read_limited(path: Path, source: str) -> bytes:
    """The bytes of a file, also of one that has no size and never ends. Raises as :func:`read_json` does."""
    path = Path(path)
    check_size(path.stat().st_size, source)
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    check_size(len(data), source)
    return data


def parse_json(data: bytes, source: str, *, finite: bool = False) -> Any:
    """The object of a JSON text.

    Args:
        data: in UTF-8, UTF-16 or UTF-32, with a byte order mark or without (Notepad and PowerShell write both).
        source: what errors call the text, a file's name for instance.
        finite: refuse NaN and infinite numbers, as :func:`~...core.files.json_texts.parse_text` does.

    Raises:
        BadJsonError: naming ``source``, for what is no text, and as :func:`~...core.files.json_texts.parse_text` does.
    """
    check_size(len(data), source)
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError as error:
        raise BadJsonError(
            f"{source} is not a JSON file: its text is neither UTF-8 nor UTF-16 ({error.reason})"
        ) from error
    return parse_text(text, source, finite=finite)
