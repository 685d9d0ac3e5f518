"""Scout Heads and Apply Head Offsets."""

from typing import Any, get_args

from ...core.settings import preset_name, with_entries
from ...core.surgery.begun import PRESETS
from ...core.surgery.heads import offsets as core_offsets
from ...core.surgery.heads.in_force import Where
from ...core.surgery.heads.offsets import as_skill, both, passes_of, scout_denoiser, scout_text
from ...host.adapters import backbone_of, weights_of, with_skill
from ...host.jobs.surgery.heads import heads_map, heads_said
from ...host.jobs.surgery.reports import skill_said
from ...host.schema import io
from ...host.shared.progress import Counter
from ..sockets import (
    CATEGORY,
    HeadOffsets,
    Skill,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    page_under,
    preset_choice,
    preset_verdict,
    seed_input,
    settings_input,
    settings_verdict,
    text_input,
    text_under,
)

COUNT = 16


class ScoutHeads(io.ComfyNode):
    """Which attention heads respond to a concept, and by what."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierScoutHeads",
            display_name="Scout Heads",
            category=f"{CATEGORY}/surgery",
            description=(
                "Starts drawing pictures of a concept and compares the output of every cross-attention "
                "head with its output for other words at the same noise. Heads are ranked by how far the "
                "concept stands out, and the mean difference is what Apply Head Offsets adds. Heads of "
                "the text encoder can be read as well. Nothing is trained; UNets and CLIP text encoders "
                "are read."
            ),
            search_aliases=["LoFiT", "ITI", "attention heads", "head map", "inference-time intervention", "steering"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model whose heads are read."),
                io.Clip.Input("clip", tooltip="The text encoder of that model."),
                io.String.Input("concept", default="cat", tooltip="A word or a short phrase: an object or a style."),
                text_input(
                    "others",
                    "dog, lion, rabbit, fox",
                    "Other words to compare with, at least two, one per line or separated by commas.",
                ),
                preset_choice(
                    list(PRESETS),
                    "How pictures are begun. small: for the lab model. paper: pictures of 512 pixels.",
                ),
                seed_input("Random seed of the pictures."),
                settings_input(
                    "Settings as name=value, separated by commas; empty keeps the preset's: draws=8 pictures, "
                    "steps=16 noise levels of each, side=768."
                ),
                heads_of_input("are read"),
            ],
            outputs=[
                HeadOffsets.Output(display_name="OFFSETS", tooltip="For Apply Head Offsets."),
                io.Image.Output(display_name="MAP", tooltip="Layers and heads; the best are framed."),
                io.String.Output(display_name="REPORT", tooltip="The best heads in words."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        concept: str,
        others: str,
        preset: str,
        seed: int,
        settings: str = "",
        heads_of: Where = "denoiser",
    ) -> io.NodeOutput:
        how = with_entries("Scout Heads", PRESETS[preset_name(preset)], lines_of(settings))
        words = lines_of(others)
        count = Counter(cls.hidden.unique_id, passes_of(1 + len(words), how))
        backbone, name = backbone_of(model, clip), concept.strip()
        if heads_of == "text encoder":
            found = scout_text(backbone, name, words)
        else:
            found = scout_denoiser(backbone, name, words, how, seed, count)
            found = both(found, scout_text(backbone, name, words)) if heads_of == "both" else found
        page, report = heads_map(found, COUNT), heads_said(found, COUNT)
        return io.NodeOutput(found, page, report, ui=page_under(cls, page, report))

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concept: str | None = None,
        others: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            settings_verdict("Scout Heads", PRESETS, preset, settings),
            list_verdict("concept", concept),
            list_verdict("others", others),
            embeddings_verdict(concept=concept, others=others),
        )


def heads_of_input(done: str) -> Any:
    """Whose heads; ``done`` says what is done with them."""
    return io.Combo.Input(
        "heads_of",
        options=list(get_args(Where)),
        default="denoiser",
        optional=True,
        tooltip=f"Whose heads {done}. denoiser: those of cross-attention, which make the picture. text encoder: those "
        "of CLIP, which make what the prompt says. both: ranked together.",
    )


class ApplyHeadOffsets(io.ComfyNode):
    """A model in which a few heads give more of a concept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierApplyHeadOffsets",
            display_name="Apply Head Offsets",
            category=f"{CATEGORY}/surgery",
            description=(
                "Adds the offsets to the output of the best heads for every prompt, or subtracts them. "
                "The change lies in the biases after these heads: a few kilobytes, which Save Skill Patch "
                "writes. LoRA loaders keep working."
            ),
            search_aliases=["LoFiT", "ITI", "head offset", "bias", "steering vector"],
            inputs=[
                io.Model.Input("model", tooltip="The model that the heads were scouted on."),
                HeadOffsets.Input("offsets", tooltip="From Scout Heads or Train Head Offsets."),
                io.Int.Input("heads", default=COUNT, min=1, max=4096, tooltip="How many of the best heads to change."),
                io.Float.Input(
                    "strength",
                    default=4.0,
                    min=-32.0,
                    max=32.0,
                    step=0.1,
                    tooltip="How much of the offsets is added: 1 for those of Train Head Offsets, more for those of "
                    "Scout Heads. Less than 0 takes the concept away, 0 changes nothing.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The text encoder of the model; needed for offsets of its heads.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The model with the offsets."),
                Skill.Output(display_name="SKILL", tooltip="The offsets as a skill, for Save Skill Patch."),
                io.Clip.Output(
                    display_name="CLIP",
                    tooltip="The text encoder with the offsets of its heads, if a text encoder is connected.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model: Any, offsets: core_offsets.HeadOffsets, heads: int, strength: float, clip: Any = None
    ) -> io.NodeOutput:
        if offsets.of_text and clip is None:
            raise ValueError("the offsets belong to heads of the text encoder, too; connect the CLIP of this model")
        skill = as_skill(offsets, heads, strength, weights_of(model, clip))
        changed, text = with_skill(model, clip, skill)
        said = f"{skill.metadata['heads']} heads: {skill_said(skill)}."
        return io.NodeOutput(changed, skill, text, ui=text_under(said))
