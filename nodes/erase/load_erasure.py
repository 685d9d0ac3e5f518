"""Load Erasure."""

from typing import Any

from ...core.backbone import Backbone
from ...core.erase.parts.saved import load_erasure
from ...host.adapters import UnsupportedModelError, backbone_of
from ...host.schema import io
from ..model_files import LoadsModelFile
from ..sockets import CATEGORY, Erasure
from .erase_concepts import erased


class LoadErasure(LoadsModelFile):
    """An erasure out of a file, with its lists, for the model that it was made on."""

    KIND = "loras"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadErasure",
            display_name="Load Erasure",
            category=f"{CATEGORY}/erase",
            description=(
                "Loads a file of Save Erasure as LoRA and erases the same concepts again. It says what the file "
                "erases, and refuses any model but the one that the erasure was made on; a LoRA loader does not check."
            ),
            search_aliases=["import erasure", "load unlearning", "apply erasure"],
            inputs=[
                io.Model.Input("model", tooltip="The model that the erasure was made on."),
                io.String.Input(
                    "name",
                    default="atelier/erased",
                    tooltip="Name in the loras folder, with or without .safetensors.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Factor on the strength that the file was saved with. 0 changes nothing, and negative "
                    "values amplify the concepts.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The text encoder, for files of methods that change it, such as HiRM.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The model without the concepts."),
                Erasure.Output(display_name="ERASURE", tooltip="The change itself, for Save Erasure as LoRA."),
                io.Clip.Output(
                    display_name="CLIP", tooltip="The text encoder to encode prompts with, if you connected one."
                ),
            ],
        )

    @classmethod
    def execute(cls, model: Any, name: str, strength: float, clip: Any = None) -> io.NodeOutput:
        backbone = backbone_of(model=model, clip=clip)
        weights, text = backbone.key_value_weights(), None if clip is None else backbone.text_weights()
        others, held = _others(backbone), backbone.attention_tensors()
        erasure = load_erasure(cls.path_of(name), weights, backbone.family, strength, text, others, held)
        return erased(model, clip, backbone, erasure)


def _others(backbone: Backbone) -> dict[str, tuple[int, int]]:
    """The attention weights that trained erasures change, by name; none for models whose weights are not trained."""
    try:
        return {one.name: one.shape for one in backbone.attention_weights()}
    except UnsupportedModelError:
        return {}
