"""Score by Concepts."""

from typing import Any

from torch import Tensor

from ...core.recognise.soft_trim import TrimSettings
from ...host.jobs.recognise.prompts import TEMPLATE, check_class_template, judge, read_classes
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..picture_names import given_names, line_each, names_of, names_socket
from ..sockets import CATEGORY, ConceptScores, pair_inputs, picture_batch, text_input

CLASSES = "cat: whiskers, pointed ears, long tail\ndog: floppy ears, long snout, collar"


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
                    tooltip="Keep at most this many prompts for each class: those that differ most from one another.",
                ),
                io.Float.Input(
                    "upper",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    optional=True,
                    advanced=True,
                    tooltip="Caps the score of a concept at this many median absolute deviations above "
                    "the median of its class, so that one wrong concept cannot decide the class. "
                    "Works best if all classes have the same concepts, which are then also "
                    "compared across classes. 0 turns both off, as in the paper.",
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
