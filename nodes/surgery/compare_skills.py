"""Skill Overlap and Difference of Skills."""

from ...core.surgery import skill as core_skill
from ...host.jobs.surgery.reports import bases_note, overlap_page, skill_said
from ...host.schema import io
from ..sockets import CATEGORY, Skill, page_under, text_under

PARTS = ("apart", "shared")


class SkillOverlap(io.ComfyNode):
    """Whether skills will disturb each other, before anything is drawn."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSkillOverlap",
            display_name="Skill Overlap",
            category=f"{CATEGORY}/surgery",
            description=(
                "Reports for each pair of skills how many parameters both change, compared with chance, "
                "and how many of these they move in opposite directions. A page shows which blocks each "
                "skill changes. Use it to see, before you merge two LoRAs, whether they will fight."
            ),
            search_aliases=["LoRA conflict", "compare LoRAs", "Jaccard", "interference", "block density"],
            is_output_node=True,
            inputs=[
                Skill.Input("skill", tooltip="From Localize Skill or Load Skill Patch."),
                Skill.Input("skill_2", tooltip="Another skill of the same model."),
                Skill.Input("skill_3", optional=True, tooltip="A third skill."),
                Skill.Input("skill_4", optional=True, tooltip="A fourth skill."),
                io.String.Input(
                    "names",
                    default="",
                    optional=True,
                    tooltip="Names of the skills for the report, separated by commas; empty numbers them.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="PAGE", tooltip="Pairs of skills, then the blocks that each changes."),
                io.String.Output(display_name="REPORT", tooltip="The same in words."),
            ],
        )

    @classmethod
    def execute(
        cls,
        skill: core_skill.Skill,
        skill_2: core_skill.Skill,
        skill_3: core_skill.Skill | None = None,
        skill_4: core_skill.Skill | None = None,
        names: str = "",
    ) -> io.NodeOutput:
        skills = [one for one in (skill, skill_2, skill_3, skill_4) if one is not None]
        given = [name.strip() for name in names.split(",") if name.strip()]
        called = [given[n] if n < len(given) else f"skill {n + 1}" for n in range(len(skills))]
        page, said = overlap_page(called, skills)
        report = "\n".join(filter(None, [said, bases_note(skills)]))
        return io.NodeOutput(page, report, ui=page_under(cls, page, report))


class DifferenceOfSkills(io.ComfyNode):
    """What one skill changes and another does not."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierDifferenceOfSkills",
            display_name="Difference of Skills",
            category=f"{CATEGORY}/surgery",
            description=(
                "Keeps only those parameters of a skill that another skill leaves alone, or only those that both "
                "change."
            ),
            search_aliases=["subtract masks", "skill difference", "intersection of skills"],
            inputs=[
                Skill.Input("skill", tooltip="The skill to keep a part of."),
                Skill.Input("other", tooltip="The skill to compare with."),
                io.Combo.Input(
                    "part",
                    options=list(PARTS),
                    default=PARTS[0],
                    tooltip="apart: what the other skill leaves alone. shared: what both change.",
                ),
            ],
            outputs=[Skill.Output(display_name="SKILL", tooltip="The part of the first skill.")],
        )

    @classmethod
    def execute(cls, skill: core_skill.Skill, other: core_skill.Skill, part: str) -> io.NodeOutput:
        found = core_skill.part_of(skill, other, part == "shared")
        return io.NodeOutput(found, ui=text_under(f"{skill_said(found)}.", bases_note([skill, other])))
