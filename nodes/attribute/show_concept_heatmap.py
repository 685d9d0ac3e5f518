"""Show Concept Heatmap."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.attribute.concept_attention import ConceptSettings
from ...core.attribute.heatmap import normalise as normalised
from ...host.jobs.attribute.concept_maps import captured_concept_maps, picture_concept_maps
from ...host.jobs.prompts import check_marks
from ...host.pictures.heat_pictures import heat_grid, heat_sheet
from ...host.schema import io
from ...host.shared import captures
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    AttentionCapture,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    first_only,
    lines_of,
    list_verdict,
    model_inputs,
    page_under,
    picture_of,
    seed_input,
    text_input,
)

DEFAULTS = ConceptSettings()


class ShowConceptHeatmap(io.ComfyNode):
    """Where concepts are in a picture, whether or not a prompt names them (ConceptAttention)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierShowConceptHeatmap",
            display_name="Show Concept Heatmap",
            category=f"{CATEGORY}/attribute",
            description=(
                "Shows where concepts are in any picture, generated or loaded, whether or not a prompt names them "
                "(ConceptAttention). The node adds noise to the picture and runs the model once over it, with the "
                "concepts beside the text: they read the picture, and nothing reads them. For FLUX.1, FLUX.2, "
                "Chroma, Krea 2, Stable Diffusion 3 and the lab transformer."
            ),
            search_aliases=["ConceptAttention", "concept attention", "saliency", "segment by text", "heatmap"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The transformer that reads the picture."),
                io.Image.Input("image", tooltip=f"The picture, at a size that suits the model. {OF_A_BATCH}"),
                text_input(
                    "concepts",
                    "cat, dog",
                    "What to look for, one concept per line or separated by commas. Short names work best.",
                ),
                io.String.Input(
                    "background",
                    default="background",
                    tooltip="Words for the rest of the picture, separated by commas: sky, grass, wall. Each cell is "
                    "divided among concepts and these words, so a single concept needs at least one. They are not "
                    "shown.",
                ),
                text_input(
                    "text",
                    "",
                    "A prompt for the picture, if there is one. It may be empty and need not name any concept.",
                ),
                io.Combo.Input(
                    "normalise",
                    options=["relative", "absolute"],
                    default="relative",
                    tooltip="relative stretches each map to the full range. absolute shows shares of each cell, so a "
                    "concept that is nowhere stays dark.",
                ),
                seed_input("Random seed for the noise that is added to the picture."),
                io.Float.Input(
                    "noise",
                    default=DEFAULTS.noise,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "Share of noise in the picture that the model sees. The paper uses the middle of denoising."
                    ),
                ),
                io.Int.Input(
                    "draws",
                    default=DEFAULTS.draws,
                    min=1,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="Passes with other noise, whose maps are averaged. Each costs one pass of the model.",
                ),
                io.Float.Input(
                    "temperature",
                    default=DEFAULTS.temperature,
                    min=0.01,
                    max=1000.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="Larger values divide each cell more evenly among the concepts.",
                ),
                io.String.Input(
                    "blocks",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="The blocks that are read, counted from 0 as they run: 15-18 or 4, 6, 8. all reads every "
                    "block. Empty takes the default of the model's family.",
                ),
                ConceptTokens.Input(
                    "tokens", optional=True, tooltip="Learnt tokens among the concepts or in the text."
                ),
                AttentionCapture.Input(
                    "capture",
                    optional=True,
                    tooltip="From a Capture Attention that was given these concepts: the maps are those "
                    "of the sampling run, and no pass is made here. noise, draws, temperature, "
                    "background, blocks, text and seed are then ignored.",
                ),
                io.Latent.Input(
                    "samples",
                    optional=True,
                    tooltip="With capture: the latent that the sampler returned; it identifies the run.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="HEATMAPS", tooltip="One picture for each concept, in order."),
                io.Mask.Output(display_name="MASKS", tooltip="The maps as soft masks, in the same order."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, concepts: str | None = None, background: str | None = None, text: str | None = None
    ) -> bool | str:
        embeddings = embeddings_verdict(concepts=concepts, background=background, text=text)
        return first_fault(list_verdict("concepts", concepts), embeddings)

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        concepts: str,
        background: str,
        text: str,
        normalise: str,
        seed: int,
        noise: float = DEFAULTS.noise,
        draws: int = DEFAULTS.draws,
        temperature: float = DEFAULTS.temperature,
        blocks: str = "",
        tokens: types.ConceptTokens | None = None,
        capture: captures.AttentionCapture | None = None,
        samples: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        check_marks("\n".join((text, concepts, background)), tokens)
        names = list(dict.fromkeys(lines_of(concepts)))
        if capture is not None:
            shares, note = captured_concept_maps(capture, samples, names, image)
            return cls._shown(normalised(shares, normalise), names, image, note)  # type: ignore[arg-type]
        picture = picture_of(image)
        shares = picture_concept_maps(
            (model, clip, vae),
            picture,
            text,
            names,
            list(dict.fromkeys(lines_of(background))),
            ConceptSettings(noise, draws, temperature),
            placeholders=tokens.placeholders() if tokens else {},
            blocks=blocks,
            seed=seed,
            on_step=start_progress(cls.hidden.unique_id),
        )
        heat, seen = normalised(shares, normalise), picture.movedim(1, -1)  # type: ignore[arg-type]
        return cls._shown(heat, names, seen, first_only(image=image))

    @classmethod
    def _shown(cls, heat: Tensor, names: list[str], seen: Tensor, note: str) -> io.NodeOutput:
        said = page_under(cls, heat_sheet(heat, names, seen), note)
        return io.NodeOutput(heat_grid(heat, names, seen), heat.flatten(0, 1).clamp(0, 1), ui=said)
