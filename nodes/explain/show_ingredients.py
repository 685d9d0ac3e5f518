"""Show Ingredients, Ingredient Masks."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...core.explain import activations as core_activations
from ...core.explain import bank as core_bank
from ...core.explain.bank import ACTIVE
from ...core.explain.labels import Labels, meanings
from ...core.explain.locate import concept_masks, strongest
from ...core.explain.recursion import inside
from ...core.explain.registry import encode
from ...core.explain.scores import strengths
from ...core.recognise.captions.words import concepts_of, mentions
from ...host.jobs.explain.ingredients import (
    MOST_SHOWN,
    called,
    check_pictures,
    gallery_sheet,
    grade_lines,
    known_masks,
    make_gallery,
    mask_lines,
    named,
    overlays,
    report,
    valid_for,
)
from ...host.jobs.paired_texts import COMMON_WORDS
from ...host.jobs.recognise.captions import caption_lines
from ...host.schema import io, ui
from ...host.shared.progress import check_interrupt, start_progress
from ..picture_names import given_names, names_of, names_socket
from ..sockets import (
    CATEGORY,
    Activations,
    ConceptBank,
    ConceptCodes,
    ConceptScores,
    lines_of,
    masks_of,
    page_under,
    parts_of_input,
    picture_batch,
    text_under,
)

MOST_MASKS = 8


class ShowIngredients(io.ComfyNode):
    """A gallery of ingredients, with names."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierShowIngredients",
            display_name="Show Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Shows each ingredient by the parts of pictures that have most of it, in how many pictures it is, and "
                "how stable it is. With a CLIP_VISION and the CLIP that was trained with it, it also says which word "
                "is nearest, with a score, or that no name is good. With captions it says how well each ingredient "
                "predicts what they mention, beside a plain linear probe."
            ),
            search_aliases=["concept gallery", "top activating crops", "name concepts", "what is in my dataset"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                ConceptBank.Input("bank", tooltip="From Find Ingredients or Load Ingredients."),
                Activations.Input(
                    "activations",
                    tooltip="Activations of the pictures, recorded in the same way as those of the ingredients.",
                ),
                io.Image.Input("pictures", tooltip="The pictures that Record Activations read, in the same order."),
                io.Int.Input(
                    "each", default=6, min=1, max=32, tooltip="Parts of pictures to show for each ingredient."
                ),
                io.ClipVision.Input("clip_vision", optional=True, tooltip="A picture encoder, for names."),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The text encoder that was trained with that picture encoder, for names.",
                ),
                io.String.Input(
                    "words",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="What ingredients may be called, one per line or separated by commas. Empty tries the "
                    "words of the lab's world with the lab's CLIP, else some 150 common words.",
                ),
                io.String.Input(
                    "captions",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="A caption for each picture, one per line: CAPTIONS of Load Picture Folder. What at least "
                    "two of them mention is compared with the ingredients. Empty takes the words that ingredients were "
                    "named by.",
                ),
                parts_of_input("Show Ingredients"),
                names_socket(),
            ],
            outputs=[
                io.Image.Output(display_name="GALLERY", tooltip="A row for each ingredient."),
                ConceptBank.Output(
                    display_name="CONCEPT_BANK", tooltip="The ingredients, with good names in place of numbers."
                ),
                io.String.Output(display_name="REPORT", tooltip="What is known of each ingredient, a line each."),
                ConceptScores.Output(
                    display_name="CONCEPT_SCORES", tooltip="How strongly each picture shows each ingredient."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        bank: core_bank.ConceptBank,
        activations: core_activations.Activations,
        pictures: Tensor,
        each: int,
        clip_vision: Any = None,
        clip: Any = None,
        words: str = "",
        captions: str = "",
        parts_of: core_bank.ConceptCodes | None = None,
        names: str = "",
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        own_names = names_of(names, len(given))
        if (clip_vision is None) != (clip is None):
            raise ValueError("names need both CLIP_VISION and CLIP; connect both, or neither")
        codes = _codes(bank, activations, parts_of)
        gallery = make_gallery(codes, given, each)
        if clip_vision is not None:
            progress = start_progress(cls.hidden.unique_id)
            gallery = named(gallery, given, clip_vision, clip, lines_of(words) or words_for(clip_vision), progress)
        labels = _labels(captions, len(given)) or gallery.labels
        known = None if labels is None else meanings(codes, activations, labels)
        sheet, said = gallery_sheet(gallery, given, own_names), report(gallery, known)
        shown = page_under(cls, sheet, said)
        named_bank = gallery.bank()
        scores = strengths(replace(gallery.codes, bank=named_bank), valid_for(named_bank))
        scores = scores.of_pictures(given_names(names))
        return io.NodeOutput(sheet, named_bank, said, scores, ui=shown)


class IngredientMasks(io.ComfyNode):
    """Where ingredients are in pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierIngredientMasks",
            display_name="Ingredient Masks",
            category=f"{CATEGORY}/explain",
            description=(
                "Says where ingredients are in any picture, as masks for inpainting, regional prompts and training. "
                "Record the picture's activations with the model and site that the ingredients were found in."
            ),
            search_aliases=["concept map", "segment", "mask of a concept", "concept attribution"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                ConceptBank.Input("bank", tooltip="From Find Ingredients, Show Ingredients or Load Ingredients."),
                Activations.Input("activations", tooltip="Of the pictures, recorded as the ingredients' were."),
                io.Image.Input("pictures", tooltip="The pictures that Record Activations read, in the same order."),
                io.String.Input(
                    "ingredients",
                    default="",
                    tooltip="Names or numbers of ingredients, separated by commas; 3 + 7 makes one mask of two. Empty "
                    "takes the 8 that stand out most in the pictures.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of an ingredient's full strength from which a pixel belongs to it. 0 gives soft "
                    "masks.",
                ),
                io.Combo.Input(
                    "outline",
                    options=["smooth", "edges"],
                    default="smooth",
                    optional=True,
                    advanced=True,
                    tooltip="How masks are drawn. smooth uses the layer's grid alone; edges follows the edges of the "
                    "picture.",
                ),
                parts_of_input("Ingredient Masks"),
                io.Mask.Input(
                    "known",
                    optional=True,
                    tooltip="True masks of one thing, one for each picture; empty where a picture does "
                    "not show it. The node then reports how well each ingredient points at the "
                    "thing, stays inside it, overlaps it, and tells which pictures show it.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="MASKS",
                    tooltip="All pictures of the first ingredient, then all of the second, and so on.",
                ),
                io.Image.Output(display_name="OVERLAY", tooltip="Each picture with the masks over it."),
                io.String.Output(display_name="NAMES", tooltip="The ingredients of the masks, one per line."),
                ConceptCodes.Output(display_name="CONCEPT_CODES", tooltip="How strongly each position uses each one."),
            ],
        )

    @classmethod
    def execute(
        cls,
        bank: core_bank.ConceptBank,
        activations: core_activations.Activations,
        pictures: Tensor,
        ingredients: str,
        threshold: float,
        outline: str = "smooth",
        parts_of: core_bank.ConceptCodes | None = None,
        known: Tensor | None = None,
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        check_pictures(len(activations), given)
        true = None if known is None else known_masks(masks_of(known), given)
        codes = _codes(bank, activations, parts_of)
        wanted = [_joined(bank, name) for name in dict.fromkeys(lines_of(ingredients))]
        wanted = wanted or [[index] for index in strongest(codes, MOST_MASKS)]
        if not wanted:
            raise ValueError("none of these pictures shows any of the ingredients; name some, or give other pictures")
        if len(wanted) > MOST_SHOWN:
            raise ValueError(f"at most {MOST_SHOWN} ingredients are shown at once, got {len(wanted)}; name fewer")
        size, guide = (given.shape[-2], given.shape[-1]), given if outline == "edges" else None
        names = [" + ".join(bank.names[index] for index in of) for of in wanted]
        soft = torch.stack([concept_masks(codes, of, size, guide=guide).amax(0) for of in wanted])  # (N, P, H, W)
        titles = [called(bank, of) for of in wanted]
        over = overlays(given, soft, titles, threshold or ACTIVE)
        masks = (soft > threshold).float() if threshold else soft
        lines = mask_lines(titles, soft, threshold or ACTIVE)
        lines += grade_lines(titles, soft, true) if true is not None else []
        shown = ui.PreviewImage(over, cls=cls).as_dict() | text_under(*lines)
        return io.NodeOutput(masks.flatten(0, 1), over, "\n".join(names), codes, ui=shown)


def _codes(
    bank: core_bank.ConceptBank,
    activations: core_activations.Activations,
    parts_of: core_bank.ConceptCodes | None,
) -> core_bank.ConceptCodes:
    """Codes of a bank; of parts only where their ingredient is."""
    codes = encode(bank, activations, check_interrupt)
    return codes if parts_of is None else inside(codes, parts_of, activations)


def _joined(bank: core_bank.ConceptBank, name: str) -> list[int]:
    """The ingredients of one mask: one, or several with plus signs between them."""
    parts = [name] if name in bank.names else [part.strip() for part in name.split("+")]
    return list(dict.fromkeys(bank.index(part) for part in parts))


def _labels(captions: str, count: int) -> Labels | None:
    """What captions mention; None without captions."""
    if not captions.strip():
        return None
    texts = caption_lines(captions, count)
    concepts = concepts_of(texts)
    return Labels(mentions(texts, concepts), tuple(concepts), "captions")


def words_for(clip_vision: Any) -> tuple[str, ...]:
    """What ingredients may be called where nobody says it."""
    if getattr(clip_vision, "concept_atelier_family", "") != "lab":
        return COMMON_WORDS
    from ...lab.world.words import world_words

    return world_words()
