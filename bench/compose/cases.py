"""What pictures of several concepts shall show: objects, their colours and boxes, named or as learnt tokens."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...core.backbone import Backbone, Placeholders
from ...core.learn.registry import METHODS
from ...lab.judge.scenes import COLOURS
from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.captions import Phrase
from ...lab.world.scene import sample_kinds
from ..cases import composed_case
from ..drawing import SIDE
from ..learn.learn import true_concepts

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


@dataclass(frozen=True)
class Wanted:
    """What a picture shall show.

    Attributes:
        kinds: the objects.
        colours: of each; None where the picture that it was learnt from decides.
        boxes: of each.
        tokens: what prompts call each, in place of colour and name; none for words.
        placeholders: of these tokens.
        styles: of each, where one is said; none where no style is.
    """

    kinds: tuple[ObjectKind, ...]
    colours: tuple[str | None, ...]
    boxes: tuple[Box, ...]
    tokens: tuple[str, ...] = ()
    placeholders: Placeholders = field(default_factory=dict)
    styles: tuple[str | None, ...] = ()

    @property
    def texts(self) -> list[str]:
        """Each object with its style and colour, or its token."""
        if self.tokens:
            return list(self.tokens)
        looks = zip(self.kinds, self.styles or (None,) * len(self.kinds), self.colours, strict=True)
        return [str(Phrase(kind.name, style, colour)) for kind, style, colour in looks]

    @property
    def prompt(self) -> str:
        """All objects in one sentence."""
        return f"a photo of {' and '.join(self.texts)}"

    @property
    def alike(self) -> bool:
        """Whether the objects are of one kind."""
        return len(self.kinds) > 1 and len({kind.name for kind in self.kinds}) == 1


def wanted(split: str, seed: int, index: int, alike: bool = False) -> tuple[Wanted, Wanted]:
    """The objects of a case, and one object alone; ``alike``: two of one kind in two colours."""
    rng = random.Random(f"compose:{split}:{seed}:{index}")
    trained = load_atlas().of_split("train")
    count = COUNTS[index % len(COUNTS)]
    kinds = sample_kinds(rng, split, count, unseen=False) if count < 4 else rng.sample(trained, count)
    if alike:
        count, kinds = 2, [kinds[0], kinds[0]]
    boxes = list(rng.choice(BOXES[count]))
    rng.shuffle(boxes)
    several = Wanted(tuple(kinds), tuple(rng.sample(COLOURS, count)), tuple(boxes))
    return several, Wanted((rng.choice(trained),), (rng.choice(COLOURS),), BOXES[1][0])


def one_styled(split: str, seed: int, index: int) -> Wanted:
    """Two objects, one of which is said to have a style that objects do not have by themselves."""
    rng, atlas = random.Random(f"one styled:{split}:{seed}:{index}"), load_atlas()
    kinds = sample_kinds(rng, split, 2, unseen=False)
    styles = [rng.choice([style for style in atlas.styles if style != atlas.styles[0]]), None]
    rng.shuffle(styles)
    return Wanted(tuple(kinds), (None, None), rng.choice(BOXES[2]), styles=tuple(styles))


def learnt(backbone: Backbone, asked: Wanted, seed: int) -> tuple[Wanted, Wanted]:
    """The case with a token for each object in place of its name, learnt from one picture of all of them in its own
    colours (ConceptExpress, ``small``, true masks); and the first of them alone."""
    rng = random.Random(f"compose learnt:{seed}")
    styles = [load_atlas().styles[0]] * len(asked.kinds)
    case = composed_case(rng, asked.kinds, styles, seed, (SIDE, SIDE))
    concepts, order = true_concepts(backbone, case)
    method = METHODS["conceptexpress"]
    tokens = method.learn(backbone, case.picture, concepts, method.preset("small"), seed=seed)
    by_kind = {case.names[number]: name for name, number in zip(concepts.names, order, strict=True)}
    names = tuple(f"<{by_kind[kind.name]}>" for kind in asked.kinds)
    nothing = (None,) * len(names)
    several = replace(asked, colours=nothing, tokens=names, placeholders=tokens.placeholders())
    return several, replace(several, kinds=asked.kinds[:1], colours=(None,), boxes=BOXES[1][0], tokens=names[:1])


def mask_of(box: Box) -> Tensor:
    """(16, 16) of ones inside a box."""
    top, left, bottom, right = box
    mask = torch.zeros(CELLS, CELLS)
    mask[top:bottom, left:right] = 1
    return mask
