"""What people gave, as error messages show it: short, printable, and never an error of its own.

Names, titles and values may come from anywhere: a megabyte long, with control characters that move a terminal's
cursor, with halves of characters that no encoding writes, with numbers that Python refuses to print. Every message that
repeats such a text takes it from here.
"""

import reprlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

MAX_SHOWN = 20
"""Entries of a list, or problems of a workflow, that one message names."""

MAX_LETTERS = 80

_JOINERS = "\u200c\u200d"  # invisible, and part of the spelling of several languages and of emoji


class _Short(reprlib.Repr):
    """Like ``repr``, of bounded length and depth for values of any size."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxlong, self.maxother = 3, letters, letters, letters

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 1000:  # Python itself prints no number of more than 4300 digits
            return f"a whole number of about {int(x.bit_length() * 0.30103)} digits"
        return repr(x)


def shown(value: Any, letters: int = MAX_LETTERS) -> str:
    """A value as Python writes it, texts in quotes, in at most ``letters`` characters; the middle is left out."""
    return _cut(_Short(letters).repr(value), letters)


def plain(text: Any, letters: int = MAX_LETTERS) -> str:
    """A text without quotes: what is not printable is escaped, and the middle of a long one is left out."""
    return _cut(_escaped(text if isinstance(text, str) else shown(text, letters), letters), letters)


def listed(entries: Iterable[Any], most: int = MAX_SHOWN, letters: int = MAX_LETTERS) -> str:
    """Entries separated by commas, each as :func:`plain` gives it; after ``most`` of them how many more there are."""
    waiting = iter(entries)
    first = [plain(entry, letters) for entry in islice(waiting, most)]
    more = sum(1 for _ in waiting)
    return ", ".join(first) + (f" and {more} more" if more else "")


def counted(number: int, thing: str) -> str:
    """A number with its noun, which takes an s: ``1 picture``, ``3 pictures``."""
    return f"{number} {thing}" + "s" * (number != 1)


def there_are(*counts: tuple[int, str]) -> str:
    """``there is 1 picture and 3 captions``: numbers with their nouns, and the verb that goes with the first."""
    *most, last = [counted(number, thing) for number, thing in counts]
    verb = "is" if counts[0][0] == 1 else "are"
    return f"there {verb} {', '.join(most)} and {last}" if most else f"there {verb} {last}"


def first_of(lines: Sequence[str], most: int = MAX_SHOWN) -> list[str]:
    """The first lines of many, each as :func:`paragraph` gives it, and one that says how many more there are."""
    more = len(lines) - most
    return [paragraph(line) for line in lines[:most]] + ([f"and {more} more"] if more > 0 else [])


def paragraph(text: str, letters: int = 2000) -> str:
    """A whole message: line breaks stay, everything else is as in :func:`plain`."""
    return _cut(_escaped(text, letters, kept="\n"), letters)


def printable(text: str) -> str:
    """A text of any length for a terminal: line breaks and tabs stay, what else is not printable is escaped."""
    return "".join(letter if _printable(letter, "\n\t") else _escape(letter) for letter in text)


def _escaped(text: str, letters: int, kept: str = "") -> str:
    """The text, or the two ends of it that may be shown, without what is not printable."""
    ends = text if len(text) <= 2 * letters else f"{text[:letters]}{text[-letters:]}"
    return "".join(letter if _printable(letter, kept) else _escape(letter) for letter in ends)


def _printable(letter: str, kept: str) -> bool:
    return letter.isprintable() or letter in kept or letter in _JOINERS


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def _cut(text: str, letters: int) -> str:
    if len(text) <= letters:
        return text
    tail = letters // 4
    return f"{text[: letters - tail - 3]}...{text[-tail:]}"
