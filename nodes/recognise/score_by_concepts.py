"""Score by Concepts, Pick Diverse Prompts, Pick Best of Batch, Classify by Concept Matrix."""

from typing import Any

from torch import Tensor

from ...core.explain import scores as core_scores
from ...core.explain.scores import PictureScores
from ...core.recognise.diverse import pick_diverse
from ...core.recognise.soft_trim import TrimSettings
from ...core.recognise.zero_shot import concept_matrix
from ...host.jobs.paired_texts import TEMPLATE as WORD_TEMPLATE
from ...host.jobs.paired_texts import text_features, word_features
from ...host.jobs.recognise.prompts import (
    TEMPLATE,
    best_of,
    best_sheet,
    check_class_template,
    judge,
    read_classes,
    reason_of,
)
from ...host.jobs.recognise.subjects import names_for
from ...host.jobs.vision import picture_features
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..picture_names import given_names, line_each, names_of, names_socket
from ..sockets import (
    CATEGORY,
    ConceptScores,
    lines_of,
    list_verdict,
    page_under,
    picture_batch,
    template_verdict,
    text_input,
)

CLASSES = "cat: whiskers, pointed ears, long tail\ndog: floppy ears, long snout, collar"


def pair_inputs() -> list[Any]:
    """A picture encoder and the text encoder that was trained with it."""
    return [
        io.ClipVision.Input("clip_vision", tooltip="A picture encoder that shares a space with a text encoder."),
        io.Clip.Input("clip", tooltip="The text encoder that was trained with it; another one is refused."),
    ]


class ScoreByConcepts(io.ComfyNode):
    """Which class a picture shows, judged by concepts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierScoreByConcepts",
            display_name="Score by Concepts",
            category=f"{CATEGORY}/recognise",
            description=(
                "Judges pictures by classes that you describe with concepts, without training. Every class has many "
                "prompts, so that one that fits by accident does not decide, and the node says which concepts did."
            ),
            search_aliases=["CGBC", "zero-shot", "classify", "CLIP score", "rate pictures", "concept bottleneck"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures to judge."),
                *pair_inputs(),
                text_input(
                    "classes",
                    CLASSES,
                    "One class per line, a colon and its concepts: cat: whiskers, pointed ears. A class "
                    "without concepts is judged by its name alone.",
                ),
                io.String.Input(
                    "template",
                    default=TEMPLATE,
                    tooltip="The sentence of a prompt; class and concept in braces stand for the words.",
                ),
                io.Int.Input(
                    "together",
                    default=1,
                    min=1,
                    max=4,
                    tooltip="Concepts that one prompt names, joined by or. The paper takes 3 of some 50.",
                ),
                io.Int.Input(
                    "prompts",
                    default=16,
                    min=1,
                    max=500,
                    tooltip="Prompts of a class at most: those that differ most from one another are kept.",
                ),
                io.Float.Input(
                    "upper",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    optional=True,
                    advanced=True,
                    tooltip="Cuts the score of a concept at so many deviations above the others, so that one false "
                    "concept does not decide a class. Works best where all classes have the same concepts, which are "
                    "then compared across classes. 0 does neither, as in the paper.",
                ),
                names_socket(),
            ],
            outputs=[
                ConceptScores.Output(display_name="CONCEPT_SCORES", tooltip="The probability of each class."),
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
        template: str,
        together: int,
        prompts: int,
        upper: float = 1.0,
        names: str = "",
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        called = names_of(names, len(given))
        named, written = read_classes(classes), check_class_template(template)
        trim = TrimSettings(upper=upper, beyond=upper > 0)
        judged = judge(clip_vision, clip, given, named, written, together, prompts, trim, progress)
        scores = judged.scores().of_pictures(given_names(names))
        report = line_each(called, scores.reasons)
        return io.NodeOutput(scores, report, ui=ui.PreviewText(report))

    @classmethod
    def validate_inputs(cls, classes: str | None = None, template: str | None = None) -> bool | str:
        try:
            check_class_template(TEMPLATE if template is None else template)
            read_classes(CLASSES if classes is None else classes)
        except ValueError as error:
            return str(error)
        return True


class PickDiversePrompts(io.ComfyNode):
    """The most different of many prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierPickDiversePrompts",
            display_name="Pick Diverse Prompts",
            category=f"{CATEGORY}/recognise",
            description=(
                "Picks those of many prompts that mean the most different things, as a text encoder sees them: for "
                "wildcards, for a varied set of pictures, or for the captions of a data set."
            ),
            search_aliases=["DPP", "determinantal point process", "wildcards", "deduplicate prompts", "variety"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that compares the prompts."),
                io.String.Input("prompts", default="", multiline=True, tooltip="The prompts, one per line."),
                io.Int.Input("count", default=8, min=1, max=10_000, tooltip="How many to pick at most."),
            ],
            outputs=[
                io.String.Output(display_name="PROMPTS", tooltip="The picked ones, one per line, the first one first.")
            ],
        )

    @classmethod
    def execute(cls, clip: Any, prompts: str, count: int) -> io.NodeOutput:
        lines = list(dict.fromkeys(line.strip() for line in prompts.splitlines() if line.strip()))
        if not lines:
            raise ValueError("prompts is empty; write at least one, one per line")
        picked = "\n".join(lines[index] for index in pick_diverse(text_features(clip, lines), count))
        return io.NodeOutput(picked, ui=ui.PreviewText(picked))


class PickBestOfBatch(io.ComfyNode):
    """The best pictures of a batch by any scores."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierPickBestOfBatch",
            display_name="Pick Best of Batch",
            category=f"{CATEGORY}/recognise",
            description=(
                "Picks the pictures of a batch that score highest, and says why: by Score by Concepts, Find "
                "Prototypes, or any node that gives CONCEPT_SCORES."
            ),
            search_aliases=["best picture", "select images", "filter batch", "rank", "cherry pick"],
            is_output_node=True,
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures that were scored, in the same order."),
                ConceptScores.Input("scores", tooltip="One number for each picture and class or concept."),
                io.String.Input(
                    "by",
                    default="",
                    tooltip="The class or concept to go by. Empty takes the highest score of each picture.",
                ),
                io.Int.Input("count", default=1, min=1, max=4096, tooltip="How many pictures to pick at most."),
                names_socket("those of the scores are taken, or numbers"),
            ],
            outputs=[
                io.Image.Output(display_name="BEST", tooltip="The picked pictures, the best first."),
                io.Image.Output(
                    display_name="SHEET",
                    tooltip="The picked pictures, then others, each with its score and the reason.",
                ),
                io.String.Output(display_name="REPORT", tooltip="A line for each picked picture, with the reason."),
            ],
        )

    @classmethod
    def execute(
        cls, pictures: Tensor, scores: core_scores.PictureScores, by: str, count: int, names: str = ""
    ) -> io.NodeOutput:
        given, name = picture_batch(pictures), by.strip()
        scores.check_pictures(len(given))
        called = names_for(len(given), given_names(names) or scores.pictures)
        chosen = best_of(scores, name, count)
        sheet = best_sheet(scores, given, chosen, name, called)
        report = line_each([called[index] for index in chosen], [reason_of(scores, index, name) for index in chosen])
        shown = page_under(cls, sheet, report)
        return io.NodeOutput(given[chosen].movedim(1, -1), sheet, report, ui=shown)


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
                "without training, and says which concepts spoke for the class."
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
