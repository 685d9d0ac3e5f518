"""Names of pictures, as nodes take them and reports use them."""

from collections.abc import Sequence
from typing import Any

from ..core.messages import plain
from ..host.jobs.recognise.subjects import names_for
from ..host.schema import io


def names_input() -> Any:
    """Names of the pictures, which may be written, too."""
    return io.String.Input(
        "names",
        default="",
        multiline=True,
        optional=True,
        tooltip=(
            "Names of the pictures, one per line: NAMES of Load Picture Folder. Without them the pictures are numbered."
        ),
    )


def names_socket(unnamed: str = "the pictures are numbered") -> Any:
    """Names of the pictures by a link alone, which takes no room of a text on the node; ``unnamed`` says what happens
    without one."""
    return io.String.Input(
        "names",
        default="",
        optional=True,
        force_input=True,
        tooltip=f"Names of the pictures, one per line: NAMES of Load Picture Folder. Without them {unnamed}.",
    )


def given_names(text: str) -> list[str]:
    """The lines of an input ``names`` that are not empty."""
    return [line for line in text.splitlines() if line.strip()]


def names_of(text: str, count: int) -> list[str]:
    """A name for each of so many pictures: the lines of an input ``names``, or numbers where it is empty.

    Raises ``ValueError`` for another number of lines.
    """
    return names_for(count, given_names(text))


def line_each(names: Sequence[str], said: Sequence[str]) -> str:
    """A report with a line for each picture."""
    return "\n".join(f"{plain(name)}: {line}" for name, line in zip(names, said, strict=True))
