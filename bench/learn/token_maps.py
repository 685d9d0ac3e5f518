"""How well the heat maps of learnt tokens fit the objects that they were learnt from (``bench learn --maps``).

The scene is read with the sentence of all its tokens, as ``bench words`` reads scenes with captions, and each token's
attention map is scored against the exact mask of its object.
"""

from collections.abc import Sequence

import torch

from ...core.attribute.compare import ATTENTION, Reading, word_maps
from ...core.backbone import Backbone
from ...core.learn.parts.class_words import sentence
from ...core.learn.registry import written
from ...core.types import ConceptTokens
from ..cases import Case
from ..words.words import score_map

MAP_SCORES = {
    "map_iou": "IoU of a token's map, above Otsu's threshold, with its object",
    "map_point": "tokens whose map is largest on their object",
}


@torch.no_grad()
def map_scores(
    backbone: Backbone, case: Case, tokens: ConceptTokens, objects: Sequence[int], template: str
) -> list[dict[str, float]]:
    """The scores of every object of a scene; 0 for one that no token was learnt for.

    Args:
        backbone: the model; the change of it that belongs to the tokens is in force while the scene is read.
        case: the scene.
        tokens: M learnt tokens.
        objects: M numbers of the objects that they were learnt from.
        template: of the sentence, with ``{}`` for the tokens.
    """
    found = [dict.fromkeys(MAP_SCORES, 0.0) for _ in case.masks]
    if not objects:
        return found
    text = sentence([written(tokens, name) for name in tokens.names], template)
    size = (case.picture.shape[-2], case.picture.shape[-1])
    latent = backbone.encode_image(case.picture)
    with backbone.adapted(tokens.adapter):
        reading = Reading(backbone, latent, text, size, seed=case.seed, placeholders=tokens.placeholders())
        maps = word_maps(reading, [f"<{name}>" for name in tokens.names], [ATTENTION])[0]  # (M, H, W)
    for number, heat in zip(objects, maps, strict=True):
        mask = case.masks[number]
        scores = score_map(heat, mask, mask)
        found[number] = {"map_iou": scores["iou_otsu"], "map_point": scores["point"]}
    return found
