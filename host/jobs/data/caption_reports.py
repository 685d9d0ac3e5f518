"""Captions and weights of pictures for people: a sheet of what does not fit, and tables."""

import csv
import io
import re
from collections.abc import Sequence

from torch import Tensor

from ....core.data.adaptive_weights import LoggedLoss
from ....core.data.caption_noise import CaptionNoise
from ....core.messages import counted, first_of, listed, shown
from ....core.sample_weights import RATE
from ...files.caption_files import CaptionFile
from ...pictures.captioned_list import ListEntry, captioned_list
from ...pictures.figure_table import BAD, FAINT, GOOD, INK, MIDDLING

WORST = 12
"""Pictures on the sheet."""
COLUMNS = ("picture", "fit", "noise", "weight", "verdict", "caption", "nearest caption", "number")

WRITTEN_COLUMNS = ("picture", "what happened", "file", "caption before", "caption", "former file")
"""Of :func:`written_rows`."""


def noise_rows(found: CaptionNoise, names: Sequence[str], captions: Sequence[str], strength: float) -> list[list[str]]:
    """A row for each picture, the worst first, in the order of :data:`COLUMNS`."""
    weights, rows = found.weights(strength), []
    for number in found.fit.argsort().tolist():
        nearest = captions[int(found.nearest[number])]
        facts = (found.fit[number], found.noise[number], weights[number])
        numbers = [f"{float(one):.4f}" for one in facts]
        rows.append([names[number], *numbers, found.verdict(number), captions[number], nearest, str(number + 1)])
    return rows


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def written_rows(files: Sequence[CaptionFile]) -> list[list[str]]:
    """A row for each picture in its order, in the order of :data:`WRITTEN_COLUMNS`."""
    return [
        [one.picture, one.state, str(one.path), one.before or "", one.caption, one.backup.name if one.backup else ""]
        for one in files
    ]


def written_report(files: Sequence[CaptionFile]) -> str:
    """How many captions were written and where, and a line for each of them."""
    written = [file for file in files if file.is_written]
    former = sum(file.state == "replaced" for file in files)
    states = (
        (former, "replaced a file, which lies beside it with .bak behind its name"),
        (sum(file.state == "unchanged" for file in files), "unchanged"),
        (sum(file.state == "kept" for file in files), "left with another caption"),
        (sum(file.state == "empty" for file in files), "empty, for which no file was made"),
    )
    lines = [f"{len(written)} of {counted(len(files), 'caption')} written to {files[0].path.parent}"]
    lines += [f"{count} {said}" for count, said in states if count]
    lines += first_of([f"{file.path.name}: {file.caption}" for file in written])
    return "\n".join(lines)


def noise_sheet(found: CaptionNoise, pictures: Tensor, names: Sequence[str], captions: Sequence[str]) -> Tensor:
    """IMAGE (1, h, w, 3): the pictures (n, 3, H, W) that their captions fit worst, each with its caption, what to do,
    and the caption that is nearest to it."""
    entries = []
    for number in found.fit.argsort()[:WORST].tolist():
        verdict, nearest = found.verdict(number), int(found.nearest[number])
        colour = GOOD if verdict == "keep" else BAD if verdict == "replace" else MIDDLING
        said = f"{names[number]}: {verdict}, wrong with a probability of {float(found.noise[number]):.0%}"
        better = f"nearest: {captions[nearest]}" if captions[nearest] != captions[number] else "no caption is nearer"
        entries.append(ListEntry(pictures[number], [(said, colour), (captions[number], INK), (better, FAINT)]))
    return captioned_list(entries)


def losses_of(text: str) -> list[LoggedLoss]:
    """Lines ``picture, labelled loss, consistency loss, noise level`` as a log; a heading and empty lines are skipped.

    Raises ``ValueError`` naming the line for anything else.
    """
    found = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        try:
            found.append(LoggedLoss(cells[0], float(cells[1]), float(cells[2]), cells[3] if len(cells) > 3 else ""))
        except (IndexError, ValueError) as error:
            if number == 1:
                continue
            raise ValueError(
                f"line {number} of the losses is {shown(','.join(row))}; expected: picture, labelled loss, consistency "
                "loss, noise level"
            ) from error
    return found


def weights_of_pictures(text: str) -> tuple[float, tuple[float, ...]]:
    """The rate of adaptive weights, and the weights of pictures in their order.

    The rate is 0 unless ``adaptive`` stands first, alone (then it is the paper's) or as ``adaptive=1``. Weights are
    numbers with commas or on lines, or a table of Caption Noise or Adaptive Weights, whose rows say which picture each
    is of; none for no text.

    Raises ``ValueError`` naming what is neither.
    """
    first = re.match(r"\s*adaptive(?:\s*=\s*(?P<rate>[^,\s]*))?[,\s]*", text)
    if first is None:
        return 0.0, _weights(text)
    rate = first["rate"]
    return RATE if rate is None else _number(rate), _weights(text[first.end() :])


def _weights(text: str) -> tuple[float, ...]:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    if not rows:
        return ()
    column = next((name for name in ("weight", "label") if name in rows[0]), None)
    if column is None:
        return tuple(_number(cell) for row in rows for cell in row if cell.strip())
    place = rows[0].index("number" if "number" in rows[0] else "picture")
    at = rows[0].index(column)
    if any(len(row) <= max(at, place) for row in rows):
        raise ValueError("a row of the table of weights is shorter than its heading; connect the output TABLE as it is")
    found = {row[place]: _number(row[at]) for row in rows[1:]}
    wanted = [str(number) for number in range(1, len(rows))]
    if sorted(found) != sorted(wanted):
        raise ValueError(
            f"the table of weights names pictures {listed(found, 3)}; it must number them from 1, as the learner's "
            "pictures stand: connect TABLE of Caption Noise, or write numbers with commas"
        )
    return tuple(found[number] for number in wanted)


def _number(written: str) -> float:
    try:
        return float(written)
    except ValueError as error:
        raise ValueError(f"{shown(written)} is no weight; write numbers with commas, or adaptive") from error


def noise_of(text: str) -> dict[str, float]:
    """Picture to probability of noise, out of a table of Caption Noise. Raises ``ValueError`` for another table."""
    rows = [row for row in csv.DictReader(io.StringIO(text.strip()))]
    try:
        return {row["picture"]: float(row["noise"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("noise is no table of Caption Noise; connect its output TABLE") from error
