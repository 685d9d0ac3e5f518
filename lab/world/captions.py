"""Captions: sentences that describe a scene, with several openings."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

OPENINGS = ("", "", "a photo of ", "a picture of ", "a drawing of ", "an image of ")
NUMBERS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Phrase:
    """What a caption may say of one object, or of ``number`` like ones.

    Attributes:
        again: it is another one of a kind that was named before.
        size: ``small`` or ``large``.
        place: where it stands, as in ``on the left``.
    """

    word: str
    style: str | None = None
    colour: str | None = None
    again: bool = False
    size: str | None = None
    place: str | None = None
    number: int = 1

    def __str__(self) -> str:
        word = self.word if self.number == 1 else plural(self.word)
        said = " ".join(part for part in (self.size, self.style, self.colour, word, self.place) if part)
        if self.number > 1:
            return f"{NUMBERS[self.number]} {said}"
        article = "another" if self.again else "an" if said[0] in "aeiou" else "a"
        return f"{article} {said}"


def plural(word: str) -> str:
    """The plural of a word of the world: ``cats``, ``foxes``, ``butterflies``."""
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


def join(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def write_caption(
    rng: random.Random,
    phrases: Sequence[Phrase],
    style: str | None = None,
    background: str | None = None,
    relation: str | None = None,
) -> str:
    """One caption.

    Args:
        phrases: what to say of each object, in the order said.
        style: a style shared by the whole scene, said once.
        background: as in ``blue`` or ``blue stripes``; None leaves it unsaid.
        relation: how the first of two stands to the second, as in ``above`` or ``left of``, said between them.
    """
    parts = [str(phrase) for phrase in phrases]
    caption = rng.choice(OPENINGS) + (f" {relation} ".join(parts) if relation else join(parts))
    if style is not None:
        caption += f" in {style} style"
    if background is not None:
        caption += f" on {background}"
    return caption
