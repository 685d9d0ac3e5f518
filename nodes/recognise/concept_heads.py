"""Train Concept Head, Score by Concept Head."""

import json
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ...core.explain import activations as core_activations
from ...core.explain import bank as core_bank
from ...core.recognise.heads import head as core_head
from ...core.recognise.heads.registry import LAYERS
from ...core.recognise.heads.training import HeadSettings, check_labels, examine_head, fit_head
from ...core.settings import with_entries
from ...host.jobs.paired_texts import TEMPLATE
from ...host.jobs.recognise.heads import (
    FeatureSource,
    class_masks,
    describe_training,
    labels_of,
    scores_for,
    source_for,
    source_of,
    weights_chart,
)
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..picture_names import given_names, line_each, names_of, names_socket
from ..sockets import (
    CATEGORY,
    Activations,
    ConceptBank,
    ConceptHead,
    ConceptScores,
    lines_of,
    page_under,
    picture_batch,
    seed_input,
    settings_input,
    template_verdict,
    text_input,
)

FEATURES = {"words": "words", "raw numbers": "raw", "ingredients": "ingredients"}
"""Choices of people to kinds of features."""


class TrainConceptHead(io.ComfyNode):
    """Classes predicted from few concepts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierTrainConceptHead",
            display_name="Train Concept Head",
            category=f"{CATEGORY}/recognise",
            description=(
                "Learns from labelled pictures, or from ones you like and ones you do not, which few concepts make the "
                "difference, within seconds, and says how much that is worth."
            ),
            search_aliases=["concept bottleneck", "CBM", "taste", "aesthetic score", "linear probe", "what do I like"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures to learn from: those you like, or labelled ones."),
                io.ClipVision.Input("clip_vision", tooltip="The picture encoder that reads them."),
                text_input(
                    "labels",
                    "",
                    "The class of each picture, one per line, in their order. Leave it empty where disliked "
                    "pictures are connected.",
                ),
                io.Combo.Input(
                    "features",
                    options=list(FEATURES),
                    default="words",
                    tooltip="What describes the pictures. words: how similar they are to each word. raw numbers: "
                    "what the encoder gives, which has no names. ingredients: strengths of a CONCEPT_BANK.",
                ),
                text_input(
                    "words",
                    "",
                    "Words that may make the difference, one per line or with commas. Empty takes some 160 "
                    "common ones.",
                ),
                io.Combo.Input(
                    "layer",
                    options=list(LAYERS),
                    default="none",
                    tooltip="\n".join(f"{one.title}: {one.help}" for one in LAYERS.values()),
                ),
                io.Int.Input(
                    "largest",
                    default=5,
                    min=0,
                    max=1000,
                    tooltip="Keep at most this many concepts for each class; 0 keeps all.",
                ),
                seed_input("Random seed for the cross-validation folds and for the training."),
                io.Image.Input("disliked", optional=True, tooltip="Pictures that you do not like."),
                io.Clip.Input(
                    "clip", optional=True, tooltip="The text encoder that was trained with the picture encoder."
                ),
                ConceptBank.Input(
                    "bank", optional=True, tooltip="Ingredients or a subject, for features of that kind."
                ),
                Activations.Input(
                    "activations",
                    optional=True,
                    tooltip=(
                        "Activations of the pictures, followed by those of the disliked ones, "
                        "recorded in the same way as those of the ingredients."
                    ),
                ),
                io.String.Input(
                    "template",
                    default=TEMPLATE,
                    optional=True,
                    advanced=True,
                    tooltip="The sentence that words are put into.",
                ),
                io.Int.Input(
                    "permutations",
                    default=10,
                    min=0,
                    max=1000,
                    optional=True,
                    advanced=True,
                    tooltip="Number of trainings with shuffled labels, for comparison.",
                ),
                settings_input(
                    "Settings of the concept layer as name=value, separated by commas; empty keeps its own: steps=300."
                ),
                io.String.Input(
                    "site",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="The layer of the encoder that a local concept layer reads, as in Record Activations. "
                    "Empty takes a good one.",
                ),
            ],
            outputs=[
                ConceptHead.Output(display_name="CONCEPT_HEAD", tooltip="For Score by Concept Head."),
                io.Image.Output(display_name="CHART", tooltip="The concepts that each class rests on."),
                io.String.Output(display_name="REPORT", tooltip="What was learnt and how much it is worth."),
            ],
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        clip_vision: Any,
        labels: str,
        features: str,
        words: str,
        layer: str,
        largest: int,
        seed: int,
        disliked: Tensor | None = None,
        clip: Any = None,
        bank: core_bank.ConceptBank | None = None,
        activations: core_activations.Activations | None = None,
        template: str = TEMPLATE,
        permutations: int = 10,
        settings: str = "",
        site: str = "",
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        known, classes = labels_of(len(given), 0 if disliked is None else len(disliked), labels)
        check_labels(known, classes)
        record, kind = LAYERS[layer], FEATURES[features]
        own = with_entries(layer, record.settings, lines_of(settings))
        chosen = HeadSettings(largest=largest, permutations=permutations)
        source = source_for(kind, layer, clip_vision, clip, lines_of(words), template, bank, site)  # type: ignore[arg-type]
        further = None if disliked is None else picture_batch(disliked)
        read = _Reading(given, further, activations)
        seen, raw = read.features(source), read.features(FeatureSource("raw", clip_vision))
        report = examine_head(seen, known, len(classes), record, chosen, own, raw, seed, progress)
        fitted = fit_head(seen, known, len(classes), record, chosen, own, seed)
        facts = {
            "pictures": str(len(known)),
            "accuracy": f"{report.accuracy:.4f}",
            "settings": json.dumps(asdict(chosen)),
        }
        texts = torch.zeros(0, 0) if source.texts is None else source.texts
        head = core_head.ConceptHead(
            seen.kind, seen.names, classes, layer, fitted, seen.origin, seen.site, texts, source.bank, facts
        )
        said, chart = describe_training(head, report, known), weights_chart(head)
        return io.NodeOutput(head, chart, said, ui=page_under(cls, chart, said))

    @classmethod
    def validate_inputs(cls, template: str | None = None) -> bool | str:
        return template_verdict(template)


class _Reading:
    """Features of liked pictures and, behind them, disliked ones, which may be of another size."""

    def __init__(
        self, pictures: Tensor, further: Tensor | None, activations: core_activations.Activations | None
    ) -> None:
        self.pictures, self.further, self.activations = pictures, further, activations

    def features(self, source: FeatureSource) -> Any:
        """Those of all pictures."""
        if self.further is None:
            return source.read(self.pictures, self.activations)
        count = len(self.pictures)
        parts: tuple[core_activations.Activations | None, ...] = (None, None)
        if self.activations is not None and source.kind == "ingredients":
            every = count + len(self.further)
            if len(self.activations) != every:
                raise ValueError(
                    f"activations must be of the {count} liked and behind them the {every - count} disliked pictures, "
                    f"got {len(self.activations)}"
                )
            parts = (self.activations.part(slice(0, count)), self.activations.part(slice(count, every)))
        first, second = (source.read(p, a) for p, a in zip((self.pictures, self.further), parts, strict=True))
        return first.joined(second)


class ScoreByConceptHead(io.ComfyNode):
    """Which class pictures are of, and why."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierScoreByConceptHead",
            display_name="Score by Concept Head",
            category=f"{CATEGORY}/recognise",
            description=(
                "Scores pictures by what Train Concept Head learnt, such as how well you will like them, and names the "
                "concepts that decided each score. Pick Best of Batch picks by the scores."
            ),
            search_aliases=["taste score", "aesthetic score", "classify", "rate pictures", "apply concept bottleneck"],
            is_output_node=True,
            inputs=[
                ConceptHead.Input("head", tooltip="From Train Concept Head or Load Concept Head."),
                io.Image.Input("pictures", tooltip="The pictures to score."),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The picture encoder of the training; another one is refused. Ingredients need none.",
                ),
                Activations.Input(
                    "activations", optional=True, tooltip="Of the pictures, for a head that reads ingredients."
                ),
                io.String.Input(
                    "by",
                    default="",
                    optional=True,
                    tooltip="The class that MASKS show. Empty shows each picture's most likely one.",
                ),
                names_socket(),
            ],
            outputs=[
                ConceptScores.Output(display_name="CONCEPT_SCORES", tooltip="The probability of each class."),
                io.Mask.Output(
                    display_name="MASKS",
                    tooltip="What speaks for the class, by place, with a local layer or ingredients; empty otherwise.",
                ),
                io.String.Output(display_name="REPORT", tooltip="A line for each picture: its class and why."),
            ],
        )

    @classmethod
    def execute(
        cls,
        head: core_head.ConceptHead,
        pictures: Tensor,
        clip_vision: Any = None,
        activations: core_activations.Activations | None = None,
        by: str = "",
        names: str = "",
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        called = names_of(names, len(given))
        features = source_of(head, clip_vision).read(given, activations)
        verdict = head.judge(features)
        scores = scores_for(head, verdict).of_pictures(given_names(names))
        masks = class_masks(head, verdict, features, by.strip(), (given.shape[-2], given.shape[-1]))
        report = line_each(called, scores.reasons)
        return io.NodeOutput(scores, masks, report, ui=ui.PreviewText(report))
