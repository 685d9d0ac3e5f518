"""An audit for people: what is missing, what is excessive and what is copied, as a sheet and in words."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ....core.explain.activations import Activations
from ....core.explain.audit import Audit, together
from ....core.explain.bank import ConceptCodes
from ....core.explain.locate import best_places
from ....core.explain.probe import held_out
from ...pictures.drawing import colour_of
from ..contact_sheet import Caption, Row, contact_sheet
from .ingredients import MOST_SHOWN, valid_for

EACH = 6


Groups = list[tuple[str, list[list[int]]]]
"""What is missing and what is excessive: ingredients that are strong in the same pictures stand together."""


def groups_of(found: Audit, reference: ConceptCodes, drawn: ConceptCodes, factor: float) -> Groups:
    """What an audit found, the clearest first."""
    return [
        ("missing", together(reference, found.missing(factor))),
        ("excessive", together(drawn, found.excessive(factor))),
    ]


def audit_report(
    found: Audit, groups: Groups, codes: ConceptCodes, reference: Activations, drawn: Activations, factor: float
) -> str:
    """What differs, a line for each group, beside what a plain probe says."""
    bank = codes.bank
    lines = []
    for title, chosen in groups:
        lines += [_group_line(found, codes, title.capitalize(), group) for group in chosen[:MOST_SHOWN]]
        if len(chosen) > MOST_SHOWN:
            lines.append(f"{len(chosen) - MOST_SHOWN} more are not listed.")
    if not lines:
        lines.append(f"No ingredient differs by a factor of {factor:g} beyond chance.")
    lines += [f"Copied: drawing {made + 1} from picture {own + 1} of the reference" for made, own in found.copies]
    lines += [] if found.moved is None else [_moved_line(found.moved)]
    return "\n".join([*lines, _probe_line(reference, drawn), valid_for(bank)])


def _group_line(found: Audit, codes: ConceptCodes, title: str, group: Sequence[int]) -> str:
    """The clearest ingredient of a group, and the others that are strong in the same pictures."""
    others = [f"{_called(codes, index)} ({float(found.ratio[index]):.2f})" for index in group[1 : MOST_SHOWN + 1]]
    return _line(found, codes, title, group[0]) + (f"; in the same pictures: {', '.join(others)}" if others else "")


def _called(codes: ConceptCodes, index: int) -> str:
    name = codes.bank.names[index]
    return name if name == str(index + 1) else f"{index + 1} {name}"


def _line(found: Audit, codes: ConceptCodes, title: str, index: int) -> str:
    bank, shares = codes.bank, found.prevalence[:, index].tolist()
    stable = "" if int(bank.metadata.get("seeds", "1")) < 2 else f", stability {float(bank.stability[index]):.2f}"
    low, ratio, high = (float(values[index]) for values in (found.low, found.ratio, found.high))
    return (
        f"{title}: {_called(codes, index)}, {ratio:.2f} times as much ({low:.2f} to {high:.2f}); in {shares[0]:.0%} of "
        f"the reference and {shares[1]:.0%} of the drawings{stable}"
    )


def _moved_line(moved: Tensor) -> str:
    """Which pairs changed most."""
    most = moved.argsort(descending=True, stable=True)[:EACH].tolist()
    said = ", ".join(f"{number + 1} ({float(moved[number]):.2f})" for number in most)
    return (
        f"Pairs that changed most, of {len(moved)} (0 is not at all, 1 wholly): {said}. Mean {float(moved.mean()):.2f}."
    )


def _probe_line(reference: Activations, drawn: Activations) -> str:
    """How well a plain linear probe of the same activations, fitted to labels, separates both sets."""
    rows = torch.cat([drawn.rows.mean(1), reference.rows.mean(1)])
    quality = held_out(rows, torch.arange(len(rows)) < len(drawn))
    said = "separates both sets" if quality >= 0.75 else "hardly separates both sets"
    return f"A plain linear probe {said} on held-out pictures: AUROC {quality:.2f} (0.5 is chance)."


def audit_sheet(
    found: Audit, groups: Groups, reference: ConceptCodes, drawn: ConceptCodes, known: Tensor, made: Tensor
) -> Tensor:
    """IMAGE (1, h, w, 3): for the clearest ingredient of each group the parts of pictures that show it most, from the
    side that has more of it, and below them of pairs the same parts of the other side; for each copy the drawing and
    its original. Pictures are (P, 3, H, W)."""
    rows = []
    for (title, chosen), codes, pictures, others in zip(
        groups, (reference, drawn), (known, made), (made, known), strict=True
    ):
        size = (pictures.shape[-2], pictures.shape[-1])
        for index, *rest in chosen[:MOST_SHOWN]:
            places = best_places(codes, index, size, EACH)
            cuts = torch.stack([place.cut(pictures) for place in places])
            sides = ("reference", "drawings") if title == "missing" else ("drawings", "reference")
            said = f"{reference.bank.names[index]}   {title}, {float(found.ratio[index]):.2f} times as much"
            said += f"   and {len(rest)} more in the same pictures" if rest else ""
            captions = [Caption(f"picture {place.picture + 1}") for place in places]
            rows.append(Row(said, colour_of(index), None, cuts, captions, sides[0]))
            if found.moved is not None:
                opposite = torch.stack([place.cut(others) for place in places])
                rows.append(Row("", colour_of(index), None, opposite, captions, sides[1]))
    for number, own in found.copies[:EACH]:
        rows.append(
            Row(
                "copied",
                colour_of(0),
                made[number],
                known[own][None],
                [Caption(f"picture {own + 1}")],
                f"drawing {number + 1}",
            )
        )
    if not rows:
        captions = [Caption("")] * len(made[:EACH])
        rows.append(Row("nothing differs", colour_of(0), None, made[:EACH], captions, "drawings"))
    return contact_sheet(rows)
