"""Scores of a composition as text, CSV, JSON and a sheet."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ....core.evaluate.composition import Attributes, CompositionScores
from ...files.images import from_pil
from ...pictures.drawing import colour_of
from ...pictures.figure_table import BAD, GOOD, MIDDLING, UNKNOWN, TableLine, figure_table
from ...pictures.labels import Colour
from ..contact_sheet import Caption, Row, contact_sheet
from .composition_scores import Scored

NOT_JUDGED = (
    "Attributes are not judged: write one for each concept into attributes, and connect the CLIP that was trained with "
    "this CLIP_VISION."
)
TABLE = "How much of each concept lies in which region"
LEGEND = "Means over the pictures that show it; the mark is its own region"
WELL, HALF = 0.8, 0.5
"""At least these shares of a concept must lie in its own region for green and for yellow on the sheet."""


def described(scored: Scored) -> str:
    """Lines for each concept, and of all, for people."""
    scores = scored.scores
    lines = [
        _style_line(scores, index) if scores.styles[index] else _thing_line(scores, index)
        for index in range(len(scores.names))
    ]
    lines.append(f"each region most like its own concept: {scores.exact:.0%} of the pictures")
    lines.append(f"each concept mostly in its own region: {scores.all_placed:.0%} of the pictures")
    lines.append(f"each exactly once: {scores.all_once:.0%} of the pictures (counted by {scored.counted_by})")
    with_own = "" if scores.attributes is None else " and with its attribute"
    lines.append(f"each once, mostly in its own region{with_own}: {scores.all_right:.0%} of the pictures")
    lines.append(NOT_JUDGED if scores.attributes is None else f"attributes: judged by {scores.attributes.judged_by}")
    return "\n".join(lines)


def _thing_line(scores: CompositionScores, index: int) -> str:
    name, nearest = scores.names[index], scores.nearest_shares[index]
    others = [
        f"{nearest[other]:.0%} like {scores.names[other]}"
        for other in range(len(scores.names))
        if other != index and nearest[other] > 0
    ]
    leaked = f"; {', '.join(others)}" if others else ""
    return (
        f"{name}: its region is like it in {scores.own[index]:.0%} of the pictures "
        f"(similarity {scores.identity[index]:.3f}){leaked}. {_counts(scores.counts[index].tolist())}."
        f"{_where(scores, index)}{_attribute(scores, index)}"
    )


def _style_line(scores: CompositionScores, index: int) -> str:
    return (
        f"{scores.names[index]}: a style, without a place (similarity {scores.identity[index]:.3f})."
        f"{_attribute(scores, index)}"
    )


def _counts(counts: Sequence[int]) -> str:
    """How often a concept is in the whole pictures, a sentence without its full stop."""
    missing, more = sum(count == 0 for count in counts), sum(count > 1 for count in counts)
    once = sum(count == 1 for count in counts) / max(len(counts), 1)
    said = [f"once in {once:.0%}"]
    said += [f"nowhere in {missing / len(counts):.0%}"] if missing else []
    said += [f"more than once in {more / len(counts):.0%} (up to {max(counts)} times)"] if more else []
    return f"In the whole picture it was found {', '.join(said)}"


def _where(scores: CompositionScores, index: int) -> str:
    """How much of a concept lies in which region, a sentence; empty for a concept that is never found."""
    row = scores.leaks[index].tolist()
    if math.isnan(row[index]):
        return ""
    said = [f"{row[index]:.0%} of it lies in its own region"]
    others = [(scores.names[other], share) for other, share in enumerate(row) if other != index]
    said += [f"{share:.0%} in that of {name}" for name, share in others if share > 0]
    return f" {', '.join(said)}, {float(scores.lies_outside[index]):.0%} outside all regions."


def _attribute(scores: CompositionScores, index: int) -> str:
    """In how many pictures a concept has its attribute, and what it has in the others; empty without one."""
    attributes = scores.attributes
    if attributes is None or attributes.own[index] is None:
        return ""
    own, said = attributes.own[index], f" Attribute: {attributes.own[index]}"
    right = float(attributes.right()[index])
    said += ", not found" if math.isnan(right) else f" in {right:.0%} of the pictures that show it"
    wrong = _wrong(attributes, index)
    said += f" ({', '.join(wrong)} in the others)" if wrong else ""
    if attributes.in_sources[index] != own:
        said += f"; its source looks {attributes.in_sources[index]}, so do not rely on this"
    return f"{said}."


def _wrong(attributes: Attributes, index: int) -> list[str]:
    """The attributes that a concept has in place of its own, the most frequent first."""
    seen = Counter(one for one in attributes.seen[index] if one is not None and one != attributes.own[index])
    return [one for one, _ in seen.most_common()]


def composition_csv(scores: CompositionScores) -> str:
    """A line for each region: its concept; similarity; the shares of pictures in which it is most like each concept and
    in which the concept is there once, nowhere and more than once; how much of the concept lies in each region and
    outside all; its attribute, and the share of pictures in which it has it. Empty where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["region", "similarity", "own", *(f"like {name}" for name in scores.names)]
    head += ["once", "nowhere", "more than once", *(f"in {name}" for name in scores.names), "outside"]
    writer.writerow([*head, "attribute", "own attribute"])
    for index, name in enumerate(scores.names):
        counts, style = scores.counts[index], bool(scores.styles[index])
        likes = [scores.own[index], *scores.nearest_shares[index]]
        likes += [share.float().mean() for share in (counts == 1, counts == 0, counts > 1)]
        values = [scores.identity[index], *([math.nan] * len(likes) if style else likes)]
        values += [*scores.leaks[index], scores.lies_outside[index]]
        writer.writerow([name, *(_figure(float(value)) for value in values), *_attribute_cells(scores, index)])
    return text.getvalue()


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _attribute_cells(scores: CompositionScores, index: int) -> tuple[str, str]:
    """An attribute, and the share of pictures in which the concept has it."""
    attributes = scores.attributes
    own = None if attributes is None else attributes.own[index]
    if attributes is None or own is None:
        return "", ""
    return own, _figure(float(attributes.right()[index]))


def composition_json(scored: Scored, ground: str) -> str:
    """All figures, with the similarity of each region in each picture to each concept, the counts, how much of each
    concept lies where in each picture, and the attributes; null where there is no figure."""
    scores, attributes = scored.scores, scored.scores.attributes
    body = {
        "settings": {"ground": ground},
        "concepts": list(scores.names),
        "styles": [name for name, style in zip(scores.names, scores.styles.tolist(), strict=True) if style],
        "exact": round(scores.exact, 4),
        "similarity": _rounded(scores.identity),
        "nearest": _rounded(scores.nearest_shares),
        "leak_matrix": _rounded(scores.leaks),
        "outside": _rounded(scores.lies_outside),
        "each": _rounded(scores.alike),
        "each_share": _rounded(scores.shares),
        "each_outside": _rounded(scores.outside),
        "counted_by": scored.counted_by,
        "all_once": round(scores.all_once, 4),
        "all_placed": round(scores.all_placed, 4),
        "all_right": round(scores.all_right, 4),
        "once": _rounded(scores.once),
        "counts": scores.counts.tolist(),
        "attributes": None
        if attributes is None
        else {
            "judged_by": attributes.judged_by,
            "own": list(attributes.own),
            "in_sources": list(attributes.in_sources),
            "right": _rounded(attributes.right()),
            "seen": [list(row) for row in attributes.seen],
        },
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _rounded(values: Tensor) -> list[object]:
    """Nested lists of a tensor's values; None where a value is NaN."""

    def one(value: object) -> object:
        if isinstance(value, list):
            return [one(inner) for inner in value]
        return None if isinstance(value, float) and math.isnan(value) else round(float(str(value)), 4)

    return [one(value) for value in values.tolist()]


def composition_sheet(scored: Scored) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each concept, its source and its region in every picture; below them how much of
    each concept lies in which region."""
    scores = scored.scores
    rows = [_row(scored, index) for index in range(len(scores.names))]
    pictures = contact_sheet(rows)
    table = from_pil(figure_table(TABLE, _table(scores), pictures.shape[2], [LEGEND]))[0][None]
    width = max(pictures.shape[2], table.shape[2])
    # both have the same plain ground, whose value is that of the table's corner
    filled = [_widened(one, width, float(table[0, 0, 0, 0])) for one in (pictures, table)]
    return torch.cat(filled, 1)


def _widened(picture: Tensor, width: int, ground: float) -> Tensor:
    """An IMAGE (1, h, w, 3) filled up on its right to a width."""
    return pad(picture, (0, 0, 0, width - picture.shape[2]), value=ground)


def _row(scored: Scored, index: int) -> Row:
    scores, name = scored.scores, scored.scores.names[index]
    counts, style = scores.counts[index].tolist(), bool(scores.styles[index])
    captions = []
    for place, nearest in enumerate(scores.nearest[index].tolist()):
        said = [f"{float(scores.alike[index, place, index]):.2f}"]
        said += [scores.names[nearest]] if nearest != index else []
        said += [f"x{counts[place]}"] if counts[place] != 1 and not style else []
        said += ["misplaced"] if counts[place] and not scores.placed[index, place] else []
        said += _unlike(scores.attributes, index, place)
        captions.append(Caption(" ".join(said), len(said) > 1))
    title = f"{name}   similarity {scores.identity[index]:.3f}"
    if not style:
        title += f"   own {scores.own[index]:.2f}   once {scores.once[index]:.2f}"
    return Row(title, colour_of(index), scored.sources[index], scored.regions[index], captions)


def _unlike(attributes: Attributes | None, index: int, place: int) -> list[str]:
    """The attribute that a concept has in a picture in place of its own."""
    seen = None if attributes is None else attributes.seen[index][place]
    return [] if attributes is None or seen is None or seen == attributes.own[index] else [seen]


def _table(scores: CompositionScores) -> list[TableLine]:
    """A line for each concept, below a heading."""
    things = [index for index in range(len(scores.names)) if not scores.styles[index]]
    judged = scores.attributes is not None
    cells = ["in its own", *(f"in {scores.names[index]}" for index in things), "outside"]
    cells += ["attribute"] if judged else []
    lines = [TableLine("concept", heading=True, cells=tuple(cells))]
    for index, name in enumerate(scores.names):
        share, (attribute, right) = float(scores.leaks[index, index]), _attribute_cells(scores, index)
        where = [share, *scores.leaks[index, things].tolist(), float(scores.lies_outside[index])]
        values = [_percent(value) for value in where] + ([_percent(float(right or "nan"))] if judged else [])
        missing = math.isnan(share)
        lines.append(
            TableLine(name, 0.0 if missing else share, said=attribute, colour=_grade(share), cells=tuple(values))
        )
    return lines


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"


def _grade(share: float) -> Colour:
    if math.isnan(share):
        return UNKNOWN
    return GOOD if share >= WELL else MIDDLING if share >= HALF else BAD
