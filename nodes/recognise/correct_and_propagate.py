"""Correct and Propagate."""

from typing import Any

from torch import Tensor

from ...core.explain.scores import PictureScores
from ...host.jobs.recognise.captions import caption_lines, captions_meant
from ...host.jobs.recognise.correcting import Folder, correct
from ...host.jobs.recognise.subjects import names_for
from ...host.jobs.vision import picture_features
from ...host.schema import io, ui
from ..picture_names import given_names, names_input
from ..sockets import CATEGORY, ConceptScores, lines_of, picture_batch
from .captions import captions_input, concepts_in, vocabulary_input


class CorrectAndPropagate(io.ComfyNode):
    """One corrected concept, and what follows from it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierCorrectAndPropagate",
            display_name="Correct and Propagate",
            category=f"{CATEGORY}/recognise",
            description=(
                "Learns from the captions of a folder which concepts go together. Correct one concept of a picture and "
                "its relatives follow; concepts that all else makes probable are added to captions if you ask for it. "
                "With the pictures and a CLIP_VISION, what pictures show counts too."
            ),
            search_aliases=[
                "ECBM",
                "energy",
                "tag dependencies",
                "concept bottleneck",
                "fix captions",
                "co-occurrence",
            ],
            is_output_node=True,
            inputs=[
                captions_input(),
                vocabulary_input(),
                io.String.Input(
                    "corrections",
                    default="",
                    multiline=True,
                    tooltip="One picture a line, by its number from 1: 3: +crown, -cat. May be empty.",
                ),
                io.String.Input(
                    "classes",
                    default="",
                    tooltip="Concepts of which every caption names exactly one, with commas; may be empty.",
                ),
                io.Boolean.Input("complete", default=False, tooltip="Also add probable concepts to other captions."),
                io.Float.Input(
                    "probability",
                    default=0.7,
                    min=0.5,
                    max=1.0,
                    step=0.05,
                    tooltip="How probable a concept must be to be added to a caption.",
                ),
                io.Image.Input("pictures", optional=True, tooltip="The pictures of the captions, in the same order."),
                io.ClipVision.Input("clip_vision", optional=True, tooltip="A picture encoder, to see what they show."),
                names_input(),
            ],
            outputs=[
                io.String.Output(display_name="CAPTIONS", tooltip="The captions, corrected, one per line."),
                ConceptScores.Output(
                    display_name="CONCEPT_SCORES", tooltip="The probability of each concept in each caption."
                ),
                io.String.Output(
                    display_name="REPORT", tooltip="What followed from corrections, and what goes together."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        captions: str,
        vocabulary: str,
        corrections: str,
        classes: str,
        complete: bool,
        probability: float,
        pictures: Tensor | None = None,
        clip_vision: Any = None,
        names: str = "",
    ) -> io.NodeOutput:
        if (pictures is None) != (clip_vision is None):
            raise ValueError("pictures and clip_vision are read together; connect both, or neither")
        given = given_names(names)
        count = captions_meant(captions, given) if pictures is None else len(pictures)
        texts, called = caption_lines(captions, count), names_for(count, given)
        kinds = list(dict.fromkeys(lines_of(classes)))
        concepts = list(dict.fromkeys([*concepts_in(texts, vocabulary), *kinds]))
        features = None if pictures is None else picture_features(clip_vision, picture_batch(pictures))
        folder = Folder(texts, called, concepts, kinds)
        found = correct(folder, corrections, features, probability if complete else None)
        scores = PictureScores(found.probabilities, tuple(concepts), "probability").of_pictures(given)
        return io.NodeOutput("\n".join(found.texts), scores, found.report, ui=ui.PreviewText(found.report))
