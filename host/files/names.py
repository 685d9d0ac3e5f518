"""Names that come from people and become files."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from ...core.messages import shown

_RESERVED = frozenset(
    {"CON", "PRN", "AUX", "NUL"} | {f"{port}{digit}" for port in ("COM", "LPT") for digit in range(1, 10)}
)
_FORBIDDEN = '<>:"|?*'
_MAX_BYTES, _MAX_PARTS = 180, 8  # of a name that is made safe; a number may still be put behind it
_ENDING = re.compile(r"\.(?=(safetensors|pt|bin|ckpt)\Z)")


class BadNameError(ValueError):
    """A name that must not become a path."""


def safe_name(name: str, what: str = "file name") -> PurePosixPath:
    """A relative path made of plain names, safe on every system.

    Sub-folders are allowed (``portraits/anna``), with ``/`` or ``\\``.

    Raises:
        BadNameError: for an empty or absolute name, ``..``, a drive letter, control characters, characters or names
            that Windows reserves, parts that end in a dot or a space or are longer than 200 bytes.
    """
    parts = name.replace("\\", "/").split("/")
    for part in parts:
        problem = _problem_of(part)
        if problem:
            raise BadNameError(f"{what} {shown(name)} {problem}; use letters, digits, '-', '_' and '/' for sub-folders")
    return PurePosixPath(*parts)


def name_verdict(name: str | None, what: str = "file name") -> bool | str:
    """What a node's ``validate_inputs`` says of a name: True, or what is wrong; None (a linked input) passes."""
    try:
        safe_name("linked" if name is None else name, what)
    except BadNameError as error:
        return str(error)
    return True


def made_safe(name: str) -> str:
    """The nearest name that :func:`safe_name` takes; a safe one comes back as it is.

    For results that must not be lost because a name that arrived by a link is no good.
    """
    if name_verdict(name) is True:
        return name
    return _made_of_parts(name, lambda letter: letter.isprintable() and letter not in _FORBIDDEN)


def prompt_name(name: str) -> str:
    """The nearest name that every prompt can say, as ``embedding:name``, and that :func:`safe_name` takes.

    Letters of any script, digits, ``_ - +``, dots inside and ``/`` stay; anything else (spaces, commas, brackets,
    colons) is cut by some syntax, and becomes ``_``.
    """
    parts = _made_of_parts(
        unicodedata.normalize("NFC", name), lambda letter: letter.isalnum() or letter in "_-+." or _is_mark(letter)
    )
    return _ENDING.sub("_", parts)


def distinct(names: Iterable[str]) -> list[str]:
    """The names, numbered where one comes again; case makes no difference, as on many systems."""
    taken: set[str] = set()
    found = []
    for name in names:
        free, number = name, 1
        while free.casefold() in taken:
            number += 1
            free = f"{name}_{number}"
        taken.add(free.casefold())
        found.append(free)
    return found


def inside(folder: Path, name: str, what: str = "file name") -> Path:
    """The path of ``name`` in ``folder``; raises :class:`BadNameError` as :func:`safe_name` does."""
    return folder.joinpath(*safe_name(name, what).parts)


def existing(folder: Path, name: str, what: str = "file name") -> Path | None:
    """The file called ``name`` in ``folder``, whatever letters its system allows in names; None where there is none.

    Raises:
        BadNameError: for a name that is empty, absolute or leaves the folder.
    """
    slashes = name.replace("\\", "/")  # on Windows alone both are separators
    for spelt in (slashes,) if os.name == "nt" else dict.fromkeys((name, slashes)):
        parts = spelt.split("/")
        if any(part in ("", ".", "..") or _is_drive(part) for part in parts):
            raise BadNameError(f"{what} {shown(name)} is empty, absolute or would leave its folder")
        if any("\0" in part for part in parts):
            raise BadNameError(f"{what} {shown(name)} contains a control character")
        path = folder.joinpath(*parts)
        if is_file(path):
            return path
    return None


def is_file(path: Path) -> bool:
    """Whether there is such a file; for a name that no file can have, not an error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_drive(part: str) -> bool:
    return os.name == "nt" and ":" in part


def _problem_of(part: str) -> str | None:
    if part == "":
        return "is empty, absolute or has an empty part"
    if part in (".", ".."):
        return f"contains {shown(part)}, which would leave its folder"
    if any(ord(c) < 32 or ord(c) == 127 for c in part):
        return "contains a control character"
    if any(c in _FORBIDDEN for c in part):
        return f"contains one of {' '.join(_FORBIDDEN)} (a drive letter, perhaps)"
    if part[-1] in ". ":
        return "has a part that ends in a dot or a space"
    if part.split(".")[0].upper() in _RESERVED:
        return f"uses {shown(part)}, a name that Windows reserves"
    if not _is_whole(part):
        return "contains half of a character, which no file name can"
    if len(part.encode("utf-8", "surrogatepass")) > 200:
        return "has a part of more than 200 bytes"
    return None


def _is_whole(text: str) -> bool:
    """Whether the system can write a text; a lone half of a surrogate pair it cannot."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _is_mark(letter: str) -> bool:
    """Vowel signs and accents, without which several scripts cannot be spelt."""
    return unicodedata.category(letter).startswith("M")


def _made_of_parts(name: str, allowed: Callable[[str], bool]) -> str:
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(_made_part(part, allowed) for part in parts[-_MAX_PARTS:]) or "unnamed"


def _made_part(part: str, allowed: Callable[[str], bool]) -> str:
    made = "".join(letter if allowed(letter) else "_" for letter in part)
    if made != part:
        made = re.sub("__+", "_", made)
    made = made.encode("utf-8", "replace")[:_MAX_BYTES].decode("utf-8", "ignore")
    made = re.sub(r"\A\.|[. ]\Z", "_", made)
    stem, dot, ending = made.partition(".")
    return f"{stem}_{dot}{ending}" if stem.upper() in _RESERVED else made
