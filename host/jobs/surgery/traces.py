"""What nodes say of concept vectors and of what is left inside an erased model, as texts and pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ....core.surgery.traces.audit import CLOSED, OPEN, InsideAudit
from ....core.surgery.traces.vectors import SELECTIVE, ConceptVectors
from ...files.images import from_pil
from ...pictures.figure_table import BAD, GOOD, MIDDLING, UNKNOWN, TableLine, figure_table
from ...pictures.labels import Colour

WIDTH = 1000
SHOWN = 24
"""Vectors on a page."""
KEPT = 0.9
"""Share of what matched words said; at this share or more they count as kept."""
LEFT: Mapping[str, Colour] = {
    "open": BAD,
    "partly open": MIDDLING,
    "closed": GOOD,
    "still there": BAD,
    "partly there": MIDDLING,
    "gone": GOOD,
    "kept": GOOD,
    "changed": BAD,
}
"""Verdicts and their colours."""
COLUMNS = ("erased model", "floor", "original")
LEGEND = ("Shares of what the concept's name says in the original model. Floor: the nearest of the matched words.",)


def vectors_page(found: ConceptVectors, hints: Sequence[Sequence[str]]) -> Tensor:
    """IMAGE (1, h, w, 3): layers with how many vectors each has, then the vectors, then what is left with all at 0."""
    lines = [TableLine("Layers: how many of the vectors each has", heading=True)]
    layers = sorted({(one.encoder, one.layer) for one in found.vectors})
    for encoder, layer in layers:
        count = sum((one.encoder, one.layer) == (encoder, layer) for one in found.vectors)
        lines.append(TableLine(f"{encoder}, layer {layer}", count / len(found.vectors), said=f"{count} vectors"))
    lines.append(
        TableLine("Vectors: dot is what the concept loses without it, grey what other words lose", heading=True)
    )
    peak = max((one.taken for one in found.vectors), default=0.0) or 1.0
    for one, words in list(zip(found.vectors, hints, strict=True))[:SHOWN]:
        said = f"{one.taken:.1%}, others {one.spared:.1%}; near {', '.join(words)}"
        colour = GOOD if one.selective else MIDDLING if one.taken > one.spared else UNKNOWN
        name = f"layer {one.layer}, vector {one.index}"
        lines.append(TableLine(name, one.taken / peak, 0.0, one.spared / peak, said, colour))
    lines.append(TableLine("With all of them at 0: what each word still says", heading=True))
    for word, left in zip((found.concept, *found.others), found.left, strict=True):
        lines.append(TableLine(word, left, 0.0, 1.0, f"{left:.0%}"))
    return from_pil(figure_table(f"Vectors that carry {found.concept}", lines, WIDTH))[0][None]


def vectors_said(found: ConceptVectors) -> str:
    """What was found, in words."""
    alone = sum(one.selective for one in found.vectors)
    concept, *others = found.left
    worst = min(range(len(others)), key=others.__getitem__)
    return (
        f"{len(found.vectors)} value vectors, {alone} of which take at least {SELECTIVE:g} times more from "
        f"{found.concept} than from other words. With all of them set to 0, {found.concept} keeps "
        f"{concept:.0%} of what sets it apart from the other words; these keep "
        f"{sum(others) / len(others):.0%} on average, {found.others[worst]} least ({others[worst]:.0%})."
    )


def audit_page(found: InsideAudit) -> Tensor:
    """IMAGE (1, h, w, 3): how deep the erasure goes, and which words lead to the concept."""
    lines = [TableLine("How deep the erasure goes", heading=True, cells=COLUMNS)]
    rows = audit_rows(found)
    depths = len(rows) - len(found.ways)
    lines += [_line(row) for row in rows[:depths]]
    lines.append(TableLine("Words that may lead to the concept", heading=True, cells=COLUMNS))
    lines += [_line(row) for row in rows[depths:]]
    title = f"Is {found.concept} still inside?"
    return from_pil(figure_table(title, lines, WIDTH, LEGEND))[0][None]


def audit_said(found: InsideAudit) -> str:
    """The same in words."""
    lines = [found.verdict]
    if found.traces is not None and found.traces >= OPEN > found.predicted:
        lines.append("What is drawn has changed, and what the text encoder has stored has not.")
    for row in audit_rows(found):
        lines.append(
            f"{row['what']}: {row['erased model']:.0%} (original {row['original model']:.0%}); {row['verdict']}"
        )
    return "\n".join(lines)


def audit_rows(found: InsideAudit) -> list[dict[str, Any]]:
    """Rows of the table and of the files of the erasure report: depths, then words."""
    depths: dict[str, tuple[float, str]] = {}
    if found.traces is not None:
        depths[f"Stored: {len(found.moves)} concept vectors"] = found.traces, _left(found.traces)
    depths["Said by the text encoder"] = found.text, _left(found.text)
    depths["Read by the denoiser"] = found.ways[0].after, _left(found.ways[0].after)
    depths["Predicted by the denoiser"] = found.predicted, _left(found.predicted)
    depths["Matched words, read by the denoiser"] = found.kept, "kept" if found.kept >= KEPT else "changed"
    rows: list[dict[str, Any]] = [
        {"what": what, "erased model": round(value, 4), "floor": 0.0, "original model": 1.0, "verdict": said}
        for what, (value, said) in depths.items()
    ]
    for way in found.ways:
        what = way.word if way.kind == "name" else f"{way.word} ({way.kind})"
        values = {"erased model": round(way.after, 4), "floor": round(found.chance, 4)}
        rows.append({"what": what, **values, "original model": round(way.before, 4), "verdict": way.verdict})
    return rows


def _line(row: Mapping[str, Any]) -> TableLine:
    value, floor, ceiling, verdict = row["erased model"], row["floor"], row["original model"], row["verdict"]
    cells = (f"{value:.0%}", f"{floor:.0%}", f"{ceiling:.0%}")
    return TableLine(row["what"], value, floor, ceiling, verdict, LEFT.get(verdict, UNKNOWN), cells=cells)


def _left(share: float) -> str:
    if share >= OPEN:
        return "still there"
    return "gone" if share <= CLOSED else "partly there"
