"""``{one|other}`` and comments in prompts, which ComfyUI's page resolves before it sends a workflow."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from ...core.messages import listed, shown

MAX_NESTED = 50

_COMMENT = re.compile(r"/\*|//[^\n\r\u2028\u2029]*")
_LINE_COMMENT = re.compile(r"//[^\n\r\u2028\u2029]*")
_SIGN = re.compile(r"\\.?|[{}|]", re.DOTALL)
_ESCAPED = re.compile(r"\\([{}|])")
_BRACES = re.compile(r"(?<!\\)\{[^{}]*\}")


@dataclass(frozen=True)
class Resolved:
    """A prompt without alternatives and comments.

    Attributes:
        text: what is left.
        taken: for each ``{...}`` that was reached, outer ones first, its alternatives and the one that was taken.
        comments: how many comments were left out.
    """

    text: str
    taken: tuple[tuple[tuple[str, ...], str], ...] = ()
    comments: int = 0

    def describe(self) -> str:
        """What was decided, for people; empty where nothing was."""
        said = [
            f"of {shown('{' + '|'.join(options) + '}')} {shown(chosen)} was taken" for options, chosen in self.taken
        ]
        if self.comments:
            said.append("a comment was left out" if self.comments == 1 else f"{self.comments} comments were left out")
        return listed(said, letters=400)


def resolve_prompt(text: str, seed: str = "0") -> Resolved:
    """A prompt as ComfyUI's page sends it.

    ``/* */`` and ``//`` up to the line's end are left out; of each ``{one|other}`` one alternative is drawn evenly, and
    read in the same way again; ``\\{``, ``\\}`` and ``\\|`` are plain signs.

    Args:
        text: the prompt.
        seed: the same alternatives for the same seed.

    Raises ``ValueError`` for braces nested deeper than :data:`MAX_NESTED`.
    """
    text, comments = _without_comments(text)
    if _nesting(text) > MAX_NESTED:  # before any of the levels is read, each of which may be as long as the text
        raise ValueError(f"the prompt nests braces deeper than {MAX_NESTED}; put fewer alternatives into one another")
    taken: list[tuple[tuple[str, ...], str]] = []
    return Resolved(_read(text, random.Random(seed).choice, taken), tuple(taken), comments)


def has_alternatives(text: str) -> bool:
    """Whether a text has ``{one|other}`` in it."""
    return any("|" in found[0] for found in _BRACES.finditer(text))


def _read(text: str, choose: Callable[[list[str]], str], taken: list[tuple[tuple[str, ...], str]]) -> str:
    """The text with one alternative in place of each brace, adding to ``taken`` what was decided."""
    said, position = [], 0
    while (found := _SIGN.search(text, position)) is not None:
        said.append(text[position : found.start()])
        position = found.end()
        if found[0] == "{":
            options, position = _options(text, position)
            chosen = choose(options)
            taken.append((tuple(options), chosen))
            said.append(_read(chosen, choose, taken))
        else:
            said.append(found[0])
    return _ESCAPED.sub(r"\1", "".join([*said, text[position:]]))


def _without_comments(text: str) -> tuple[str, int]:
    """A text without comments, and how many there were.

    Not one pattern: at every ``/*`` that is never closed it would read on to the end of the text.
    """
    kept, count, position, opening = [], 0, 0, _COMMENT
    while (found := opening.search(text, position)) is not None:
        end = text.find("*/", found.end()) + 2 if found[0] == "/*" else found.end()
        if end == 1:  # no such end
            opening = _LINE_COMMENT
            continue
        kept.append(text[position : found.start()])
        count += 1
        position = end
    return "".join([*kept, text[position:]]), count


def _nesting(text: str) -> int:
    """How many braces are open at most at one place."""
    depth = most = 0
    for found in _SIGN.finditer(text):
        depth = depth + 1 if found[0] == "{" else max(depth - (found[0] == "}"), 0)
        most = max(most, depth)
    return most


def _options(text: str, start: int) -> tuple[list[str], int]:
    """The alternatives of a brace that opened before ``start``, and where the text goes on; it may never close."""
    options: list[str] = []
    depth, begin = 0, start
    for found in _SIGN.finditer(text, start):
        if found[0] == "{":
            depth += 1
        elif found[0] == "}" and depth == 0:
            return [*options, text[begin : found.start()]], found.end()
        elif found[0] == "}":
            depth -= 1
        elif found[0] == "|" and depth == 0:
            options.append(text[begin : found.start()])
            begin = found.end()
    return [*options, text[begin:]], len(text)
