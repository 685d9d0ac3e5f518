"""Learn Concept Tokens."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ..core import types
from ..core.learn.conceptexpress import PRESETS, learn
from ..host.adapters import at_work, backbone_of
from ..host.drawing import plot_curve
from ..host.learning import parse_words, reporter
from ..host.schema import io, make_input, make_schema, ui
from .sockets import CATEGORY, MAX_SEED, Concepts, ConceptTokens, picture_of


class LearnConceptTokens(io.ComfyNode):
    """ConceptExpress stage 2, plain form: one token per concept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        lab = PRESETS["lab"]
        return make_schema(
            node_id="ConceptAtelierLearnConceptTokens",
            display_name="Learn Concept Tokens",
            category=f"{CATEGORY}/learn",
            description=(
                "Learns one token per concept, so that prompts can say <apple> and mean that very apple. The model "
                "itself is not changed. Each step is one forward and backward pass with a row per concept and one for "
                "all together; cancel at any step, nothing half-done is left."
            ),
            search_aliases=["textual inversion", "train embedding", "ConceptExpress", "personalize"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model to learn on."),
                io.Clip.Input("clip", tooltip="The text encoder of that model."),
                io.Vae.Input("vae", tooltip="The autoencoder of that model."),
                io.Image.Input("image", tooltip="The picture that the concepts were found in."),
                Concepts.Input("concepts", tooltip="What to learn: from Localize Concepts, Edit Concepts or masks."),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default="lab",
                    tooltip="Everything without a widget here. lab: for the lab model. paper: the published settings.",
                ),
                io.Int.Input("steps", default=lab.steps, min=1, max=20000, tooltip="Training steps."),
                io.Float.Input(
                    "learning_rate",
                    default=lab.rate,
                    min=1e-6,
                    max=1.0,
                    step=1e-4,
                    round=1e-6,
                    tooltip="How far vectors move per step. Lower it when the loss rises.",
                ),
                io.Float.Input(
                    "attention_weight",
                    default=lab.attention_weight,
                    min=0.0,
                    max=1.0,
                    step=1e-5,
                    round=1e-6,
                    tooltip="How much it matters that each token looks at its own place in the picture.",
                ),
                make_input(
                    io.Float.Input,
                    "flip",
                    default=lab.flip,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Share of steps on the mirrored picture; 0 for lettering and other one-sided things.",
                ),
                io.String.Input(
                    "start_words",
                    default="",
                    tooltip="Words to start from, for concepts whose kind you know: 1=fruit, 2=cat",
                ),
                io.String.Input(
                    "template", default=lab.template, tooltip="The training sentence; {} is where concepts go."
                ),
                io.Int.Input(
                    "preview_every",
                    default=50,
                    min=0,
                    max=1000,
                    tooltip="Draw the tokens so far every so many steps (some passes each); 0 draws none.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip="Of training."
                ),
            ],
            outputs=[
                ConceptTokens.Output(display_name="CONCEPT_TOKENS", tooltip="For Encode Concept Prompt and saving."),
                io.Image.Output(display_name="LOSS", tooltip="The loss over steps."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        concepts: types.Concepts,
        preset: str,
        start_words: str,
        preview_every: int,
        seed: int,
        learning_rate: float,
        **knobs: Any,
    ) -> io.NodeOutput:
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        settings = replace(PRESETS[preset], rate=learning_rate, **knobs)
        report = reporter(backbone, settings.template, concepts.picture_size, preview_every, cls.hidden.unique_id)
        words = parse_words(start_words, concepts.names)
        with at_work(backbone):
            tokens = learn(backbone, picture, concepts, settings, words=words, seed=seed, on_step=report)
        plot = plot_curve(tokens.losses, f"loss of {', '.join(f'<{name}>' for name in tokens.names)}")[None]
        return io.NodeOutput(tokens, plot, ui=ui.PreviewImage(plot, cls=cls))
