"""Names that come from people and become files."""

from pathlib import Path, PurePosixPath

_RESERVED = frozenset(
    {"CON", "PRN", "AUX", "NUL"} | {f"{port}{digit}" for port in ("COM", "LPT") for digit in range(1, 10)}
)
_FORBIDDEN = '<>:"|?*'


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
            raise BadNameError(f"{what} {name!r} {problem}; use letters, digits, '-', '_' and '/' for sub-folders")
    return PurePosixPath(*parts)


def name_verdict(name: str | None, what: str = "file name") -> bool | str:
    """What a node's ``validate_inputs`` says of a name: True, or what is wrong; None (a linked input) passes."""
    try:
        safe_name("linked" if name is None else name, what)
    except BadNameError as error:
        return str(error)
    return True


def inside(folder: Path, name: str, what: str = "file name") -> Path:
    """The path of ``name`` in ``folder``; raises :class:`BadNameError` as :func:`safe_name` does."""
    return folder.joinpath(*safe_name(name, what).parts)


def _problem_of(part: str) -> str | None:
    if part == "":
        return "is empty, absolute or has an empty part"
    if part in (".", ".."):
        return f"contains {part!r}, which would leave its folder"
    if any(ord(c) < 32 or ord(c) == 127 for c in part):
        return "contains a control character"
    if any(c in _FORBIDDEN for c in part):
        return f"contains one of {' '.join(_FORBIDDEN)} (a drive letter, perhaps)"
    if part[-1] in ". ":
        return "has a part that ends in a dot or a space"
    if part.split(".")[0].upper() in _RESERVED:
        return f"uses {part!r}, a name that Windows reserves"
    if len(part.encode("utf-8", "surrogatepass")) > 200:
        return "has a part of more than 200 bytes"
    return None
