"""``python -m concept_atelier lab methods``: docs/methods/<method>.jpg, one scene learnt by every method.

The same scene, masks and seeds for all; nothing is picked by its result.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...bench.cases import Case
from ...bench.command import load_backbone
from ...bench.drawing import draw
from ...bench.learn.learn import true_concepts
from ...core.backbone import Backbone
from ...core.learn.parts.class_words import sentence
from ...core.learn.registry import METHODS, written
from ...core.types import ConceptTokens
from ...host.files.saving import atomic_write
from ...host.pictures.drawing import overlay_masks
from .page import DOCS, enlarged, scene_case, sheet

SCENE, DRAWS, SIDE = 3, 8, 96
SHEETS = {
    "conceptexpress": ("conceptexpress", "small"),
    "conceptexpress_faithful": ("conceptexpress", "faithful_small"),
    **{name: (name, "small") for name in METHODS if name != "conceptexpress"},
}
"""Sheet to method and preset."""


def write_sheets(folder: Path = DOCS, names: Sequence[str] = tuple(SHEETS), backbone: Backbone | None = None) -> None:
    """Learn the scene by each method and write its sheet: ``<folder>/methods/<name>.jpg``."""
    backbone, case = backbone or load_backbone(), scene_case(SCENE)
    for name in names:
        tokens = learn_scene(backbone, case, *SHEETS[name])
        with atomic_write(folder / "methods" / f"{name}.jpg") as temporary:
            picture = Image.fromarray(sheet(rows(backbone, case, tokens)))
            picture.save(temporary, "JPEG", quality=85, optimize=True)


def learn_scene(backbone: Backbone, case: Case, method: str, preset: str) -> ConceptTokens:
    """Tokens of a scene from its exact masks; class words, where the method asks for them, are the true names."""
    concepts, _ = true_concepts(backbone, case)
    classes = dict(zip(concepts.names, case.names, strict=True)) if METHODS[method].class_follows_token else None
    chosen = METHODS[method]
    return chosen.learn(backbone, case.picture, concepts, chosen.preset(preset), classes=classes, seed=case.seed)


def rows(backbone: Backbone, case: Case, tokens: ConceptTokens) -> list[Tensor]:
    """A row for each token: the scene with its mask, then what the token draws alone; last the scene, then all
    together."""
    plain = case.picture[0].movedim(0, -1)
    heads = [overlay_masks(plain, case.masks[[index]], [""]).movedim(-1, 0)[None] for index in range(len(tokens.names))]
    wanted = [*([name] for name in tokens.names), list(tokens.names)]
    with backbone.adapted(tokens.adapter):
        drawn = [draw_names(backbone, tokens, names, case.seed) for names in wanted]
    return [
        torch.cat([enlarged(head, SIDE), enlarged(pictures, SIDE)])
        for head, pictures in zip([*heads, case.picture], drawn, strict=True)
    ]


def draw_names(backbone: Backbone, tokens: ConceptTokens, names: Sequence[str], seed: int) -> Tensor:
    """Pictures (DRAWS, 3, H, W) of these tokens together."""
    prompt = sentence([written(tokens, name) for name in names], "a photo of {}")
    return draw(backbone, [prompt] * DRAWS, seed, tokens.placeholders())
