"""A map of layers and heads, and what nodes say of offsets."""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ....core.surgery.heads.offsets import HeadOffsets
from ....core.surgery.skill import TEXT
from ...files.images import from_pil
from ...pictures.labels import write_line

CELL, LEFT, GAP, LETTERS = 34, 330, 12, 15
BEHIND = ".attn2.to_out.0.weight"
GROUND, INK, FAINT, FULL = (24, 24, 24), (240, 240, 240), (52, 52, 52), (80, 190, 120)


def heads_map(found: HeadOffsets, count: int) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each layer and a cell for each head, the brighter the more it responds to the
    concept; the best are framed."""
    best, names = set(found.best(count)), list(found.scores)
    widest = max(len(of) for of in found.scores.values())
    peak = max(float(of.max()) for of in found.scores.values()) or 1.0
    size = LEFT + widest * CELL + 2 * GAP, (len(names) + 1) * CELL + 2 * GAP
    canvas = Image.new("RGB", (max(size[0], 560), size[1]), GROUND)
    draw = ImageDraw.Draw(canvas)
    title = f"Heads that respond to {found.concept}"
    write_line(draw, (GAP, GAP + CELL / 2), title, INK, 20, canvas.width - 2 * GAP, "lm")
    for row, name in enumerate(names):
        top = GAP + (row + 1) * CELL
        write_line(draw, (GAP, top + CELL / 2), short(name), INK, LETTERS, LEFT - 2 * GAP, "lm")
        for head, score in enumerate(found.scores[name].tolist()):
            box = (LEFT + head * CELL + 2, top + 2, LEFT + (head + 1) * CELL - 3, top + CELL - 3)
            share = min(1.0, max(0.0, score / peak))
            fill = tuple(round(a + share * (b - a)) for a, b in zip(FAINT, FULL, strict=True))
            draw.rectangle(box, fill=fill, outline=INK if (name, head) in best else None, width=2)
    return from_pil(canvas)[0][None]


def heads_said(found: HeadOffsets, count: int) -> str:
    """The best heads, in words."""
    every = torch.cat(list(found.scores.values()))
    lines = [
        f"{len(every)} heads in {len(found.scores)} layers; the {min(count, len(every))} best have "
        f"{found.numbers(count):,} parameters together ({found.numbers(count) * 2 / 1024:.1f} KB at 16 bits)."
    ]
    lines += [
        f"{short(name)}, head {head}: {float(found.scores[name][head]):.3g} {found.unit}"
        for name, head in found.best(min(count, 8))
    ]
    return "\n".join(lines)


def short(name: str) -> str:
    """A layer's name without what all of them have in common."""
    for part in (TEXT, ".encoder", ".self_attn.out_proj.weight", ".transformer_blocks", ".attentions", BEHIND):
        name = name.replace(part, "")
    return name
