"""Localize Skill."""

from typing import Any

from ...core.surgery.localiser import wanted_by
from ...core.surgery.methods.dataless import SCOPES, DatalessSettings
from ...core.surgery.registry import METHODS
from ...host.adapters import backbone_of, weights_of, with_skill
from ...host.jobs.surgery.reports import base_fingerprint, skill_said
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..sockets import CATEGORY, Skill, lines_of, text_under


class LocalizeSkill(io.ComfyNode):
    """The few parameters that carry what a fine-tune or a LoRA learnt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLocalizeSkill",
            display_name="Localize Skill",
            category=f"{CATEGORY}/surgery",
            description=(
                "Compares a fine-tune with the model it was made from and keeps the few parameters that carry what it "
                "learnt. The fine-tune is another checkpoint, or the MODEL of a LoRA loader. The result can be "
                "stitched to other skills, compared with them, subtracted or saved."
            ),
            search_aliases=["Localise Skill", "task vector", "sparse LoRA", "merge models", "Localize-and-Stitch"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model that the fine-tune was made from."),
                io.Model.Input(
                    "tuned_model", tooltip="The fine-tune: another checkpoint, or the MODEL of a LoRA loader."
                ),
                io.Float.Input(
                    "share",
                    default=5.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Percentage of the parameters to keep, counted in the weights that the "
                    "fine-tune changed. 100 is the fine-tune itself, 0 the model.",
                ),
                io.Combo.Input(
                    "scope",
                    options=list(SCOPES),
                    default=SCOPES[0],
                    tooltip="How parameters compete to be kept. global: across the whole model. layer: "
                    "each weight keeps the same share. relative: across the whole model, with "
                    "each change divided by the size (root mean square) of its weight; this suits "
                    "UNets, whose convolutions and norms differ in size.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder of the model."),
                io.Clip.Input(
                    "tuned_clip", optional=True, tooltip="The text encoder of the fine-tune; needs clip as well."
                ),
                io.String.Input(
                    "only",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Weights to look at: parts of their names, separated by commas, such as attn2. Empty is "
                    "all.",
                ),
                io.String.Input(
                    "skip",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Weights to leave alone: parts of their names, such as norm, bias, conv_in, conv_out.",
                ),
                io.Boolean.Input(
                    "mask_noise",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Ignore differences that come only from saving a file in 16 bits. At a share "
                    "of 100 nothing is left out.",
                ),
            ],
            outputs=[
                Skill.Output(display_name="SKILL", tooltip="For the other nodes of this group."),
                io.Model.Output(display_name="MODEL", tooltip="The model with the skill alone."),
                io.Clip.Output(display_name="CLIP", tooltip="The text encoder with the skill, if you connected both."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        tuned_model: Any,
        share: float,
        scope: Any,
        clip: Any = None,
        tuned_clip: Any = None,
        only: str = "",
        skip: str = "",
        mask_noise: bool = True,
    ) -> io.NodeOutput:
        if (clip is None) != (tuned_clip is None):
            raise ValueError("clip and tuned_clip belong together: connect both, or neither")
        backbone = backbone_of(model=model, clip=clip)
        found = METHODS["dataless"].localise(
            weights_of(model, clip),
            weights_of(tuned_model, tuned_clip),
            backbone.family,
            DatalessSettings(share / 100, scope, mask_noise),
            wanted_by(lines_of(only), lines_of(skip)),
            base_fingerprint(backbone),
            start_progress(cls.hidden.unique_id),
        )
        return io.NodeOutput(found, *with_skill(model, clip, found), ui=text_under(f"{skill_said(found)}."))
