"""Show Word Information."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.attribute.information import InformationSettings
from ...host.adapters import backbone_of
from ...host.jobs.attribute.word_information import SHOWS, measured, read_by
from ...host.jobs.prompts import check_marks
from ...host.pictures.heat_pictures import heat_grid, heat_sheet
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    first_only,
    lines_of,
    list_verdict,
    model_inputs,
    picture_of,
    seed_input,
    text_input,
    text_under,
)


class ShowWordInformation(io.ComfyNode):
    """How much information each word gives the model about a picture, in nats (DiffusionPID)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        standard = InformationSettings()
        return io.Schema(
            node_id="ConceptAtelierShowWordInformation",
            display_name="Show Word Information",
            category=f"{CATEGORY}/attribute",
            description=(
                "Shows how much information each word gives the model about a picture, and where. The model predicts "
                "the noise in the picture with and without the word, at many levels of noise; the difference is "
                "information, in nats. Of two words it also shows what both give, what only one of them gives, and "
                "what only both together give, and says what each adds if the other is known. It works on drawn and on "
                "real pictures. At every level of noise the model makes one prediction for each word and one more, or "
                "four for two words together. The node says how many predictions it made."
            ),
            search_aliases=["DiffusionPID", "mutual information", "attribution", "ITD", "word map"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that reads the words."),
                io.Image.Input("image", tooltip="The picture. The node reads the first picture of a batch."),
                text_input(
                    "text",
                    "",
                    "A sentence that says what the picture shows, for example the prompt that it was drawn by.",
                ),
                io.String.Input("words", default="", tooltip="Words of the text, separated by commas: cat, rocket."),
                io.Combo.Input(
                    "show",
                    options=list(SHOWS),
                    default="in the text",
                    tooltip="in the text: what a word gives beyond the rest of the text. alone: what the word gives by "
                    "itself. two words together: what two words give in common, each alone, and only together.",
                ),
                io.Int.Input(
                    "draws",
                    default=standard.draws,
                    min=1,
                    max=1000,
                    tooltip="Levels of noise. More give smoother maps and take more time; the papers use 100.",
                ),
                seed_input("Random seed for the levels and the noise."),
                io.Combo.Input(
                    "estimator",
                    options=["orthogonal", "standard"],
                    default=standard.estimator,
                    optional=True,
                    advanced=True,
                    tooltip="orthogonal is steady and, for a single word, never negative. standard is unbiased and "
                    "less steady; choose it for two words together.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the text uses."),
            ],
            outputs=[
                io.Image.Output(display_name="MAPS", tooltip="One picture for each word."),
                io.Mask.Output(display_name="MASKS", tooltip="The maps as soft masks, each stretched to 0 to 1."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        text: str,
        words: str,
        show: str,
        draws: int,
        seed: int,
        estimator: str = "orthogonal",
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        settings = InformationSettings(draws=draws, estimator=estimator)  # type: ignore[arg-type]
        placeholders = tokens.placeholders() if tokens else {}
        found = measured(
            backbone_of(model, clip, vae),
            picture_of(image),
            text,
            lines_of(words),
            show,
            settings,
            seed,
            placeholders,
            start_progress(cls.hidden.unique_id),
        )
        picture = image[:1, ..., :3]
        shown = ui.PreviewImage(heat_sheet(found.maps, found.names, picture), cls=cls).as_dict()
        shown |= text_under(read_by(found, settings), first_only(image=image))
        return io.NodeOutput(heat_grid(found.maps, found.names, picture), found.maps.flatten(0, 1), ui=shown)

    @classmethod
    def validate_inputs(cls, text: str | None = None, words: str | None = None) -> bool | str:
        return first_fault(list_verdict("words", words), embeddings_verdict(text=text, words=words))
