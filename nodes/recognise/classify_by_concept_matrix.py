"""Classify by Concept Matrix."""

from typing import Any

from torch import Tensor

from ...core.explain.scores import PictureScores
from ...core.recognise.zero_shot import concept_matrix
from ...host.jobs.paired_texts import TEMPLATE as WORD_TEMPLATE
from ...host.jobs.paired_texts import word_features
from ...host.jobs.vision import picture_features
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..picture_names import given_names, line_each, names_of, names_socket
from ..sockets import (
    CATEGORY,
    ConceptScores,
    lines_of,
    list_verdict,
    pair_inputs,
    picture_batch,
    template_verdict,
    text_input,
)


class ClassifyByConceptMatrix(io.ComfyNode):
    """Which class a picture shows, by its similarities to many concepts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierClassifyByConceptMatrix",
            display_name="Classify by Concept Matrix",
            category=f"{CATEGORY}/recognise",
            description=(
                "Compares what each picture has of many concepts with what each class has of them, by words alone and "
                "without training, and says which concepts decided the class."
            ),
            search_aliases=["CMS", "concept matrix search", "zero-shot", "interpretable classifier"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures to classify."),
                *pair_inputs(),
                io.String.Input(
                    "classes", default="cat, dog", multiline=True, tooltip="Classes, one per line or with commas."
                ),
                text_input(
                    "concepts", "", "Concepts that classes may have, one per line or separated by commas; at least two."
                ),
                io.Combo.Input(
                    "columns",
                    options=["standard", "sum"],
                    default="standard",
                    tooltip="How similarities to each concept are made comparable over the batch. sum: divided by "
                    "their sum, as in the paper. standard: by mean and deviation, which suits any encoder.",
                ),
                io.String.Input("template", default=WORD_TEMPLATE, tooltip="The sentence that words are put into."),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="Pictures whose means are taken, so that an answer does not depend on the batch.",
                ),
                names_socket(),
            ],
            outputs=[
                ConceptScores.Output(display_name="CONCEPT_SCORES", tooltip="How well each class fits, -1 to 1."),
                io.String.Output(display_name="REPORT", tooltip="A line for each picture: its class and why."),
            ],
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        clip_vision: Any,
        clip: Any,
        classes: str,
        concepts: str,
        columns: str,
        template: str,
        reference: Tensor | None = None,
        names: str = "",
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        called, seen = names_of(names, len(given)), picture_features(clip_vision, given)
        kinds, known = list(dict.fromkeys(lines_of(classes))), list(dict.fromkeys(lines_of(concepts)))
        texts = word_features(clip_vision, clip, [*kinds, *known], seen.shape[1], template, progress)
        beside = None if reference is None else picture_features(clip_vision, picture_batch(reference))
        values, parts = concept_matrix(seen, texts[: len(kinds)], texts[len(kinds) :], columns, beside)  # type: ignore[arg-type]
        reasons = []
        for row, part in zip(values, parts, strict=True):
            best = int(row.argmax())
            spoke = ", ".join(known[index] for index in part[best].topk(min(3, len(known))).indices.tolist())
            reasons.append(f"{kinds[best]} {float(row[best]):.2f}: {spoke}")
        scores = PictureScores(values, tuple(kinds), "fit", reasons=tuple(reasons), pictures=tuple(given_names(names)))
        report = line_each(called, reasons)
        return io.NodeOutput(scores, report, ui=ui.PreviewText(report))

    @classmethod
    def validate_inputs(cls, template: str | None = None, concepts: str | None = None) -> bool | str:
        verdict = template_verdict(template)
        return verdict if verdict is not True else list_verdict("concepts", concepts)
