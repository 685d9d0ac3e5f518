"""What composed concepts look like: each concept with the picture that it comes from, and where it is there."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.messages import listed, shown
from ....core.types import Concepts
from ...pictures.concept_pictures import concept_masks, picture_for


@dataclass(frozen=True, eq=False)
class ComposedSource:
    """A concept in the picture that it comes from.

    Attributes:
        name: of the concept, without brackets.
        picture: (1, 3, H, W) in 0..1; concepts of one picture have the same tensor.
        mask: (H, W) bool.
    """

    name: str
    picture: Tensor
    mask: Tensor

    @property
    def whole(self) -> bool:
        """Whether the concept is the whole picture, as a style's example is."""
        return bool(self.mask.all())


def found_sources(picture: Tensor, concepts: Concepts) -> list[ComposedSource]:
    """The concepts that were found in a picture (1, 3, H, W), in their order.

    Raises ``ValueError`` for another picture, and for a concept without a pixel, naming it.
    """
    picture = picture_for(concepts, picture)
    masks = concept_masks(concepts, picture) > 0.5
    empty = [name for name, mask in zip(concepts.names, masks, strict=True) if not bool(mask.any())]
    if empty:
        raise ValueError(f"the mask of {listed(empty)} is empty; drop it with Edit Concepts")
    return [ComposedSource(name, picture, mask) for name, mask in zip(concepts.names, masks, strict=True)]


def further_sources(
    pictures: Tensor, masks: Tensor | None, names: Sequence[str], before: Sequence[str]
) -> list[ComposedSource]:
    """A concept of each of further pictures.

    Args:
        pictures: (S, 3, H, W) in 0..1.
        masks: (S, h, w) in 0..1, where the concept of each is; None where each is the whole picture.
        names: S names; empty numbers them on from the concepts before.
        before: names of the concepts before, which differ from these.

    Raises ``ValueError`` for another number of masks or names, an empty mask, and a name that is taken.
    """
    count = len(pictures)
    names = list(names) or [str(len(before) + number) for number in range(1, count + 1)]
    if len(names) != count:
        raise ValueError(f"source_names names {len(names)} concepts for {count} further_sources; give a name for each")
    taken = [name for number, name in enumerate(names) if name in before or name in names[:number]]
    if taken:
        raise ValueError(f"another concept is called {listed(taken)} too; write other names into source_names")
    if masks is None:
        masks = torch.ones(count, *pictures.shape[-2:])
    if len(masks) != count:
        raise ValueError(f"there are {len(masks)} source_masks for {count} further_sources; connect a mask for each")
    sized = interpolate(masks.float()[:, None], size=pictures.shape[-2:], mode="nearest")[:, 0] > 0.5
    empty = [name for name, mask in zip(names, sized, strict=True) if not bool(mask.any())]
    if empty:
        raise ValueError(f"the mask of {listed(empty)} in source_masks is empty; mark where the concept is")
    return [
        ComposedSource(name, picture[None], mask) for name, picture, mask in zip(names, pictures, sized, strict=True)
    ]


def in_order(sources: Sequence[ComposedSource], order: Sequence[str]) -> list[ComposedSource]:
    """The sources that ``order`` names, in that order: a name or a number from 1, in brackets or not. All, if empty.

    Raises ``ValueError`` for a name that no source has, and one that is written twice.
    """
    if not order:
        return list(sources)
    by_mark = {str(number): source for number, source in enumerate(sources, 1)}
    by_mark |= {source.name: source for source in sources}
    marks = [mark.strip("<> ") for mark in order]
    for number, mark in enumerate(marks):
        if mark not in by_mark:
            raise ValueError(f"order names {shown(mark)}, but the concepts are {listed(one.name for one in sources)}")
        if by_mark[mark] in [by_mark[one] for one in marks[:number]]:
            raise ValueError(f"order names {shown(mark)} twice; name each concept once")
    return [by_mark[mark] for mark in marks]
