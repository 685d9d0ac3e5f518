"""JSON that people bring: bytes in any encoding that programs write, read into an object."""

import json
from pathlib import Path
from typing import Any


class BadJsonError(ValueError):
    """A text that is no JSON; the message names the file and says what is wrong in one sentence."""


def read_json(path: Path) -> Any:
    """The object of a JSON file. Raises as :func:`parse_json` does, and ``OSError`` where the file cannot be read."""
    return parse_json(Path(path).read_bytes(), str(path))


def parse_json(data: bytes, source: str) -> Any:
    """The object of a JSON text.

    Args:
        data: in UTF-8, UTF-16 or UTF-32, with a byte order mark or without (Notepad and PowerShell write both).
        source: what errors call the text, a file's name for instance.

    Raises:
        BadJsonError: naming ``source``.
    """
    try:
        return json.loads(data)
    except UnicodeDecodeError as error:
        raise BadJsonError(
            f"{source} is no JSON file: its text is neither UTF-8 nor UTF-16 ({error.reason})"
        ) from error
    except json.JSONDecodeError as error:
        raise BadJsonError(f"{source} is no JSON file: {error}") from error
