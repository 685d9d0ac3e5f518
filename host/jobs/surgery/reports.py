"""What nodes say of skills, as texts and as a page."""

from collections.abc import Sequence

from torch import Tensor

from ....core.backbone import Backbone
from ....core.erase.parts.saved import fingerprint, same_base
from ....core.surgery.overlap import FIGHT, SAME, Overlap, compare, densities
from ....core.surgery.skill import Skill
from ....core.surgery.skill import same_base as one_base
from ...adapters import UnsupportedModelError
from ...files.images import from_pil
from ...pictures.drawing import colour_of
from ...pictures.figure_table import BAD, GOOD, MIDDLING, TableLine, figure_table

WIDTH = 1100
OTHER_MODEL = (
    "The weights of this MODEL are not those that the skill was found on; skills belong to fine-tunes of one base "
    "model."
)
OTHER_BASES = "The skills were found on different base models, so their parameters need not belong together."


def base_fingerprint(backbone: Backbone) -> str:
    """Of the weights by which text enters; empty for models without such weights."""
    try:
        return fingerprint(backbone.key_value_weights())
    except UnsupportedModelError:
        return ""


def base_note(skill: Skill, backbone: Backbone) -> str:
    """That a skill was found on another model than this one; empty if it was not, or nobody knows."""
    if not skill.base:
        return ""
    try:
        return "" if same_base(skill.base, backbone.key_value_weights()) else OTHER_MODEL
    except UnsupportedModelError:
        return ""


def bases_note(skills: Sequence[Skill]) -> str:
    """That skills were found on different models; empty if they were not."""
    return "" if one_base(list(skills)) else OTHER_BASES


def skill_said(skill: Skill) -> str:
    """One sentence about a skill."""
    said = f"{len(skill):,} parameters in {len(skill.changes)} weights, {skill.share:.3%} of those examined"
    kept = skill.metadata.get("kept")
    return f"{said}; they hold {float(kept):.1%} of the squared size of the whole change" if kept else said


def overlap_said(found: Overlap) -> str:
    """What is found of two skills, what to do, and on a second line the figures."""
    one, other = found.names
    return (
        f"{one} and {other}: {found.verdict}. {found.advice}\nFigures: {found.inside:.1%} of the parameters "
        f"of the smaller skill are changed by both (by chance {found.chance:.1%}), "
        f"{found.opposite_share:.0%} of these in opposite directions; {found.conflict:.1%} of the smaller "
        f"skill's size meets an opposite change (a fight at {FIGHT:.0%} or more). They have "
        f"{found.same_inputs:.0%} of their inputs, such as words, in common (a fight at {SAME:.0%} or "
        "more)."
    )


def overlap_page(names: Sequence[str], skills: Sequence[Skill]) -> tuple[Tensor, str]:
    """IMAGE (1, h, w, 3) and a text: every pair of skills, then how much of each block every skill changes."""
    pairs, by_block = compare(names, skills), densities(skills)
    lines = [TableLine("Pairs: the dot is what they share, the grey bar what chance would share", heading=True)]
    for found in pairs:
        said = f"{found.inside:.0%}: {found.verdict}"
        lines.append(TableLine(" + ".join(found.names), found.inside, 0.0, found.chance, said, _colour(found)))
    peak = max((max(row) for row in by_block.values()), default=0.0) or 1.0
    lines.append(
        TableLine(f"Blocks: the share of its parameters that each skill changes (full bar {peak:.1%})", heading=True)
    )
    for block, row in by_block.items():
        for number, (name, density) in enumerate(zip(names, row, strict=True)):
            title = block if not number else ""
            said = f"{name}: {density:.2%}"
            lines.append(TableLine(title, density / peak, 0.0, density / peak, said, colour_of(number)))
    page = from_pil(figure_table("Overlap of skills", lines, WIDTH))[0][None]
    report = [f"{name}: {skill_said(skill)}." for name, skill in zip(names, skills, strict=True)]
    return page, "\n".join([*map(overlap_said, pairs), *report])


def _colour(found: Overlap) -> tuple[int, int, int]:
    if found.fights:
        return BAD
    return MIDDLING if "a little" in found.verdict else GOOD
