"""Pixel checks for people: what scores pictures, and whether hiding a region lowers the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.explain.activations import Activations, Origin
from ....core.explain.bank import ConceptBank
from ....core.explain.registry import encode
from ....core.messages import counted, listed, plain, shown, there_are
from ....core.recognise.heads.head import ConceptHead
from ....core.recognise.pixel_check import PixelCheck, Score
from ....core.recognise.soft_trim import TrimSettings
from ...pictures.drawing import colour_of
from ..contact_sheet import Caption, Row, contact_sheet
from ..vision import record_encoder
from .heads import source_of
from .prompts import TEMPLATE, judge, read_classes

MOST_SHOWN, PROMPTS, SHARED = 16, 16, 0.25
"""Pictures on a sheet, prompts of a class, and the share of a region from which the other pixels are much the same."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """What gives pictures (P, 3, H, W) scores (P, C), and the names of these."""

    score: Score
    names: tuple[str, ...]


def scorer_of(clip_vision: Any, clip: Any, head: ConceptHead | None, bank: ConceptBank | None, classes: str) -> Scorer:
    """What is checked: a head, a bank, or classes with concepts.

    Raises ``ValueError`` where none of the three or more than one is given, for a head or a bank of a denoiser, and
    for classes without the text encoder.
    """
    given = [name for name, one in (("head", head), ("bank", bank), ("classes", classes.strip())) if one]
    if len(given) != 1:
        raise ValueError(
            f"connect a head or a bank, or write classes, one of the three; got {listed(given) or 'none of them'}"
        )
    if head is not None:
        return Scorer(_by_head(head, clip_vision), head.classes)
    if bank is not None:
        return Scorer(_by_bank(bank, clip_vision), bank.names)
    if clip is None:
        raise ValueError("classes are judged by words: connect the CLIP that was trained with the picture encoder")
    named = read_classes(classes)

    def score(pictures: Tensor) -> Tensor:
        judged = judge(clip_vision, clip, pictures, named, TEMPLATE, 1, PROMPTS, TrimSettings())
        return judged.found.probabilities

    return Scorer(score, tuple(named))


def _by_head(head: ConceptHead, clip_vision: Any) -> Score:
    source = source_of(head, clip_vision)

    def score(pictures: Tensor) -> Tensor:
        activations = None if head.bank is None else _recorded(clip_vision, pictures, head.bank.origin)
        return head.judge(source.read(pictures, activations)).probabilities

    return score


def _by_bank(bank: ConceptBank, clip_vision: Any) -> Score:
    return lambda pictures: encode(bank, _recorded(clip_vision, pictures, bank.origin)).scores()


def _recorded(clip_vision: Any, pictures: Tensor, origin: Origin) -> Activations:
    if origin.kind != "encoder":
        raise ValueError(
            f"these ingredients are those of {origin.title}, and hidden pictures are read by a picture encoder; use "
            "activations of a CLIP_VISION"
        )
    return record_encoder(clip_vision, pictures, origin.site)


def masks_for(masks: Tensor, pictures: Tensor) -> Tensor:
    """Masks (N, h, w) at the size of pictures (P, 3, H, W); one mask is that of all.

    Raises ``ValueError`` for another number.
    """
    if len(masks) not in (1, len(pictures)):
        counts = there_are((len(pictures), "picture"), (len(masks), "mask"))
        raise ValueError(f"{counts}; give one for each picture, or one for all")
    size = (int(pictures.shape[-2]), int(pictures.shape[-1]))
    return interpolate(masks[:, None], size, mode="area")[:, 0].expand(len(pictures), -1, -1)


def columns_of(found: PixelCheck, names: Sequence[str], by: str) -> Tensor:
    """(P,) the score that is checked of each picture: that of a name, or the highest one.

    Raises ``ValueError`` for a name that there is not.
    """
    if by and by not in names:
        raise ValueError(f"there is no {shown(by)} to check; there are {listed(names)}")
    return torch.full((len(found.before),), names.index(by)) if by else found.before.argmax(1)


def check_report(found: PixelCheck, names: Sequence[str], columns: Tensor, called: Sequence[str]) -> str:
    """How many pictures pass, and a line for each, by what they are ``called``; whole sentences."""
    rows = torch.arange(len(columns))
    passes = found.passes[rows, columns]
    lines = [
        f"In {int(passes.sum())} of {counted(len(passes), 'picture')} the score falls when the region is hidden, and "
        "further than when as many other pixels are."
    ]
    each = zip(called, columns.tolist(), strict=True)
    lines += [f"{one}, {_said(found, names, number, column)}" for number, (one, column) in enumerate(each)]
    return "\n".join(lines)


def check_sheet(
    found: PixelCheck, pictures: Tensor, names: Sequence[str], columns: Tensor, called: Sequence[str]
) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each picture: as it is, with the region hidden, and with other pixels hidden."""
    rows = []
    for number, column in enumerate(columns.tolist()[:MOST_SHOWN]):
        passes = bool(found.passes[number, column])
        rests = "rests" if passes else "does not rest"
        before, after, beside = (f"{value:.3g}" for value in _scores(found, number, column))
        captions = [Caption(f"hidden {after}"), Caption(f"elsewhere {beside}")]
        changed = torch.stack([found.hidden[number], found.elsewhere[number]])
        title, colour = f"{plain(names[column])} {rests} on the region", colour_of(passes)
        rows.append(Row(title, colour, pictures[number], changed, captions, f"{called[number]}: {before}"))
    return contact_sheet(rows)


def _said(found: PixelCheck, names: Sequence[str], number: int, column: int) -> str:
    before, after, beside = (f"{value:.3g}" for value in _scores(found, number, column))
    shared = float(found.overlap[number])
    more = f" ({shared:.0%} of the region is hidden there too)" if shared > SHARED else ""
    return f"{plain(names[column])}: {before}, region hidden {after}, elsewhere {beside}{more}"


def _scores(found: PixelCheck, number: int, column: int) -> tuple[float, float, float]:
    """A score of the picture as it is, with the region hidden, and with other pixels hidden."""
    before = float(found.before[number, column])
    return before, before - float(found.fall[number, column]), before - float(found.beside[number, column])
