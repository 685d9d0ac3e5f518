"""Align Text and Pictures, Decompose Embedding, Edit Embedding."""

from typing import Any

from torch import Tensor

from ...core.explain.scores import PictureScores
from ...core.recognise.captions.words import mentions
from ...core.recognise.embeddings import decompose as core_decompose
from ...core.recognise.embeddings.align import AlignSettings
from ...host.jobs.recognise.captions import caption_lines
from ...host.jobs.recognise.embeddings import (
    READS,
    decomposed,
    decomposed_text,
    edit_lines,
    edit_output,
    learn_alignment,
    read_edits,
    weight_lines,
)
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..picture_names import given_names, line_each, names_of, names_socket
from ..sockets import CATEGORY, ClipVisionOutput, ConceptScores, EmbeddingAlignment, picture_batch, text_input
from .captions import captions_input, concepts_in, vocabulary_input

SPARSITY = 0.1


def sparsity_input() -> Any:
    """How few concepts an embedding is made of."""
    return io.Float.Input(
        "sparsity",
        default=SPARSITY,
        min=0.0,
        max=0.9,
        step=0.05,
        optional=True,
        advanced=True,
        tooltip="Higher names fewer concepts and makes their weights smaller; 0 takes all that help.",
    )


class AlignTextAndPictures(io.ComfyNode):
    """Named directions of a picture encoder, from a captioned folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierAlignTextAndPictures",
            display_name="Align Text and Pictures",
            category=f"{CATEGORY}/recognise",
            description=(
                "Learns from a captioned folder which part of a picture's embedding its caption describes, and which "
                "direction each concept has. It takes seconds, and the two encoders need not have been trained "
                "together. "
                "Decompose Embedding and Edit Embedding use it."
            ),
            search_aliases=["CCA", "canonical correlation", "SCoCCA", "embedding directions", "image embedding"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="The folder, from Load Picture Folder; some hundred pictures."),
                io.ClipVision.Input("clip_vision", tooltip="The picture encoder whose embeddings will be edited."),
                io.Clip.Input("clip", tooltip="Any CLIP text encoder; it reads the captions."),
                captions_input(),
                vocabulary_input(),
                io.Combo.Input(
                    "reads",
                    options=list(READS),
                    default="one vector",
                    tooltip="Which part of the embedding to read. one vector: what unCLIP models read. positions: what "
                    "style models and FLUX Redux read, and all that SigLIP gives.",
                ),
                io.Float.Input(
                    "shrinkage",
                    default=0.1,
                    min=0.01,
                    max=0.9,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "How far covariances are shrunk towards the identity; raise it if there are few pictures."
                    ),
                ),
                io.Int.Input(
                    "axes",
                    default=64,
                    min=1,
                    max=1024,
                    optional=True,
                    advanced=True,
                    tooltip="How many common axes of texts and pictures are kept.",
                ),
            ],
            outputs=[
                EmbeddingAlignment.Output(
                    display_name="EMBEDDING_ALIGNMENT", tooltip="For Decompose Embedding and Edit Embedding."
                ),
                io.String.Output(display_name="REPORT", tooltip="How well texts and pictures go together."),
            ],
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        clip_vision: Any,
        clip: Any,
        captions: str,
        vocabulary: str,
        reads: str,
        shrinkage: float = 0.1,
        axes: int = 64,
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        texts = caption_lines(captions, len(given))
        concepts = concepts_in(texts, vocabulary)
        settings = AlignSettings(shrinkage=shrinkage, axes=axes)
        on = mentions(texts, concepts)
        found = learn_alignment(clip_vision, clip, given, texts, on, concepts, reads, settings, progress)
        shares = found.axes.correlations
        left = len(concepts) - len(found.names)
        report = (
            f"{len(shares)} common axes of {len(given)} pictures and captions; correlations from "
            f"{float(shares[0]):.2f} to {float(shares[-1]):.2f}. {len(found.names)} concepts have a direction"
            + (f"; {left} have too few pictures with or without them." if left else ".")
        )
        return io.NodeOutput(found, report, ui=ui.PreviewText(report))


class DecomposeEmbedding(io.ComfyNode):
    """What an embedding is made of, in words."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierDecomposeEmbedding",
            display_name="Decompose Embedding",
            category=f"{CATEGORY}/recognise",
            description=(
                "Says what the embedding of a picture, or of a prompt, is made of: few concepts with "
                "weights, such as fox 0.9, watercolor 0.7, and how much of it they explain (R2). A weight "
                "of 1 means as present as usual in pictures whose caption mentions the concept."
            ),
            search_aliases=["SCoCCA", "sparse embedding", "explain image embedding", "unCLIP", "Redux", "lasso"],
            is_output_node=True,
            inputs=[
                EmbeddingAlignment.Input("alignment", tooltip="From Align Text and Pictures."),
                ClipVisionOutput.Input(
                    "clip_vision_output", optional=True, tooltip="From CLIP Vision Encode, best without its crop."
                ),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="A prompt instead, encoded by the text encoder of the alignment.",
                ),
                sparsity_input(),
                names_socket(),
            ],
            outputs=[
                ConceptScores.Output(display_name="CONCEPT_SCORES", tooltip="The weight of each concept."),
                io.String.Output(display_name="REPORT", tooltip="A line for each embedding."),
            ],
        )

    @classmethod
    def execute(
        cls,
        alignment: core_decompose.Alignment,
        clip_vision_output: Any = None,
        conditioning: Any = None,
        sparsity: float = SPARSITY,
        names: str = "",
    ) -> io.NodeOutput:
        if (clip_vision_output is None) == (conditioning is None):
            both = "both are connected" if conditioning is not None else "neither is connected"
            raise ValueError(f"connect either a CLIP_VISION_OUTPUT or a CONDITIONING; {both}")
        if clip_vision_output is not None:
            found = decomposed(alignment, clip_vision_output, sparsity)
            called = names_of(names, len(found.weights))
        else:
            found = decomposed_text(alignment, conditioning, sparsity)
            called = [f"prompt {number}" for number in range(1, len(found.weights) + 1)]
        lines = weight_lines(alignment, found)
        report = line_each(called, lines)
        known = tuple(given_names(names)) if conditioning is None else ()
        scores = PictureScores(found.weights, alignment.names, "weight", reasons=tuple(lines), pictures=known)
        return io.NodeOutput(scores, report, ui=ui.PreviewText(report))


class EditEmbedding(io.ComfyNode):
    """A picture's embedding with other concepts in it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierEditEmbedding",
            display_name="Edit Embedding",
            category=f"{CATEGORY}/recognise",
            description=(
                "Changes what a picture's embedding says, as a prompt would: scale, swap, add or remove a "
                "concept. Everything that the edits do not mention stays as it is. Connect the result to "
                "unCLIP Conditioning, or to Apply Style Model for FLUX Redux."
            ),
            search_aliases=["SCoCCA", "edit image embedding", "unCLIP", "Redux", "style model", "concept swap"],
            is_output_node=True,
            inputs=[
                EmbeddingAlignment.Input("alignment", tooltip="From Align Text and Pictures, with the same encoder."),
                ClipVisionOutput.Input("clip_vision_output", tooltip="From CLIP Vision Encode, best without its crop."),
                text_input(
                    "edits",
                    "cat -> dog",
                    "One per line. cat -> dog swaps, snow * 1.5 scales, fox = 1 adds as much as is usual, red "
                    "= 0 "
                    "removes.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    tooltip="How much of the change is made; 0 gives the embedding as it was. On the lab's pictures, "
                    "2 to 3 swapped "
                    "more surely than 1.",
                ),
                sparsity_input(),
                names_socket(),
            ],
            outputs=[
                ClipVisionOutput.Output(
                    display_name="CLIP_VISION_OUTPUT", tooltip="For unCLIP Conditioning or Apply Style Model."
                ),
                io.String.Output(display_name="REPORT", tooltip="Which weights changed, for each picture."),
            ],
        )

    @classmethod
    def execute(
        cls,
        alignment: core_decompose.Alignment,
        clip_vision_output: Any,
        edits: str,
        strength: float,
        sparsity: float = SPARSITY,
        names: str = "",
    ) -> io.NodeOutput:
        wanted = read_edits(edits, alignment)
        edited, before, after = edit_output(alignment, clip_vision_output, wanted, sparsity, strength)
        lines = edit_lines(alignment, before, after)
        report = line_each(names_of(names, len(lines)), lines)
        return io.NodeOutput(edited, report, ui=ui.PreviewText(report))
