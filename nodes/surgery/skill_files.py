"""Save and Load Skill Patch."""

import hashlib
from pathlib import Path
from typing import Any

from ...core.surgery import skill as core_skill
from ...core.surgery.skill_files import PRECISIONS, load_skill, skill_tensors
from ...host.files import folders
from ...host.files.model_files import save_model
from ...host.jobs.surgery.reports import skill_said
from ...host.schema import io, ui
from ..sockets import CATEGORY, Skill, file_input, files_verdict


class SaveSkillPatch(io.ComfyNode):
    """A skill to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveSkillPatch",
            display_name="Save Skill Patch",
            category=f"{CATEGORY}/surgery",
            description=(
                "Writes a skill to the folder models/skills, as positions and values of the numbers that it changes. A "
                "file of the same name from before the run is replaced; if another run wrote it meanwhile, the next "
                "free name is used."
            ),
            search_aliases=["export skill", "sparse patch", "save task vector"],
            is_output_node=True,
            inputs=[
                Skill.Input("skill", tooltip="From Localize Skill or Stitch Skills."),
                io.String.Input("name", default="atelier/skill", tooltip="File name; a / makes a folder."),
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default=PRECISIONS[0],
                    tooltip="float16: 6 bytes for each number. exact: every bit, 8 bytes or more.",
                ),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file, for Load Skill Patch.")],
        )

    @classmethod
    def execute(cls, skill: core_skill.Skill, name: str, precision: str) -> io.NodeOutput:
        content = skill_tensors(skill, precision)
        saved = save_model(folders.current(), "skills", folders.made_safe(name), content)
        said = f"{saved.path} ({saved.path.stat().st_size / 1e6:.1f} MB): {skill_said(skill)}.\n{saved.note}".strip()
        return io.NodeOutput(saved.name, ui=ui.PreviewText(said))

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        return folders.name_verdict(name, "name")


class LoadSkillPatch(io.ComfyNode):
    """A skill out of a file."""

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
        skill = load_skill(_file(name))
        return io.NodeOutput(skill, ui=ui.PreviewText(f"{skill_said(skill)}."))

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        return files_verdict("skills", None if name is None else [_ended(name)])

    @classmethod
    def fingerprint_inputs(cls, name: str | None = None, **_: Any) -> str:
        return hashlib.sha256(_file(name or "").read_bytes()).hexdigest()


def _file(name: str) -> Path:
    return folders.current().find_model("skills", _ended(name))


def _ended(name: str) -> str:
    return name if name.endswith(".safetensors") else f"{name}.safetensors"
