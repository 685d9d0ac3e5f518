"""Captions: what is in a scene, said in a few ways."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

OPENINGS = ("", "", "a photo of ", "a picture of ", "a drawing of ", "an image of ")


@dataclass(frozen=True)
class Phrase:
    """What a caption may say of one object; ``again``: it is another one of a kind that was named before."""

    word: str
    style: str | None = None
    colour: str | None = None
    again: bool = False

    def __str__(self) -> str:
        said = " ".join(part for part in (self.style, self.colour, self.word) if part)
        article = "another" if self.again else "an" if said[0] in "aeiou" else "a"
        return f"{article} {said}"


def join(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def write_caption(
    rng: random.Random, phrases: Sequence[Phrase], style: str | None = None, background: str | None = None
) -> str:
    """One caption.

    Args:
        phrases: what to say of each object, in the order said.
        style: a style shared by the whole scene, said once.
        background: as in ``blue`` or ``blue stripes``; None leaves it unsaid.
    """
    caption = rng.choice(OPENINGS) + join([str(phrase) for phrase in phrases])
    if style is not None:
        caption += f" in {style} style"
    if background is not None:
        caption += f" on {background}"
    return caption
