"""What pictures of several concepts shall show: objects, their colours, boxes and style, named or as learnt tokens."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...core.backbone import Placeholders
from ...core.types import LowRank
from ...lab.judge.scenes import COLOURS
from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.captions import Phrase
from ...lab.world.scene import sample_kinds

COUNTS = (2, 3, 4)
CELLS = 16  # of the boxes, along a side
Box = tuple[int, int, int, int]
BOXES: Mapping[int, tuple[tuple[Box, ...], ...]] = {
    1: (((0, 0, 16, 16),),),
    2: (((0, 0, 16, 8), (0, 8, 16, 16)), ((0, 0, 8, 16), (8, 0, 16, 16))),
    3: (((0, 0, 8, 8), (0, 8, 8, 16), (8, 0, 16, 16)), ((0, 0, 8, 16), (8, 0, 16, 8), (8, 8, 16, 16))),
    4: (((0, 0, 8, 8), (0, 8, 8, 16), (8, 0, 16, 8), (8, 8, 16, 16)),),
}
"""Number of concepts to layouts, each a box (top, left, bottom, right) for every concept."""
TILES, SQUARES = "tiles", "squares"
SHAPES = (TILES, SQUARES)
"""Of boxes: as in :data:`BOXES`, which fill the picture, or the square in the middle of each."""


@dataclass(frozen=True)
class Wanted:
    """What a picture shall show.

    Attributes:
        kinds: the objects.
        colours: of each; None where none is said. Objects with a token were learnt in the drawing's own colours.
        boxes: of each.
        tokens: what prompts call each, in place of colour and name; none for words.
        placeholders: of these tokens.
        styles: of each, where one is said; none where no style is.
        whole: a style of the whole picture, a concept of its own that lies everywhere; None for none.
        adapters: a change of the model for each, by the names of weights; none where there are no such changes.
    """

    kinds: tuple[ObjectKind, ...]
    colours: tuple[str | None, ...]
    boxes: tuple[Box, ...]
    tokens: tuple[str, ...] = ()
    placeholders: Placeholders = field(default_factory=dict)
    styles: tuple[str | None, ...] = ()
    whole: str | None = None
    adapters: tuple[Mapping[str, LowRank], ...] = ()

    @property
    def texts(self) -> list[str]:
        """Each object with its style and colour, or its token."""
        if self.tokens:
            return list(self.tokens)
        looks = zip(self.kinds, self.styles or (None,) * len(self.kinds), self.colours, strict=True)
        return [str(Phrase(kind.name, style, colour)) for kind, style, colour in looks]

    @property
    def prompt(self) -> str:
        """All objects in one sentence, and the style of the whole picture."""
        things = f"a photo of {' and '.join(self.texts)}"
        return f"{things} {self.style_text}" if self.whole else things

    @property
    def style_text(self) -> str:
        """The style of the whole picture as captions of the world say it; empty for none."""
        return f"in {self.whole} style" if self.whole else ""

    @property
    def alike(self) -> bool:
        """Whether the objects are of one kind."""
        return len(self.kinds) > 1 and len({kind.name for kind in self.kinds}) == 1


def wanted(
    split: str, seed: int, index: int, alike: bool = False, pair: bool = False, shape: str = TILES
) -> tuple[Wanted, Wanted]:
    """The objects of a case, and one object alone; ``alike``: two of one kind in two colours; ``pair``: two objects in
    every case; ``shape``: of the boxes, of :data:`SHAPES`."""
    rng = random.Random(f"compose:{split}:{seed}:{index}")
    trained = load_atlas().of_split("train")
    count = 2 if pair else COUNTS[index % len(COUNTS)]
    kinds = sample_kinds(rng, split, count, unseen=False) if count < 4 else rng.sample(trained, count)
    if alike:
        count, kinds = 2, [kinds[0], kinds[0]]
    boxes = list(rng.choice(BOXES[count]))
    rng.shuffle(boxes)
    boxes = [square_in(box) for box in boxes] if shape == SQUARES else boxes
    several = Wanted(tuple(kinds), tuple(rng.sample(COLOURS, count)), tuple(boxes))
    return several, Wanted((rng.choice(trained),), (rng.choice(COLOURS),), BOXES[1][0])


def square_in(box: Box) -> Box:
    """The largest square in the middle of a box."""
    top, left, bottom, right = box
    side = min(bottom - top, right - left)
    top, left = (top + bottom - side) // 2, (left + right - side) // 2
    return top, left, top + side, left + side


def one_styled(split: str, seed: int, index: int) -> Wanted:
    """Two objects, one of which is said to have a style that objects do not have by themselves."""
    rng, atlas = random.Random(f"one styled:{split}:{seed}:{index}"), load_atlas()
    kinds = sample_kinds(rng, split, 2, unseen=False)
    styles = [rng.choice([style for style in atlas.styles if style != atlas.styles[0]]), None]
    rng.shuffle(styles)
    return Wanted(tuple(kinds), (None, None), rng.choice(BOXES[2]), styles=tuple(styles))


def in_a_style(asked: Wanted, split: str, seed: int, index: int) -> Wanted:
    """The same objects in their own colours, and a style of the whole picture that objects do not have by
    themselves."""
    styles = load_atlas().styles[1:]
    style = random.Random(f"compose styled:{split}:{seed}:{index}").choice(styles)
    return replace(asked, colours=(None,) * len(asked.kinds), whole=style)


def mask_of(box: Box) -> Tensor:
    """(16, 16) of ones inside a box."""
    top, left, bottom, right = box
    mask = torch.zeros(CELLS, CELLS)
    mask[top:bottom, left:right] = 1
    return mask
