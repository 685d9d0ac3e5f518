"""Subjects for people: what was learnt, and a sheet of the pictures in which it was found."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ....core.explain.bank import ConceptBank
from ....core.explain.scores import PictureScores
from ....core.messages import counted, plain
from ....core.recognise.parts.regions import Finding
from ...pictures.drawing import colour_of, overlay_masks
from ..bounding_boxes import elements_of
from ..contact_sheet import Caption, Row, contact_sheet
from ..explain.ingredients import valid_for

MOST_SHOWN = 48
"""Pictures on a sheet."""


def describe_subject(bank: ConceptBank) -> str:
    """What a subject was learnt from and how well it may be found, whole sentences."""
    facts = bank.metadata
    count, pictures = int(facts["examples"]), int(facts["pictures"])
    seen = f"Learnt {plain(bank.names[0])} from {count} of {counted(pictures, 'picture')}"
    corrected = int(facts.get("corrections", "0"))
    more = f", and {counted(corrected, 'correction')}" if corrected else ""
    how = "each picture was left out in turn" if count > 1 else "on the picture that it was learnt from"
    return (
        f"{seen}{more}. IoU {float(facts['expected']):.2f} at the positions of the encoder ({how}).\n{valid_for(bank)}"
    )


def scores_of(finding: Finding, bank: ConceptBank) -> PictureScores:
    """How strongly each picture shows a subject."""
    return PictureScores(finding.scores[:, None], bank.names[:1], "likeness", valid_for(bank))


def boxes_for(finding: Finding, name: str, size: tuple[int, int]) -> list[list[dict[str, object]]]:
    """BOUNDING_BOX elements: a list for each picture, empty where the subject was not found."""
    return [elements_of([mask.float()], [name], size[1], size[0])[0] for mask in finding.masks]


def found_sheet(finding: Finding, pictures: Tensor, names: Sequence[str], subject: str) -> Tensor:
    """IMAGE (1, h, w, 3): the pictures with the subject outlined, the strongest first, then those without it."""
    order = sorted(finding.present, key=lambda index: -float(finding.scores[index]))
    rest = [index for index in range(len(pictures)) if finding.boxes[index] is None]
    rest.sort(key=lambda index: -float(finding.scores[index]))
    rows: list[Row] = []
    titles = (
        f"{subject}: found in {len(order)} of {len(pictures)}; framed: the surest",
        "not found; framed: the nearest",
    )
    for title, chosen in zip(titles, (order, rest), strict=True):
        if not chosen:
            continue
        some = chosen[:MOST_SHOWN]
        drawn = torch.stack([_outlined(finding, pictures, index) for index in some])
        captions = [Caption(f"{names[index]} {float(finding.scores[index]):.2f}") for index in some]
        left = f" (the first {MOST_SHOWN})" if len(chosen) > MOST_SHOWN else ""
        rows.append(Row(title + left, colour_of(len(rows)), drawn[0], drawn[1:], captions[1:], captions[0].text))
    return contact_sheet(rows)


def found_report(finding: Finding, names: Sequence[str], subject: str) -> str:
    """A line for each picture: its name, its score and its box; then how to read that and how to find fewer or more."""
    lines = [f"{subject}: found in {len(finding.present)} of {counted(len(names), 'picture')}"]
    for name, score, box in zip(names, finding.scores.tolist(), finding.boxes, strict=True):
        where = "not found" if box is None else "box " + ", ".join(f"{100 * side:.0f}%" for side in box)
        lines.append(f"{name}: {score:.2f}, {where}")
    lines.append("Numbers: the score, then the left, top, right and bottom of the box in percent of the sides.")
    lines.append(
        "Where something else was found, raise threshold or mark it for Prototype Feedback; to find more, lower it."
    )
    return "\n".join(lines)


def names_for(count: int, names: Sequence[str]) -> list[str]:
    """A name for each picture: those given, or numbers. Raises ``ValueError`` for another number of names."""
    if not names:
        return [f"picture {number}" for number in range(1, count + 1)]
    if len(names) != count:
        given = f"{counted(len(names), 'name')} {'was' if len(names) == 1 else 'were'} given"
        raise ValueError(f"{given} for {counted(count, 'picture')}; connect NAMES of Load Picture Folder")
    return list(names)


def _outlined(finding: Finding, pictures: Tensor, index: int) -> Tensor:
    picture = pictures[index].movedim(0, -1)
    mask = finding.masks[index].float()[None]
    return overlay_masks(picture, mask, [""], [colour_of(0)]).movedim(-1, 0)
