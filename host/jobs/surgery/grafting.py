"""How much of a fine-tune shares of its parameters bring back: pictures of each share from the same noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.attack.parts.drawing import draw
from ....core.attack.parts.settings import AttackSettings
from ....core.backbone import Backbone
from ....core.surgery.curve import ENOUGH, GraftCurve, curve_of
from ....core.surgery.skill import Skill
from ...adapters import backbone_of, with_skill
from ...pictures.drawing import colour_of
from ..contact_sheet import Caption, Row, contact_sheet
from ..vision import picture_features

MAX_SHARES = 12
SHOWN = 4
"""Pictures of each share on the page."""


@dataclass(frozen=True, eq=False)
class Graft:
    """Shares of a fine-tune compared with it.

    Attributes:
        curve: what each share brings back.
        counts: how many parameters each share has.
        best: the skill of the smallest share that is enough, else of the greatest.
        tuned, base: (K, 3, H, W) pictures.
        grafted: S of these.
    """

    curve: GraftCurve
    counts: tuple[int, ...]
    best: Skill
    tuned: Tensor
    base: Tensor
    grafted: tuple[Tensor, ...]


def passes_of(prompts: Sequence[str], shares: Sequence[float], settings: AttackSettings) -> int:
    """Model passes of :func:`graft`, counted by pictures."""
    return 2 * settings.steps * settings.draws * len(prompts) * (len(shares) + 2)


def graft(
    parts: tuple[Any, Any, Any],
    tuned: Backbone,
    localise: Callable[[float], Skill],
    shares: Sequence[float],
    prompts: Sequence[str],
    clip_vision: Any,
    settings: AttackSettings,
    seed: int,
    on_passes: Callable[[int], None],
) -> Graft:
    """Draw prompts with the fine-tune, the model, and the model with each share of the fine-tune.

    A share of a large model takes gigabytes, so that none outlives its pictures; the best is localised once more.

    Args:
        parts: MODEL, CLIP and VAE of the model that the fine-tune was made from.
        tuned: the fine-tune.
        localise: the skill of a share.
        shares: rising, in 0..1.
        prompts: that show what the fine-tune learnt.
        clip_vision: the picture encoder that compares.
        settings: how pictures are drawn.
        seed: of the first picture of each prompt.
        on_passes: called with model passes made, counted by pictures.

    Raises ``ValueError`` if the fine-tune draws the prompts as the model does.
    """
    texts = [prompt for prompt in prompts for _ in range(settings.draws)]
    seeds = [(seed + number) % 2**64 for number in range(settings.draws)] * len(prompts)
    model, clip, vae = parts

    def drawn(backbone: Backbone) -> Tensor:
        return draw(backbone, texts, seeds, settings, on_passes)

    def grafted(share: float) -> tuple[int, Tensor]:
        skill = localise(share)
        changed, text = with_skill(model, clip, skill)
        return len(skill), drawn(backbone_of(changed, text, vae))

    theirs, ours = drawn(tuned), drawn(backbone_of(model, clip, vae))
    counts, pictures = zip(*map(grafted, shares), strict=True)
    seen = [picture_features(clip_vision, of) for of in (theirs, ours, *pictures)]
    curve = curve_of(shares, seen[0], seen[1], seen[2:])
    best = localise(shares[-1 if curve.chosen is None else curve.chosen])
    return Graft(curve, counts, best, theirs, ours, pictures)


def graft_said(found: Graft) -> str:
    """A line for each share, and which one to take."""
    lines = [
        f"{100 * share:g}% of the parameters ({count:,}): {float(back):.0%} of the way to the fine-tune, "
        f"likeness to it {float(like):.3f}"
        for share, count, back, like in zip(
            found.curve.shares, found.counts, found.curve.recovered, found.curve.likeness.mean(1), strict=True
        )
    ]
    chosen = found.curve.chosen
    if chosen is None:
        lines.append(f"No share brings back {ENOUGH:.0%}; SKILL is the greatest one.")
    else:
        lines.append(f"{100 * found.curve.shares[chosen]:g}% is the smallest share that brings back {ENOUGH:.0%}.")
    return "\n".join(lines)


def graft_page(found: Graft) -> Tensor:
    """IMAGE (1, h, w, 3): pictures of the model, of each share and of the fine-tune, from the same noise."""
    rows = [_row("the model (below: likeness to the fine-tune)", found.base, found.curve.base, 0)]
    for number, (share, pictures) in enumerate(zip(found.curve.shares, found.grafted, strict=True)):
        back = float(found.curve.recovered[number])
        title = f"{100 * share:g}% of the parameters: {back:.0%} of the way"
        rows.append(_row(title, pictures, found.curve.likeness[number], number + 1))
    rows.append(_row("the fine-tune", found.tuned, torch.ones(len(found.tuned)), len(rows)))
    return contact_sheet(rows, 128)


def _row(title: str, pictures: Tensor, likeness: Tensor, number: int) -> Row:
    count = min(SHOWN, len(pictures))
    captions = [Caption(f"{float(one):.2f}") for one in likeness[:count]]
    return Row(title, colour_of(number), None, pictures[:count], captions, first="")
