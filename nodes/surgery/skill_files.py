"""Save and Load Skill Patch."""

from ...core.surgery import skill as core_skill
from ...core.surgery.skill_files import PRECISIONS, load_skill, skill_tensors
from ...host.jobs.surgery.reports import skill_said
from ...host.schema import io, ui
from ..model_files import LoadsModelFile, SavesModelFile, name_input, saved_text
from ..sockets import CATEGORY, Skill, file_input


class SaveSkillPatch(SavesModelFile):
    """A skill to a file."""

    KIND = "skills"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveSkillPatch",
            display_name="Save Skill Patch",
            category=f"{CATEGORY}/surgery",
            description=(
                "Writes a skill to the folder models/skills, as positions and values of the parameters that "
                "it changes. A file of this name that existed before the run is replaced; if the file was "
                "written during the run, the next free name is used."
            ),
            search_aliases=["export skill", "sparse patch", "save task vector"],
            is_output_node=True,
            inputs=[
                Skill.Input("skill", tooltip="From Localize Skill or Stitch Skills."),
                name_input("atelier/skill"),
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default=PRECISIONS[0],
                    tooltip="float16: 6 bytes for each parameter. exact: every bit, 8 bytes or more.",
                ),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file, for Load Skill Patch.")],
        )

    @classmethod
    def execute(cls, skill: core_skill.Skill, name: str, precision: str) -> io.NodeOutput:
        content = skill_tensors(skill, precision)
        saved = cls.write(name, content)
        said = f"{saved.path} ({saved.path.stat().st_size / 1e6:.1f} MB): {skill_said(skill)}."
        return io.NodeOutput(saved.name, ui=saved_text(said, saved))


class LoadSkillPatch(LoadsModelFile):
    """A skill out of a file."""

    KIND = "skills"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadSkillPatch",
            display_name="Load Skill Patch",
            category=f"{CATEGORY}/surgery",
            description=(
                "Loads a file of Save Skill Patch. Stitch Skills says so if the model is not the one it belongs to."
            ),
            search_aliases=["import skill", "sparse patch", "load task vector"],
            inputs=[file_input("skills", "atelier/skill")],
            outputs=[Skill.Output(display_name="SKILL", tooltip="The skill.")],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        skill = load_skill(cls.path_of(name))
        return io.NodeOutput(skill, ui=ui.PreviewText(f"{skill_said(skill)}."))
