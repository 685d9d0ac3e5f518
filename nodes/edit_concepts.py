"""Edit Concepts."""

from ..core import types
from ..core.localize import edit
from ..host.concept_pictures import concept_masks, describe_concepts
from ..host.schema import io, make_schema, ui
from .sockets import CATEGORY, Concepts


class EditConcepts(io.ComfyNode):
    """Change what a localiser found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return make_schema(
            node_id="ConceptAtelierEditConcepts",
            display_name="Edit Concepts",
            category=f"{CATEGORY}/localize",
            description=(
                "Keep, drop, merge and rename concepts, grow or shrink their masks, add the background. Done in the "
                "order of the inputs; what is left empty changes nothing."
            ),
            search_aliases=["merge masks", "rename concepts", "remove concept"],
            inputs=[
                Concepts.Input("concepts", tooltip="From Localize Concepts or Concepts From Masks."),
                io.String.Input("keep", default="", tooltip="Only these, in this order: 2, 1"),
                io.String.Input("drop", default="", tooltip="All but these: 3, 4"),
                io.String.Input("merge", default="", tooltip="Groups that become one, under the first name: 1+3, 2+4"),
                io.String.Input("rename", default="", tooltip="New names, for prompts: 1=apple, 2=cat"),
                io.Int.Input(
                    "grow", default=0, min=-32, max=32, tooltip="Grid cells to grow every mask by; negative shrinks."
                ),
                io.Boolean.Input(
                    "add_background", default=False, tooltip="Add what no concept covers, as a concept 'background'."
                ),
            ],
            outputs=[
                Concepts.Output(display_name="CONCEPTS"),
                io.Mask.Output(display_name="MASKS", tooltip="One mask per concept, in the picture's size."),
            ],
        )

    @classmethod
    def execute(
        cls,
        concepts: types.Concepts,
        keep: str,
        drop: str,
        merge: str,
        rename: str,
        grow: int,
        add_background: bool,
    ) -> io.NodeOutput:
        for text, change in ((keep, edit.keep), (drop, edit.drop), (merge, edit.merge), (rename, edit.rename)):
            concepts = change(concepts, text) if text.strip() else concepts
        concepts = edit.grow(concepts, grow) if grow else concepts
        concepts = edit.add_background(concepts) if add_background else concepts
        return io.NodeOutput(concepts, concept_masks(concepts), ui=ui.PreviewText(describe_concepts(concepts)))
