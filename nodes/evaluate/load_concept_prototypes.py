"""Load Concept Prototypes."""

from typing import Any

import torch

from ...core.evaluate.prototypes import merge
from ...core.evaluate.sources import GROUNDS
from ...core.messages import counted
from ...host.files import concept_folders, folders
from ...host.jobs.vision import picture_features
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import CATEGORY, ConceptPrototypes


class LoadConceptPrototypes(io.ComfyNode):
    """A folder of concept pictures as what pictures can be taken for."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadConceptPrototypes",
            display_name="Load Concept Prototypes",
            category=f"{CATEGORY}/evaluate",
            description=(
                "Loads a folder with pictures of concepts, so that Score Concepts can say whether a "
                "drawn picture is most similar to the right concept of all (ACC^1, ACC^3). Give each "
                "concept one picture, folder/cat.png, or a folder of several, folder/cat/1.png."
            ),
            search_aliases=["ACC folder", "classification", "benchmark set", "evaluate"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="The same picture encoder that Score Concepts uses."),
                io.String.Input(
                    "folder",
                    default="concepts",
                    tooltip="Name of a folder in the input folder. The SOURCES output of Score Concepts, saved "
                    "there, gives such pictures.",
                ),
                io.Combo.Input(
                    "ground",
                    options=list(GROUNDS),
                    default="grey",
                    advanced=True,
                    tooltip="Colour behind transparent pictures, as in Score Concepts.",
                ),
            ],
            outputs=[
                ConceptPrototypes.Output(display_name="PROTOTYPES", tooltip="For Score Concepts."),
                io.String.Output(display_name="NAMES", tooltip="The names of the concepts, one per line."),
            ],
        )

    @classmethod
    def execute(cls, clip_vision: Any, folder: str, ground: str) -> io.NodeOutput:
        files, progress = concept_folders.list_concepts(folders.current(), folder), start_progress(cls.hidden.unique_id)
        features = []
        for number, file in enumerate(files, 1):
            features.append(picture_features(clip_vision, concept_folders.read_concept(file, ground)))
            progress(number, len(files))
        made = merge([file.name for file in files], torch.cat(features))
        said = f"{counted(len(made), 'concept')} of {counted(len(files), 'picture')}: {', '.join(made.names)}"
        return io.NodeOutput(made, "\n".join(made.names), ui=ui.PreviewText(said))

    @classmethod
    def validate_inputs(cls, folder: str | None) -> bool | str:
        if folder is None:
            return True
        try:
            concept_folders.list_concepts(folders.current(), folder)
        except (FileNotFoundError, ValueError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, **_: Any) -> str:
        return concept_folders.fingerprint(folders.current(), folder)
