"""Captions and weights of pictures for people: a sheet of what does not fit, and tables."""

import csv
import io
from collections.abc import Sequence

from torch import Tensor

from ....core.data.adaptive_weights import LoggedLoss
from ....core.data.caption_noise import CaptionNoise
from ....core.messages import shown
from ...pictures.captioned_list import ListEntry, captioned_list
from ...pictures.figure_table import BAD, FAINT, GOOD, INK, MIDDLING

WORST = 12
"""Pictures on the sheet."""
COLUMNS = ("picture", "fit", "noise", "weight", "verdict", "caption", "nearest caption")


def noise_rows(found: CaptionNoise, names: Sequence[str], captions: Sequence[str], strength: float) -> list[list[str]]:
    """A row for each picture, the worst first, in the order of :data:`COLUMNS`."""
    weights, rows = found.weights(strength), []
    for number in found.fit.argsort().tolist():
        nearest = captions[int(found.nearest[number])]
        facts = (found.fit[number], found.noise[number], weights[number])
        numbers = [f"{float(one):.4f}" for one in facts]
        rows.append([names[number], *numbers, found.verdict(number), captions[number], nearest])
    return rows


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


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


def noise_of(text: str) -> dict[str, float]:
    """Picture to probability of noise, out of a table of Caption Noise. Raises ``ValueError`` for another table."""
    rows = [row for row in csv.DictReader(io.StringIO(text.strip()))]
    try:
        return {row["picture"]: float(row["noise"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("noise is no table of Caption Noise; connect its output TABLE") from error
