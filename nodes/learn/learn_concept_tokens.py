"""Learn Concept Tokens."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.learn.registry import METHODS
from ...host.adapters import at_work, backbone_of, with_adapter
from ...host.files.images import from_pil
from ...host.files.unfinished import unfinished
from ...host.jobs.data.caption_reports import weights_of_pictures
from ...host.jobs.learn.learning import UNSET, TrainingReporter, parse_words, preset_names, settings_of, weights_said
from ...host.pictures.drawing import plot_curve
from ...host.schema import io
from ...host.shared.recomputation import Choice
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    ConceptPictures,
    Concepts,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    first_only,
    keep_every_input,
    memory_input,
    model_inputs,
    picture_of,
    pictures_under,
    preset_choice,
    preset_input,
    preset_verdict,
    reads,
    seed_input,
    template_verdict,
    text_under,
)


class LearnConceptTokens(io.ComfyNode):
    """One token per concept, by any of the methods."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLearnConceptTokens",
            display_name="Learn Concept Tokens",
            category=f"{CATEGORY}/learn",
            description=(
                "Learns one token for each concept, so that a prompt can say <apple> and mean that very "
                "apple. The model that you connect is not changed. Choose a method and one of its "
                "presets; the inputs below override the preset only when changed. If you cancel the "
                "node and run it again with the same inputs, it continues from its last saved state."
            ),
            search_aliases=["textual inversion", "train embedding", "ConceptExpress", "personalize"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model to learn on."),
                io.Image.Input("image", tooltip=f"The picture that the concepts were found in. {OF_A_BATCH}"),
                Concepts.Input(
                    "concepts",
                    tooltip="The concepts to learn, from Localize Concepts, Edit Concepts or Concepts From Masks.",
                ),
                *_method_inputs(),
                *_word_inputs(),
                *_progress_inputs(),
                seed_input("Random seed for training."),
                ConceptPictures.Input(
                    "more", optional=True, tooltip="Further pictures of the same concepts, from Match Concepts."
                ),
                _memory_input(),
                preset_input(
                    io.Float.Input,
                    "cycle_weight",
                    UNSET["cycle_weight"],
                    10.0,
                    "Weight of the cycle loss: each token must explain the picture where its attention "
                    "lies, and only there. It takes two more passes in each update; 0 turns it off.",
                    step=0.05,
                    optional=True,
                    advanced=True,
                ),
                preset_input(
                    io.Float.Input,
                    "mask_weight",
                    UNSET["mask_weight"],
                    10.0,
                    "Weight of the concept mask loss: it keeps the attention to a token inside its mask, "
                    "so that the token does not learn the background. It takes one more pass in each "
                    "update; 0 turns it off.",
                    step=0.001,
                    optional=True,
                    advanced=True,
                ),
                _weights_input(),
            ],
            outputs=[
                ConceptTokens.Output(
                    display_name="CONCEPT_TOKENS", tooltip="For Encode Concept Prompt and Save Concept Tokens."
                ),
                io.Image.Output(display_name="LOSS", tooltip="The loss over the steps, as a picture."),
                io.Model.Output(
                    display_name="MODEL",
                    tooltip="The model to draw with: the one you connected, with the change that the method "
                    "learnt, if any.",
                ),
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
        method: str,
        preset: str,
        start_words: str,
        class_words: str,
        preview_every: int,
        keep_every: int,
        seed: int,
        learning_rate: float,
        more: tuple[types.Source, ...] = (),
        save_memory: Choice = "automatic",
        cycle_weight: float = UNSET["cycle_weight"],
        mask_weight: float = UNSET["mask_weight"],
        picture_weights: str = "",
        **inputs: Any,
    ) -> io.NodeOutput:
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        adaptive_rate, weights = weights_of_pictures(picture_weights)
        terms = {"cycle_weight": cycle_weight, "mask_weight": mask_weight, "adaptive_rate": adaptive_rate}
        settings = settings_of(method, preset, {"rate": learning_rate, **terms, **inputs})
        report = TrainingReporter(
            backbone, settings.template, concepts.picture_size, preview_every, cls.hidden.unique_id
        )
        words = parse_words(start_words, concepts.names)
        classes = parse_words(class_words, concepts.names, "class words")
        with at_work(backbone, save_memory):
            tokens = METHODS[method].learn(
                backbone,
                picture,
                concepts,
                settings,
                words=words,
                classes=classes,
                seed=seed,
                on_step=report,
                more=more,
                store=unfinished(keep_every),
                weights=weights,
            )
        plot = plot_curve(tokens.losses, f"loss of {', '.join(f'<{name}>' for name in tokens.names)}")[None]
        aside = tokens.metadata.get("set_aside", "")
        why = f"a kept state was wrong and is set aside, the training started anew: {aside}" if aside else ""
        drawn = [] if report.preview is None else [from_pil(report.preview)[0][None]]
        shown = pictures_under(cls, *drawn, plot) | text_under(why, weights_said(tokens), first_only(image=image))
        return io.NodeOutput(tokens, plot, with_adapter(model, tokens), ui=shown)

    @classmethod
    def validate_inputs(cls, preset: str | None, template: str | None = None) -> bool | str:
        return first_fault(
            preset_verdict(preset, preset_names()),
            template_verdict(template or None),
            embeddings_verdict(template=template),
        )


def _method_inputs() -> list[Any]:
    """The method, and inputs that override its preset when they are changed."""
    return [
        io.Combo.Input(
            "method",
            options=list(METHODS),
            default="conceptexpress",
            tooltip="\n".join(f"{method.title}: {method.help}" for method in METHODS.values()),
        ),
        preset_choice(
            preset_names(),
            "Settings of the method. small: for the lab model and other small latents, few steps. paper: the "
            "published settings. faithful: ConceptExpress' release, update by update. faithful_small: the same on "
            "small latents. small_search: ConceptExpress' small, whose tokens start from what a search by ConES finds. "
            "small_values: ConceptExpress' small, with a change of the model's values beside the tokens.",
        ),
        preset_input(io.Int.Input, "steps", UNSET["steps"], 20000, "Number of training steps."),
        preset_input(
            io.Float.Input,
            "learning_rate",
            UNSET["rate"],
            1.0,
            "Learning rate of the token vectors. Lower it if the loss rises.",
            step=1e-4,
            round=1e-6,
        ),
        preset_input(
            io.Float.Input,
            "attention_weight",
            UNSET["attention_weight"],
            1.0,
            "Weight of the loss that keeps the attention of each token at its own place in the picture.",
            step=1e-5,
            round=1e-6,
            advanced=True,
        ),
        preset_input(
            io.Float.Input,
            "flip",
            UNSET["flip"],
            1.0,
            "Share of the steps that use the mirrored picture. Use 0 for lettering and other things that must not be "
            "mirrored. AttenCraft mirrors none.",
            step=0.05,
            advanced=True,
        ),
    ]


def _word_inputs() -> list[Any]:
    """What is said of concepts in words."""
    return [
        io.String.Input(
            "start_words",
            default="",
            tooltip="Words to start from, for concepts whose kind you know: 1=fruit, 2=cat",
        ),
        io.String.Input(
            "class_words",
            default="",
            advanced=True,
            tooltip="The kind of thing that each concept is: 1=fruit, 2=cat. class_weight and some methods need it.",
        ),
        preset_input(
            io.Float.Input,
            "class_weight",
            UNSET["class_weight"],
            100.0,
            "Weight of the loss that keeps a token close to its class word (ClassDiffusion), so that it "
            "combines with other words as the class word does. The paper uses 1; 0 turns it off.",
            step=0.05,
            advanced=True,
        ),
        io.String.Input(
            "template",
            default=UNSET["template"],
            advanced=True,
            tooltip="Training sentence; {} is where concepts go. Empty uses the preset's sentence.",
        ),
    ]


def _weights_input() -> Any:
    return io.String.Input(
        "picture_weights",
        default="",
        optional=True,
        advanced=True,
        tooltip="How often each picture is used in training, if there are several. Give the TABLE of Caption "
        "Noise, or one number for each picture, separated by commas: image first, then those of more. "
        "adaptive: the losses set each picture's balance between its own loss and consistency (AdaWAC, "
        "rate 2; adaptive=1 sets the rate to 1), with two more passes in each update.",
    )


def _memory_input() -> Any:
    return memory_input(", and learns the same tokens")


def _progress_inputs() -> list[Any]:
    """What happens while it trains."""
    return [
        io.Int.Input(
            "preview_every",
            default=50,
            min=0,
            max=1000,
            advanced=True,
            tooltip="Number of steps between two previews. Each preview draws the tokens learnt so far, which takes a "
            "few model passes. 0 draws none.",
            **reads(off=0),
        ),
        keep_every_input(),
    ]
