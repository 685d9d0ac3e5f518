"""Stitch Skills and Subtract Skill."""

from typing import Any

from ...core.surgery import skill as core_skill
from ...core.surgery.registry import RULES
from ...core.surgery.stitcher import stitch
from ...host.adapters import backbone_of, with_skill
from ...host.jobs.surgery.reports import base_note, bases_note, skill_said
from ...host.schema import io
from ..sockets import CATEGORY, Skill, text_under

NO_CLIP = "The skill also changes the text encoder; connect CLIP for that part, which was left out."


class StitchSkills(io.ComfyNode):
    """One model with several skills."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierStitchSkills",
            display_name="Stitch Skills",
            category=f"{CATEGORY}/surgery",
            description=(
                "Puts one to four skills into a model. Skills that do not touch each other stay as they are; if "
                "several change the same parameter, a rule decides. LoRA loaders before and after this node keep "
                "working, and the model itself is not changed."
            ),
            search_aliases=["merge LoRAs", "merge models", "apply skill", "TIES", "Localize-and-Stitch"],
            inputs=[
                io.Model.Input("model", tooltip="The model that the skills were found on."),
                Skill.Input("skill", tooltip="From Localize Skill, Load Skill Patch or Difference of Skills."),
                _strength("strength", "the skill"),
                io.Combo.Input(
                    "overlap",
                    options=list(RULES),
                    default=next(iter(RULES)),
                    tooltip="\n".join(f"{one.title}: {one.help}" for one in RULES.values()),
                ),
                *(
                    one
                    for number in (2, 3, 4)
                    for one in (
                        Skill.Input(f"skill_{number}", optional=True, tooltip="Another skill of the same model."),
                        _strength(f"strength_{number}", f"skill_{number}", optional=True),
                    )
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder, for skills that change it."),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The model with the skills."),
                Skill.Output(display_name="SKILL", tooltip="All skills as one, for Save Skill Patch."),
                io.Clip.Output(display_name="CLIP", tooltip="The text encoder with the skills, if you connected one."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        skill: core_skill.Skill,
        strength: float,
        overlap: str,
        skill_2: core_skill.Skill | None = None,
        strength_2: float = 1.0,
        skill_3: core_skill.Skill | None = None,
        strength_3: float = 1.0,
        skill_4: core_skill.Skill | None = None,
        strength_4: float = 1.0,
        clip: Any = None,
    ) -> io.NodeOutput:
        pairs = [(skill, strength), (skill_2, strength_2), (skill_3, strength_3), (skill_4, strength_4)]
        skills, strengths = zip(*((one, by) for one, by in pairs if one is not None), strict=True)
        joined = stitch(skills, strengths, RULES[overlap])
        changed, text = with_skill(model, clip, joined)
        notes = [bases_note(skills) or base_note(joined, backbone_of(model=model)), _text_note(joined, clip)]
        return io.NodeOutput(changed, joined, text, ui=text_under(f"{skill_said(joined)}.", *notes))


class SubtractSkill(io.ComfyNode):
    """A model without a skill."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSubtractSkill",
            display_name="Subtract Skill",
            category=f"{CATEGORY}/surgery",
            description=(
                "Takes a skill out of a model that has it: the few parameters that carry it go back to what they "
                "were before the fine-tune, and all others stay. On the model that the skill was found on it pushes "
                "the other way."
            ),
            search_aliases=["remove skill", "negative LoRA", "unlearn", "task negation"],
            inputs=[
                io.Model.Input("model", tooltip="The model that has the skill, such as the fine-tune."),
                Skill.Input("skill", tooltip="What to take out."),
                _strength("strength", "what is taken out"),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder, for skills that change it."),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The model without the skill."),
                io.Clip.Output(display_name="CLIP", tooltip="The text encoder without it, if you connected one."),
            ],
        )

    @classmethod
    def execute(cls, model: Any, skill: core_skill.Skill, strength: float, clip: Any = None) -> io.NodeOutput:
        changed, text = with_skill(model, clip, skill, -strength)
        return io.NodeOutput(changed, text, ui=text_under(f"{skill_said(skill)}.", _text_note(skill, clip)))


def _strength(name: str, of: str, **fields: Any) -> Any:
    return io.Float.Input(
        name,
        default=1.0,
        min=-4.0,
        max=4.0,
        step=0.05,
        tooltip=f"Strength of {of}. 1 is as it was learnt, 0 leaves it out.",
        **fields,
    )


def _text_note(skill: core_skill.Skill, clip: Any) -> str:
    return NO_CLIP if skill.text and clip is None else ""
