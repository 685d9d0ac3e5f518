"""An audit for people: what is missing, what is excessive and what is copied, as a sheet and in words."""

import torch
from torch import Tensor

from ....core.explain.activations import Activations
from ....core.explain.audit import Audit
from ....core.explain.bank import ConceptCodes
from ....core.explain.locate import best_places
from ....core.explain.probe import held_out
from ...pictures.drawing import colour_of
from ..contact_sheet import Caption, Row, contact_sheet
from ..ingredients import MOST_SHOWN, valid_for

EACH = 6


def audit_report(found: Audit, codes: ConceptCodes, factor: float, reference: Activations, drawn: Activations) -> str:
    """What differs, a line each, beside what a plain probe says."""
    bank = codes.bank
    lines = []
    for title, chosen in (("Missing", found.missing(factor)), ("Excessive", found.excessive(factor))):
        lines += [_line(found, codes, title, index) for index in chosen[:MOST_SHOWN]]
        if len(chosen) > MOST_SHOWN:
            lines.append(f"{len(chosen) - MOST_SHOWN} more are not listed.")
    if not lines:
        lines.append(f"No ingredient differs by a factor of {factor:g} beyond chance.")
    lines += [f"Copied: drawing {made + 1} from picture {own + 1} of the reference" for made, own in found.copies]
    lines += [] if found.moved is None else [_moved_line(found.moved)]
    return "\n".join([*lines, _probe_line(reference, drawn), valid_for(bank)])


def _line(found: Audit, codes: ConceptCodes, title: str, index: int) -> str:
    bank, shares = codes.bank, found.prevalence[:, index].tolist()
    stable = "" if int(bank.metadata.get("seeds", "1")) < 2 else f", stability {float(bank.stability[index]):.2f}"
    named = bank.names[index] if bank.names[index] == str(index + 1) else f"{index + 1} {bank.names[index]}"
    return (
        f"{title}: {named}, {float(found.ratio[index]):.2f} times as much ({float(found.low[index]):.2f} to "
        f"{float(found.high[index]):.2f}); in {shares[0]:.0%} of the reference and {shares[1]:.0%} of the drawings"
        f"{stable}"
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
    said = "tells them apart" if quality >= 0.75 else "hardly tells them apart"
    return f"A plain linear probe {said} on held-out pictures: AUROC {quality:.2f} (0.5 is chance)."


def audit_sheet(
    found: Audit, reference: ConceptCodes, drawn: ConceptCodes, factor: float, known: Tensor, made: Tensor
) -> Tensor:
    """IMAGE (1, h, w, 3): for each ingredient that differs the parts of pictures that show it most, from the side that
    has more of it, and below them of pairs the same parts of the other side; for each copy the drawing and its
    original. Pictures are (P, 3, H, W)."""
    rows = []
    for title, chosen, codes, pictures, others in (
        ("missing", found.missing(factor), reference, known, made),
        ("excessive", found.excessive(factor), drawn, made, known),
    ):
        size = (pictures.shape[-2], pictures.shape[-1])
        for index in chosen[:MOST_SHOWN]:
            places = best_places(codes, index, size, EACH)
            cuts = torch.stack([place.cut(pictures) for place in places])
            sides = ("reference", "drawings") if title == "missing" else ("drawings", "reference")
            said = f"{reference.bank.names[index]}   {title}, {float(found.ratio[index]):.2f} times as much"
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
