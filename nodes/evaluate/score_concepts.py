"""Score Concepts."""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from ...core import types
from ...core.evaluate.prototypes import Prototypes
from ...core.evaluate.sources import GROUNDS
from ...host.adapters import backbone_of
from ...host.files import folders
from ...host.jobs.contact_sheet import score_sheet
from ...host.jobs.evaluate.concept_drawing import DrawSettings
from ...host.jobs.evaluate.evaluation import SourceSettings, evaluate
from ...host.jobs.evaluate.score_reports import describe_scores, save_reports, scores_csv, scores_json
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    ConceptPrototypes,
    Concepts,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    first_only,
    model_inputs,
    picture_of,
    seed_input,
    template_verdict,
    text_under,
)

CLASSIFY = ("each picture", "mean of pictures")


class ScoreConcepts(io.ComfyNode):
    """How well tokens redraw what they were learnt from (ConceptExpress' evaluation)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierScoreConcepts",
            display_name="Score Concepts",
            category=f"{CATEGORY}/evaluate",
            description=(
                "Draws each token alone and all tokens together, and scores the pictures by the "
                "evaluation of ConceptExpress. SIM^I: similarity to the concept. ACC^1, ACC^3: whether "
                "the right concept is the most similar of all, or among the three most similar. SIM^C: "
                "similarity of the joint pictures to the whole source picture. 1 is best. Compare "
                "methods only with the same CLIP_VISION."
            ),
            search_aliases=["evaluate", "CLIP score", "similarity", "SIM ACC", "benchmark", "ConceptExpress metrics"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model to draw with: the MODEL output of Learn Concept Tokens."),
                io.ClipVision.Input(
                    "clip_vision", tooltip="The picture encoder, from Load CLIP Vision or Load Lab CLIP Vision."
                ),
                io.Image.Input("image", tooltip=f"The picture that the concepts were found in. {OF_A_BATCH}"),
                Concepts.Input(
                    "concepts", tooltip="The concepts that the tokens were learnt from. Their masks give the sources."
                ),
                ConceptTokens.Input(
                    "tokens", tooltip="Tokens from Learn Concept Tokens, with the same names as the concepts."
                ),
                io.Int.Input(
                    "draws",
                    default=8,
                    min=1,
                    max=64,
                    tooltip="Number of pictures of each token, and of all tokens together.",
                ),
                io.Int.Input(
                    "steps", default=20, min=1, max=1000, tooltip="DDIM steps for each picture. The paper uses 50."
                ),
                io.Float.Input(
                    "guidance",
                    default=4.0,
                    min=1.0,
                    max=30.0,
                    step=0.5,
                    round=0.01,
                    tooltip="Scale of classifier-free guidance (CFG). The paper uses 7.5.",
                ),
                io.String.Input(
                    "template",
                    default="a photo of {}",
                    advanced=True,
                    tooltip="Prompt of the pictures; {} is where concepts go.",
                ),
                seed_input(
                    "Random seed for the first picture of every prompt. The next pictures take the seeds after it."
                ),
                *_advanced_inputs(),
                io.String.Input(
                    "filename_prefix",
                    default="scores/concepts",
                    tooltip="Name of a CSV and a JSON file in the output folder; a / makes a folder. Empty "
                    "writes none.",
                ),
                ConceptPrototypes.Input(
                    "prototypes",
                    optional=True,
                    tooltip="Further concepts that pictures may be mistaken for, from Load Concept Prototypes.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="SHEET",
                    tooltip="One row for each concept: its source, its pictures and their similarities.",
                ),
                io.String.Output(display_name="CSV", tooltip="One line for each concept, and one for all together."),
                io.String.Output(
                    display_name="JSON",
                    tooltip="The same figures, with all settings and the similarities of each picture.",
                ),
                io.Image.Output(
                    display_name="SOURCES",
                    tooltip="Each concept alone on a plain ground, to save for Load Concept Prototypes.",
                ),
                io.Image.Output(
                    display_name="PICTURES", tooltip="All drawn pictures, token by token, then the joint ones."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        clip_vision: Any,
        image: Tensor,
        concepts: types.Concepts,
        tokens: types.ConceptTokens,
        ground: str,
        crop: bool,
        classify: str,
        filename_prefix: str,
        prototypes: Prototypes | None = None,
        **drawing: Any,
    ) -> io.NodeOutput:
        if filename_prefix:
            folders.safe_name(filename_prefix, "filename_prefix")  # a linked one was not checked before the run
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        draw, compare = DrawSettings(**drawing), SourceSettings(ground, crop, classify == CLASSIFY[1])
        progress = start_progress(cls.hidden.unique_id)
        done = evaluate(backbone, clip_vision, picture, concepts, tokens, draw, compare, prototypes, progress)
        settings = {**asdict(draw), **asdict(compare), "family": backbone.family}
        texts = {"csv": scores_csv(done.scores), "json": scores_json(done.scores, settings)}
        if filename_prefix:
            save_reports(folders.current().output, filename_prefix, texts)
        sheet = score_sheet(done)
        shown = ui.PreviewImage(sheet, cls=cls).as_dict()
        shown |= text_under(describe_scores(done.scores), first_only(image=image))
        return io.NodeOutput(sheet, *texts.values(), done.sources.movedim(1, -1), done.all_pictures(), ui=shown)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None, template: str | None = None) -> bool | str:
        verdict = folders.name_verdict(filename_prefix or None, "filename_prefix")
        return first_fault(verdict, template_verdict(template), embeddings_verdict(template=template))


def _advanced_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "ground",
            options=list(GROUNDS),
            default="grey",
            advanced=True,
            tooltip="Colour that replaces the surroundings of a concept in its source. Grey is the most neutral "
            "for picture encoders.",
        ),
        io.Boolean.Input(
            "crop",
            default=False,
            advanced=True,
            tooltip="Cut each concept out of the picture, so that its source is as large as what is drawn.",
        ),
        io.Combo.Input(
            "classify",
            options=list(CLASSIFY),
            default=CLASSIFY[0],
            advanced=True,
            tooltip="What ACC^1 and ACC^3 judge: each picture by itself, or the mean of the pictures of a concept.",
        ),
        io.Int.Input(
            "batch",
            default=4,
            min=1,
            max=64,
            advanced=True,
            tooltip="Number of pictures drawn at once. Fewer need less memory; the pictures stay the same.",
        ),
    ]
