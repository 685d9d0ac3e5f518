"""Pages and reports of probes: curves over layers of text encoders, a map of blocks and noise levels."""

from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from ....core.surgery.probing.curves import CLOSE, ProbeCurve
from ....core.surgery.probing.reading import DenoiserProbe, TextProbe
from ...files.images import from_pil
from ...pictures.drawing import colour_of
from ...pictures.labels import Colour, write_line

WIDTH, LINE, LETTERS, GAP = 900, 26, 15, 14
PLOT, LEFT, CELL_HEIGHT = 240, 60, 24
LEAST = 0.4
"""The lowest AUROC on a chart; 0.5 is chance."""
GROUND, INK, PALE, FAINT = (24, 24, 24), (240, 240, 240), (150, 150, 150), (52, 52, 52)
KNOWN: Colour = (80, 190, 120)


def probe_page(concept: str, text: TextProbe | None, denoiser: DenoiserProbe | None) -> Tensor:
    """IMAGE (1, h, w, 3): the curves, then the map, of those that were probed."""
    parts = []
    if text is not None:
        parts.append(_chart(f"Where layers of the text encoder recognise {concept}", text))
    if denoiser is not None:
        parts.append(_map(f"Where blocks of the denoiser recognise {concept}, by noise", denoiser))
    canvas = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), GROUND)
    top = 0
    for part in parts:
        canvas.paste(part, (0, top))
        top += part.height
    return from_pil(canvas)[0][None]


def probe_said(concept: str, text: TextProbe | None, denoiser: DenoiserProbe | None) -> str:
    """What was found in words, then a table with a line for each layer or block."""
    lines: list[str] = []
    if text is not None:
        for encoder, curve in text.curves.items():
            lines += [f"{encoder}: {_curve_said(concept, curve)}", _skip_said(text, encoder)]
        lines.append(_words_said(concept, text))
    if denoiser is not None:
        lines.append(f"Denoiser: {_curve_said(concept, denoiser.curve)}")
    if text is not None:
        for encoder, curve in text.curves.items():
            lines += ["", f"{encoder}, AUROC of held-out prompts (shuffled labels reach {curve.null:.2f}):"]
            lines += [f"{place}: {float(value):.2f}" for place, value in zip(curve.places, curve.auroc, strict=True)]
    if denoiser is not None:
        levels = ", ".join(f"{level:.2f}" for level in denoiser.noise)
        lines += ["", f"Denoiser, AUROC at noise {levels} (shuffled labels reach {denoiser.curve.null:.2f}):"]
        for number, block in enumerate(denoiser.blocks):
            values = ", ".join(f"{float(value):.2f}" for value in denoiser.grid[:, number])
            lines.append(f"{short(block)}: {values}")
    return "\n".join(lines)


def _curve_said(concept: str, curve: ProbeCurve) -> str:
    if curve.onset is None or curve.converged is None:
        return (
            f"no place recognises {concept} better than shuffled labels ({curve.null:.2f}); the best is "
            f"{float(curve.auroc.max()):.2f} at {_place(curve, curve.best)}. Either it needs more prompts, "
            "or the model does not know it."
        )
    return (
        f"{concept} is recognised from {_place(curve, curve.onset)} on, and within {CLOSE} of the best from "
        f"{_place(curve, curve.converged)} on; the best is {float(curve.auroc.max()):.2f} at "
        f"{_place(curve, curve.best)}."
    )


def _place(curve: ProbeCurve, number: int) -> str:
    return short(curve.places[number])


def _skip_said(text: TextProbe, encoder: str) -> str:
    curve, skip, read = text.curves[encoder], text.clip_skip(encoder), text.read[encoder]
    if skip is not None:
        return (
            f"Clip skip: CLIP Set Last Layer at {skip} reads {curve.places[skip]}, which recognises it better than "
            f"{curve.places[read]}, which the model reads ({float(curve.auroc[skip]):.2f} against "
            f"{float(curve.auroc[read]):.2f})."
        )
    return f"Clip skip is of no use for it: the model reads {curve.places[read]} ({float(curve.auroc[read]):.2f})."


def _words_said(concept: str, text: TextProbe) -> str:
    best = max(float(curve.auroc.max()) for curve in text.curves.values())
    said = f"A bag of tokens, which knows words and not their meaning, reaches {text.words:.2f}"
    if text.words >= best - CLOSE:
        return f"{said}: these prompts differ by their words alone. Give others to see more of {concept} than a word."
    return f"{said}."


def _chart(title: str, text: TextProbe) -> Image.Image:
    legend: list[tuple[str, Colour]] = [(name, colour_of(number)) for number, name in enumerate(text.curves)]
    legend += [("bag of tokens", PALE), ("shuffled labels (95 %)", (200, 160, 70))]
    height = 2 * LINE + PLOT + 2 * LINE + LINE * len(legend) + GAP
    canvas = Image.new("RGB", (WIDTH, height), GROUND)
    draw = ImageDraw.Draw(canvas)
    write_line(draw, (GAP, LINE), title, INK, 20, WIDTH - 2 * GAP, "lm")
    top, bottom, right = 2 * LINE, 2 * LINE + PLOT, WIDTH - GAP
    draw.rectangle((LEFT, top, right, bottom), outline=FAINT)

    def level(value: float) -> float:
        return bottom - (max(value, LEAST) - LEAST) / (1 - LEAST) * PLOT

    for mark in (0.5, 0.75, 1.0):
        draw.line((LEFT, level(mark), right, level(mark)), fill=FAINT)
        write_line(draw, (LEFT - 8, level(mark)), f"{mark:.2f}", PALE, LETTERS, LEFT, "rm")
    most = max(len(curve.places) for curve in text.curves.values())
    step = (right - LEFT - 2 * GAP) / max(1, most - 1)
    for number in range(most):
        name = "tokens" if number == 0 else str(number)
        if number == 0 or most <= 16 or number % 4 == 0:
            write_line(draw, (LEFT + GAP + number * step, bottom + 6), name, PALE, LETTERS, 3 * LINE, "ma")
    _dashed(draw, level(text.words), LEFT, right, PALE)
    for number, curve in enumerate(text.curves.values()):
        _dashed(draw, level(curve.null), LEFT, right, (200, 160, 70))
        points = [(LEFT + GAP + at * step, level(float(value))) for at, value in enumerate(curve.auroc)]
        draw.line(points, fill=colour_of(number), width=3)
        for at in {curve.onset, curve.converged} - {None}:
            x, y = points[at or 0]
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), outline=INK, width=2)
    write_line(draw, (WIDTH / 2, bottom + LINE), "layers; rings: onset and convergence", PALE, LETTERS, WIDTH, "ma")
    for number, (name, colour) in enumerate(legend):
        write_line(draw, (LEFT, bottom + 2 * LINE + LINE * (number + 0.5)), name, colour, LETTERS, WIDTH - LEFT, "lm")
    return canvas


def _map(title: str, found: DenoiserProbe) -> Image.Image:
    names, left = [short(name) for name in found.blocks], 300
    height = 3 * LINE + CELL_HEIGHT * (len(names) + 1) + GAP
    canvas = Image.new("RGB", (WIDTH, height), GROUND)
    draw = ImageDraw.Draw(canvas)
    write_line(draw, (GAP, LINE), title, INK, 20, WIDTH - 2 * GAP, "lm")
    said = f"Cells: AUROC; coloured above {found.curve.null:.2f}, which shuffled labels reach. Columns: share of noise."
    write_line(draw, (GAP, 2 * LINE), said, PALE, LETTERS, WIDTH - 2 * GAP, "lm", longest=200)
    width, top = (WIDTH - left - GAP) / len(found.noise), 2.5 * LINE
    for column, level in enumerate(found.noise):
        middle = left + (column + 0.5) * width
        write_line(draw, (middle, top + CELL_HEIGHT / 2), f"{level:.2f}", PALE, LETTERS, width, "mm")
    for row, name in enumerate(names):
        y = top + (row + 1) * CELL_HEIGHT
        write_line(draw, (GAP, y + CELL_HEIGHT / 2), name, INK, LETTERS, left - 2 * GAP, "lm")
        for column in range(len(found.noise)):
            value = float(found.grid[column, row])
            fill = _shade(value, found.curve.null)
            box = (left + column * width + 1, y + 1, left + (column + 1) * width - 2, y + CELL_HEIGHT - 2)
            draw.rectangle(box, fill=fill)
            at = (left + (column + 0.5) * width, y + CELL_HEIGHT / 2)
            write_line(draw, at, f"{value:.2f}", INK, 12, width, "mm")
    return canvas


def _shade(value: float, null: float) -> Colour:
    """Grey up to what shuffled labels reach, then the greener the nearer to 1."""
    if value <= null:
        return FAINT
    share = 0.3 + 0.7 * (value - null) / max(1 - null, 1e-6)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(FAINT, KNOWN, strict=True))
    return red, green, blue


def _dashed(draw: ImageDraw.ImageDraw, y: float, left: float, right: float, colour: Colour) -> None:
    for x in range(round(left), round(right), 12):
        draw.line((x, y, min(x + 6, right), y), fill=colour, width=2)


def short(name: str) -> str:
    """A layer's name without what all of them have in common."""
    parts: Sequence[str] = (".transformer_blocks", ".attentions", ".attn1")
    for part in parts:
        name = name.replace(part, "")
    return name
