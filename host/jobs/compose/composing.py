"""Concepts and their places, as people write them, and the composition of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Placeholders
from ....core.compose.composer import Composer, ComposeSettings, Needs
from ....core.compose.composition import Composition, Concept, compose
from ....core.compose.parts.adapters import Adapter, read_adapter
from ....core.files import load_tensors
from ....core.masks.boxes import Box, box_mask
from ....core.messages import listed, shown, there_are
from ...adapters import backbone_of, has_frames, layers_of, with_composition
from ...files import folders
from ...shared.area_conditioning import area_entries
from ...shared.compositions import Composed
from ...shared.conditioning import to_comfy
from ..bounding_boxes import boxes_of

SIDE = 64
"""Cells along a side of the masks that boxes become."""

PLACES: dict[str, Box] = {
    "left": (0, 0, 0.5, 1),
    "right": (0.5, 0, 1, 1),
    "top": (0, 0, 1, 0.5),
    "bottom": (0, 0.5, 1, 1),
    "middle": (0.25, 0.25, 0.75, 0.75),
    "everywhere": (0, 0, 1, 1),
    "top left": (0, 0, 0.5, 0.5),
    "top right": (0.5, 0, 1, 0.5),
    "bottom left": (0, 0.5, 0.5, 1),
    "bottom right": (0.5, 0.5, 1, 1),
    "middle left": (0, 0.25, 0.5, 0.75),
    "middle right": (0.5, 0.25, 1, 0.75),
    "top middle": (0.25, 0, 0.75, 0.5),
    "bottom middle": (0.25, 0.5, 0.75, 1),
    "left third": (0, 0, 1 / 3, 1),
    "middle third": (1 / 3, 0, 2 / 3, 1),
    "right third": (2 / 3, 0, 1, 1),
}
"""Names of places to boxes: left, top, right, bottom as shares of the picture's sides."""

FOUND = "found"
"""What stands for the place of a concept that is found by its words, beside others that have boxes."""

OPTIONS = {"weight": 1.0, "start": 0.0, "end": 1.0}


def read_place(line: str) -> tuple[Tensor | None, dict[str, float]]:
    """What a line says of a place.

    Args:
        line: a name of :data:`PLACES`, or four numbers (left, top, right, bottom, as shares of the sides), or
            :data:`FOUND` or nothing for a place that is found by words; then, if wanted, ``weight=``, ``start=`` and
            ``end=``.

    Returns:
        A mask (64, 64), None without a place, and the options.

    Raises ``ValueError`` for anything else.
    """
    words = line.replace(",", " ").split()
    options = dict(OPTIONS)
    for word in [word for word in words if "=" in word]:
        name, _, value = word.partition("=")
        if name not in options:
            raise ValueError(f"{shown(line)}: a place has the options {listed(options)}, got {shown(name)}")
        options[name] = _number(value, line)
    rest = [word for word in words if "=" not in word]
    name = " ".join(rest).lower()
    if not rest or name == FOUND:
        return None, options
    box: Sequence[float] = PLACES.get(name, ())
    if not box and len(rest) == 4:
        box = [_number(word, line) for word in rest]
    if not box:
        raise ValueError(
            f"{shown(line)} is no place; write one of {listed([*PLACES, FOUND])}, or four numbers from 0 to 1: left, "
            "top, right, bottom"
        )
    return _mask(box, line), options


def check_one_each(given: Sequence[str] | Tensor, texts: Sequence[str], thing: str) -> None:
    """Raise ``ValueError`` where such things are given, but not one for each concept."""
    if len(given) and len(given) != len(texts):
        counts = there_are((len(texts), "concept"), (len(given), thing))
        raise ValueError(f"{counts}; give one for each concept, in the same order")


def composition_of(
    clip: Any,
    prompt: str,
    texts: Sequence[str],
    places: Sequence[str],
    masks: Tensor | None,
    placeholders: Placeholders,
    needs: Sequence[Needs] = ("texts",),
    adapters: Sequence[Adapter] = (),
) -> Composition:
    """Encode a prompt and concepts.

    Args:
        clip: the text encoder.
        prompt: what the whole picture shows.
        texts: K concepts.
        places: a line for each concept (:func:`read_place`), or none at all.
        masks: (K, H, W) in 0..1, which come before places; None for none.
        placeholders: learnt tokens that the texts name.
        needs: of the method: whether the texts are encoded beside the prompt, and as what. Where no concept has a
            weight they are not.
        adapters: a change of the model for each concept, or none at all.

    Raises ``ValueError`` for other numbers of places or masks than of concepts, and as :func:`compose` does.
    """
    for name, given in (("place", places), ("mask", masks)):
        check_one_each(() if given is None else given, texts, name)
    read = [read_place(line) for line in places] or [(None, dict(OPTIONS))] * len(texts)
    regions = [mask for mask, _ in read] if masks is None else list(masks)
    changes = list(adapters) or [Adapter({})] * len(texts)
    concepts = [
        Concept(text, region, **options, adapter=change.changes, text_changes=change.text, layers=change.layers)
        for text, region, (_, options), change in zip(texts, regions, read, changes, strict=True)
    ]
    branches = "branches" in needs
    beside = (branches or "texts" in needs) and any(concept.weight for concept in concepts)
    return compose(backbone_of(clip=clip), prompt, concepts, placeholders, beside, branches)


def given_regions(regions: Tensor | None, boxes: Any, width: int, height: int) -> Tensor | None:
    """Masks (K, H, W) of what is connected: masks, else those of bounding boxes in a picture of ``width`` by ``height``
    pixels, else None. Raises as :func:`..bounding_boxes.boxes_of` does, and ``ValueError`` where there is no box."""
    if regions is not None or boxes is None:
        return regions
    found = boxes_of(boxes, width, height)
    if not found:
        raise ValueError(
            "bounding_boxes holds no box; lower the threshold of the node that finds them, or disconnect it and write "
            "places"
        )
    return torch.stack([box_mask(box, SIDE) for box in found])


def adapters_of(model: Any, clip: Any, lines: Sequence[str], count: int) -> list[Adapter]:
    """The LoRA of each concept.

    Args:
        model: a MODEL.
        clip: its CLIP.
        lines: for each concept the name of a file in the loras folder, and ``strength=`` if wanted; or ``none``. No
            lines: no concept has one.
        count: of the concepts.

    Raises ``ValueError`` for another number of lines, an option that there is not, and files that cannot be kept to a
    region (:func:`read_adapter`); ``FileNotFoundError`` for a file that is not there.
    """
    if not lines:
        return []
    if len(lines) != count:
        counts = there_are((count, "concept"), (len(lines), "LoRA"))
        raise ValueError(f"{counts}; write a line for each concept, in the same order: none where it has no LoRA")
    backbone, layers = backbone_of(model, clip), layers_of(model)
    found: list[Adapter] = []
    for line in lines:
        name, strength = lora_and_strength(line)
        path = None if name is None else folders.current().find_model("loras", name)
        if path is None:
            found.append(Adapter({}))
        else:
            found.append(read_adapter(backbone, load_tensors(path)[0], strength, path.name, layers))
    return found


def lora_and_strength(line: str) -> tuple[str | None, float]:
    """The file that a line names, None for ``none``, and its strength."""
    name, _, option = line.strip().partition(" strength=")
    name = name.strip()
    if name.lower() == "none":
        return None, 1.0
    return name if name.endswith(".safetensors") else f"{name}.safetensors", _number(option, line) if option else 1.0


def composed_parts(
    model: Any, composition: Composition, composer: Composer[Any], settings: ComposeSettings
) -> tuple[Any, Any]:
    """MODEL and CONDITIONING to sample with; the MODEL that is given where no region counts, and for methods that act
    by the CONDITIONING alone. Raises as :func:`~...adapters.with_composition` and the method do."""
    if composition.idle:
        return model, to_comfy(composition.prompt)
    if composer.areas is not None:
        areas = composer.areas(composition, settings)
        return model, area_entries(composition.prompt, areas, has_frames(model))
    composed = with_composition(model, Composed(composition, composer, settings))
    return composed, to_comfy(composition.conditioning)


def described(composition: Composition, composer: Composer[Any], settings: ComposeSettings) -> str:
    """What is composed and what it costs, for people."""
    count = len(composition.regions)
    lines = [f"{count} concepts by {composer.title}."]
    if composition.idle:
        return f"{lines[0]} Cost: nothing. No concept has a weight, so the MODEL is returned as it was given."
    without = sum(region.mask is None for region in composition.regions)
    lines.append(f"Cost: {settings.cost_of(composition)}.")
    lines.append(settings.left_out(composition))
    adapted = sum(bool(region.adapter) for region in composition.regions)
    if adapted:
        lines.append(f"Each of {adapted} LoRAs takes one more attention in every attention layer that it changes.")
    further = sum(len(region.layers) for region in composition.regions)
    if further:
        lines.append(f"In each pass {further} further layers compute their LoRAs beside the weights.")
    if "regions" in composer.needs and without:
        lines.append(f"Of {count} concepts, {without} have no region: their words show where they are.")
    lines += [*_said_of_words(composition, composer), *_said_of_spans(composition, settings)]
    return " ".join(filter(None, lines))


def _said_of_words(composition: Composition, composer: Composer[Any]) -> list[str]:
    """Sentences about concepts that the prompt does not name as they are written, where the method reads its words."""
    lines, needs = [], set(composer.needs)
    for number, region in enumerate(composition.regions):
        searched = "regions" in needs and region.mask is None
        style, name = number not in composition.things, shown(region.text)
        if style and not region.words and needs and not needs & {"texts", "boxes"}:
            lines.append(f"{name} takes the whole picture and is not in the prompt, where it would act; name it there.")
        elif not style and not region.words and needs & {"words", "texts"}:
            lines.append(f"The prompt does not name {name}; write it there too, or the picture may lack it.")
        elif region.singly and (searched or needs & {"words", "branches"}):
            words = listed(f"{word} (word {place})" for word, place in region.singly)
            lines.append(
                f"The prompt does not contain {name} as a whole. Its words were looked up one by one: {words}."
            )
        if "branches" in needs and not style and not region.written:
            lines.append(f"Write {name} in the prompt as in concepts, so that passes can replace it by other concepts.")
    return lines


def _said_of_spans(composition: Composition, settings: ComposeSettings) -> list[str]:
    """A sentence about each concept that counts only while the method does not act."""
    return [
        f"{shown(region.text)} has no effect: it counts from {region.start:g} to {region.end:g} of denoising, and the "
        f"method acts from {settings.start:g} to {settings.end:g}. Change start and end of one of them (those of the "
        "method in settings)."
        for region in composition.regions
        if region.weight > 0 and (region.start >= settings.end or region.end <= settings.start)
    ]


def reads_jointly(model: Any) -> bool:
    """Whether a MODEL reads text and picture in one softmax, as transformers do."""
    return any(site.kind == "joint" for site in backbone_of(model=model).attention_sites())


def _number(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{shown(line)}: expected a number, got {shown(text)}") from error


def _mask(box: Sequence[float], line: str) -> Tensor:
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"{shown(line)}: a box is left, top, right, bottom from 0 to 1, with left below right and top below bottom"
        )
    return box_mask((left, top, right, bottom), SIDE)
