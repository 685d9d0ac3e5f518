"""Where concepts of some pictures are in others, how often, and in which colour, by the judge."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize

from ...core.evaluate.composition import Attributes, Sighting
from ..world.atlas import load_atlas
from .judge import Judge, Reading
from .scenes import COLOURS

SURE = 0.6
"""Mean probability of a kind in a concept's mask from which the judge knows the concept."""
JUDGE = "the lab's judge"
COLOUR_NAMES = ("its usual colours", *COLOURS)
"""In the order of the judge's; an object without a tint has the colours of its icon."""


def see_concepts(
    judge: Judge, sources: Sequence[tuple[Tensor, Tensor]], pictures: Tensor, styles: Tensor | None = None
) -> Sighting | None:
    """What the judge sees of K concepts; None where it does not know one of them.

    Of concepts of one kind, such as two cats, each cell belongs to that which it is most like. The attribute of a thing
    is its colour, and that of a style its name.

    Args:
        judge: which reads the pictures.
        sources: K of them: the picture (1, 3, H, W) in 0..1 that a concept is in, and its mask (H, W) there.
        pictures: (P, 3, h, w) in 0..1.
        styles: (K,) bool, the concepts that are styles; none without it. These have empty maps and counts of 0.
    """
    style = [False] * len(sources) if styles is None else styles.tolist()
    read = [judge.look(picture) for picture, _ in sources]
    shares = [_on_cells(mask, one) for (_, mask), one in zip(sources, read, strict=True)]
    kinds = [None if s else _kind(one, share) for one, share, s in zip(read, shares, style, strict=True)]
    if any(kind is None and not s for kind, s in zip(kinds, style, strict=True)):
        return None
    looks = torch.cat([one.describe(share) for one, share in zip(read, shares, strict=True)])  # (K, D)
    seen = judge.look(pictures)
    maps, counts = _places(seen, kinds, looks)
    own, rows = [], []
    for number, (one, share, kind) in enumerate(zip(read, shares, kinds, strict=True)):
        own.append(_style(one, 0) if kind is None else _colour(one, 0, share[0] * one.objects[0, kind]))
        every = range(len(pictures))
        rows.append(
            tuple(_style(seen, row) if kind is None else _colour(seen, row, maps[number, row]) for row in every)
        )
    return Sighting(counts, maps.float(), Attributes(tuple(own), tuple(rows), tuple(own), JUDGE))


def _places(seen: Reading, kinds: Sequence[int | None], looks: Tensor) -> tuple[Tensor, Tensor]:
    """(K, P, h, w) bool: the cells of each concept, and (K, P) how often it is there."""
    count, pictures = len(kinds), len(seen.objects)
    cells = torch.zeros(count, pictures, *seen.objects.shape[-2:], dtype=torch.bool)
    counts = torch.zeros(count, pictures, dtype=torch.long)
    for kind in {kind for kind in kinds if kind is not None}:
        own = [number for number, one in enumerate(kinds) if one == kind]
        alike = torch.einsum("kd,bdhw->bkhw", looks[own], normalize(seen.features, dim=1))
        nearest = avg_pool2d(alike, 3, stride=1, padding=1, count_include_pad=False).argmax(1)  # (P, h, w)
        for row in range(pictures):
            for place, number in enumerate(own):
                found = seen.things_of(kind, row, nearest[row] == place)
                counts[number, row] = len(found)
                if found:
                    cells[number, row] = torch.stack(found).any(0)
    return cells, counts


def _on_cells(mask: Tensor, reading: Reading) -> Tensor:
    """(1, h, w) which share of each cell a mask covers."""
    return interpolate(mask[None, None].float(), size=reading.objects.shape[-2:], mode="area")[0]


def _kind(reading: Reading, share: Tensor) -> int | None:
    """The kind that a concept is of; None where the judge is not sure of any."""
    means = (reading.objects[0] * share).sum((1, 2)) / share.sum().clamp_min(1e-6)  # (K + 1,)
    likeliest = int(means.argmax())
    known = likeliest < len(means) - 1 and float(means[likeliest]) >= SURE
    return likeliest if known else None


def _colour(reading: Reading, row: int, weight: Tensor) -> str | None:
    """The colour of a picture's cells with a weight (h, w); None where all weights are zero."""
    if not bool((weight > 0).any()):
        return None
    return COLOUR_NAMES[int((reading.colours[row] * weight).sum((1, 2)).argmax())]


def _style(reading: Reading, row: int) -> str | None:
    """The style of everything that the judge knows in a picture; None where it knows nothing."""
    likeliest = reading.objects[row].argmax(0)  # (h, w)
    known = likeliest < len(reading.objects[row]) - 1
    if not bool(known.any()):
        return None
    return load_atlas().styles[int((reading.styles[row] * known).sum((1, 2)).argmax())]
