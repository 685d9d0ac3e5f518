"""Complete Captions, Lint Concepts."""

from typing import Any

import torch
from torch import Tensor

from ...core.recognise.captions.complete import CompleteSettings, complete
from ...core.recognise.captions.lint import LintSettings, lint
from ...core.recognise.captions.words import concepts_of, mentions
from ...core.recognise.heads import head as core_head
from ...host.jobs.paired_texts import TEMPLATE, word_features
from ...host.jobs.recognise.captions import (
    caption_lines,
    captions_meant,
    completed,
    completion_report,
    completion_sheet,
    lint_report,
    look_shares,
    looks_of,
    prompts_to_add,
)
from ...host.jobs.recognise.purity import concept_values, purity_said
from ...host.jobs.recognise.subjects import names_for
from ...host.jobs.vision import picture_features, window_features
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..picture_names import given_names, names_input, names_of
from ..sockets import CATEGORY, ConceptHead, lines_of, page_under, pair_inputs, picture_batch, template_verdict

LOOKS = (
    "indoors, outdoors\nclose-up, whole figure\nfront view, side view, view from behind\nbright, dark\n"
    "plain background, busy background"
)


def captions_input() -> Any:
    """A caption for each picture."""
    return io.String.Input(
        "captions",
        default="",
        multiline=True,
        tooltip="A caption for each picture, one per line, in their order: CAPTIONS of Load Picture Folder.",
    )


def vocabulary_input() -> Any:
    """What is looked for in captions."""
    return io.String.Input(
        "vocabulary",
        default="",
        multiline=True,
        tooltip="The concepts that are looked for in captions, one per line or with commas. Empty takes what at least "
        "two captions mention: tags, or words.",
    )


def concepts_in(captions: list[str], vocabulary: str) -> list[str]:
    """The vocabulary, or what captions mention. Raises ``ValueError`` where there are fewer than two concepts."""
    found = list(dict.fromkeys(lines_of(vocabulary))) or concepts_of(captions)
    if len(found) < 2:
        raise ValueError("no two concepts are each mentioned by at least two captions; list some in vocabulary")
    return found


class CompleteCaptions(io.ComfyNode):
    """What captions leave out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierCompleteCaptions",
            display_name="Complete Captions",
            category=f"{CATEGORY}/recognise",
            description=(
                "Finds what the captions of a training folder leave out: concepts that captions of "
                "similar pictures mention and that the picture probably shows too, at most one from each "
                "group of similar concepts, each with the picture that it was taken from."
            ),
            search_aliases=["CoCu", "caption dataset", "tagger", "missing tags", "LoRA captions"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="The training folder, from Load Picture Folder."),
                *pair_inputs(),
                captions_input(),
                vocabulary_input(),
                io.Int.Input(
                    "neighbours", default=8, min=1, max=1000, tooltip="Similar pictures whose captions are read."
                ),
                io.Float.Input(
                    "probability",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How probable it must be that the picture shows a concept. Higher adds less and is surer.",
                ),
                io.Int.Input("most", default=3, min=1, max=100, tooltip="Add at most this many concepts to a caption."),
                names_input(),
                io.Float.Input(
                    "omitted",
                    default=0.3,
                    min=0.01,
                    max=0.9,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Your estimate: of the concepts that a picture shows, the share that captions leave out.",
                ),
                io.String.Input(
                    "template",
                    default=TEMPLATE,
                    optional=True,
                    advanced=True,
                    tooltip="The sentence that concepts are put into.",
                ),
                io.Boolean.Input(
                    "windows",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Also compares nine overlapping windows of each picture with the words, which finds small "
                    "things and takes ten times as long.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="CAPTIONS", tooltip="The captions, completed, one per line."),
                io.Image.Output(display_name="SHEET", tooltip="The pictures with what was added, and from where."),
                io.String.Output(display_name="REPORT", tooltip="A line for each caption that was completed."),
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
        neighbours: int,
        probability: float,
        most: int,
        names: str = "",
        omitted: float = 0.3,
        template: str = TEMPLATE,
        windows: bool = True,
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        texts = caption_lines(captions, len(given))
        called = names_of(names, len(given))
        concepts = concepts_in(texts, vocabulary)
        seen = picture_features(clip_vision, given)
        known = word_features(clip_vision, clip, concepts, seen.shape[1], template, progress)
        settings = CompleteSettings(neighbours=neighbours, probability=probability, most=most, omitted=omitted)
        parts = window_features(clip_vision, given, on_step=start_progress(cls.hidden.unique_id)) if windows else None
        added = complete(seen, known, mentions(texts, concepts), settings, windows=parts)
        report = completion_report(added, concepts, called)
        sheet = completion_sheet(given, texts, added, concepts, called)
        shown = page_under(cls, sheet, report)
        return io.NodeOutput("\n".join(completed(texts, added, concepts)), sheet, report, ui=shown)

    @classmethod
    def validate_inputs(cls, template: str | None = None) -> bool | str:
        return template_verdict(template)


class LintConcepts(io.ComfyNode):
    """What the captions of a folder cannot teach."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLintConcepts",
            display_name="Lint Concepts",
            category=f"{CATEGORY}/recognise",
            description=(
                "Checks the captions of a training folder before you train: which concepts always stand together, what "
                "the trigger word is entangled with, and which pictures to add or drop. Connect the pictures to check "
                "what no caption says, such as that all are taken indoors."
            ),
            search_aliases=["dataset check", "tag co-occurrence", "trigger word", "LoRA dataset", "concept bleeding"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                captions_input(),
                vocabulary_input(),
                io.String.Input(
                    "trigger",
                    default="",
                    tooltip="The word that stands for your subject in the captions; may be empty.",
                ),
                io.Int.Input(
                    "fixes",
                    default=5,
                    min=0,
                    max=50,
                    tooltip="The report names at most this many pictures to add or drop.",
                ),
                io.Image.Input("pictures", optional=True, tooltip="The pictures of the captions, in the same order."),
                io.ClipVision.Input("clip_vision", optional=True, tooltip="A picture encoder, to see how they look."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder that was trained with it."),
                io.String.Input(
                    "looks",
                    default=LOOKS,
                    multiline=True,
                    optional=True,
                    tooltip="Looks that exclude one another, a line for each group, with commas between them.",
                ),
                names_input(),
                ConceptHead.Input(
                    "head",
                    optional=True,
                    tooltip="A head from Train Concept Head, to measure from the captions how pure its "
                    "concepts are. Without one, the similarities to the words are measured.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="REPORT", tooltip="What was found and what to do, in words."),
                io.String.Output(display_name="PROMPTS", tooltip="A prompt for each picture to add, one per line."),
            ],
        )

    @classmethod
    def execute(
        cls,
        captions: str,
        vocabulary: str,
        trigger: str,
        fixes: int,
        pictures: Tensor | None = None,
        clip_vision: Any = None,
        clip: Any = None,
        looks: str = LOOKS,
        names: str = "",
        head: core_head.ConceptHead | None = None,
    ) -> io.NodeOutput:
        if clip_vision is None and clip is not None or clip is None and clip_vision is not None and head is None:
            raise ValueError("clip_vision and clip read pictures together; connect both, or neither")
        if head is not None and pictures is None:
            raise ValueError("a head is judged by what it says of pictures; connect pictures, and its clip_vision")
        given = given_names(names)
        count = captions_meant(captions, given) if pictures is None else len(pictures)
        texts, called = caption_lines(captions, count), names_for(count, given)
        word = trigger.strip()
        concepts = [one for one in concepts_in(texts, vocabulary) if one.lower() != word.lower()]
        tags = mentions(texts, concepts)
        found = lint(tags, LintSettings(fixes=fixes))
        has = mentions(texts, [word])[:, 0] if word else torch.ones(count, dtype=torch.bool)
        seen, purity, progress = [], "", start_progress(cls.hidden.unique_id)
        if pictures is not None and clip_vision is not None and clip is not None:
            groups = looks_of(looks)
            features = picture_features(clip_vision, picture_batch(pictures))
            every = [look for group in groups for look in group]
            words = word_features(clip_vision, clip, every, features.shape[1], "a photo, {}", progress)
            seen = look_shares(features @ words.T, groups, has) if bool(has.any()) else []
            if head is None:
                known = word_features(clip_vision, clip, concepts, features.shape[1], TEMPLATE)
                purity = purity_said("similarities to the words", features @ known.T, concepts, tags)
        if head is not None and pictures is not None:
            values = concept_values(head, clip_vision, picture_batch(pictures))
            purity = purity_said("values of the head", values, head.names, mentions(texts, head.names))
        report = lint_report(found, concepts, called, (word, has, tags) if word else None, seen)
        report = "\n".join(line for line in (report, purity) if line)
        return io.NodeOutput(report, "\n".join(prompts_to_add(found, concepts)), ui=ui.PreviewText(report))
