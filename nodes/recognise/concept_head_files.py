"""Save and Load Concept Head."""

from ...core.recognise.heads import head as core_head
from ...core.recognise.heads.head_files import head_tensors, load_head
from ...host.jobs.recognise.heads import weights_said
from ...host.schema import io, ui
from ..model_files import LoadsModelFile, SavesModelFile, name_input, saved_text
from ..sockets import CATEGORY, ConceptHead, file_input


class SaveConceptHead(SavesModelFile):
    """A concept head to a file."""

    KIND = "concept_heads"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveConceptHead",
            display_name="Save Concept Head",
            category=f"{CATEGORY}/recognise",
            description=(
                "Writes a concept head to the folder models/concept_heads, with all that scoring needs: "
                "the words, the ingredients, and a fingerprint of the encoder. A file of this name that "
                "existed before the run is replaced; if the file was written during the run, the next "
                "free name is used."
            ),
            search_aliases=["export classifier", "save taste", "save concept bottleneck"],
            is_output_node=True,
            inputs=[
                ConceptHead.Input("head", tooltip="From Train Concept Head."),
                name_input("atelier/head"),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file, for Load Concept Head.")],
        )

    @classmethod
    def execute(cls, head: core_head.ConceptHead, name: str) -> io.NodeOutput:
        saved = cls.write(name, head_tensors(head))
        return io.NodeOutput(saved.name, ui=saved_text(str(saved.path), saved))


class LoadConceptHead(LoadsModelFile):
    """A concept head out of a file."""

    KIND = "concept_heads"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadConceptHead",
            display_name="Load Concept Head",
            category=f"{CATEGORY}/recognise",
            description=(
                "Loads a file of Save Concept Head. Score by Concept Head refuses it for another picture encoder than "
                "that of the training."
            ),
            search_aliases=["import classifier", "load taste", "load concept bottleneck"],
            inputs=[file_input("concept_heads", "atelier/head")],
            outputs=[ConceptHead.Output(display_name="CONCEPT_HEAD", tooltip="The concept head.")],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        head = load_head(cls.path_of(name))
        return io.NodeOutput(head, ui=ui.PreviewText("\n".join(weights_said(head))))
