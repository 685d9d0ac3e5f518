"""A quick look at tokens while they are learnt: each drawn alone, small and in few steps."""

from PIL import Image

from ..core.backbone import Backbone
from ..core.learn.parts.class_words import sentence
from ..core.learn.registry import written
from ..core.sampling import ddim
from ..core.types import ConceptTokens
from .images import to_pil

STEPS, MOST = 8, 4


def draw_tokens(backbone: Backbone, tokens: ConceptTokens, template: str, size: tuple[int, int]) -> Image.Image:
    """One picture of (H, W) pixels per token, side by side, at most four; the same noise at every call."""
    placeholders = {f"<{name}>": vectors for name, vectors in tokens.vectors.items()}
    prompts = [sentence([written(tokens, name)], template) for name in tokens.names[:MOST]]
    positive, negative = backbone.encode_text(prompts, placeholders), backbone.encode_text([""])
    cells = (max(1, size[0] // backbone.latent_downscale), max(1, size[1] // backbone.latent_downscale))
    with backbone.adapted(tokens.adapter):
        latents = ddim(backbone, positive, negative, cells, steps=STEPS)
    pictures = backbone.decode_latent(latents)
    row = Image.new("RGB", (pictures.shape[3] * len(pictures), pictures.shape[2]))
    for index, picture in enumerate(pictures):
        row.paste(to_pil(picture.movedim(0, -1)), (index * pictures.shape[3], 0))
    return row
